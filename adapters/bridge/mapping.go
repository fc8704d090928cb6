package bridge

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/mesh"
)

// How bodies become messages of the mesh and the other way round. All here are
// functions of what they are given.

// nothing is an empty JSON object, none an empty array.
var (
	nothing = json.RawMessage("{}")
	none    = json.RawMessage("[]")
)

func or(raw, otherwise json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return otherwise
	}
	return raw
}

// bridgePrefix marks the process of a guest.
const bridgePrefix = "bridge/"

// guestProcess is the process that a guest is announced with: the bridge that
// speaks for it, and over how many brokers it is away.
func guestProcess(bridge string, hops int) string {
	return bridgePrefix + string(rune('a'+min(max(hops, 0), 25))) + "/" + bridge
}

// A route says over whom a runtime is reached. Less is better.
type route struct {
	hops int
	via  string
}

func (r route) better(o route) bool { return r.hops < o.hops || r.hops == o.hops && r.via < o.via }

// routeOf reads the process of a guest. ok is false for a runtime of the mesh
// itself.
func routeOf(process string) (r route, ok bool) {
	rest, ok := strings.CutPrefix(process, bridgePrefix)
	if !ok || len(rest) < 3 || rest[1] != '/' || rest[0] < 'a' || rest[0] > 'z' {
		return route{}, false
	}
	return route{int(rest[0] - 'a'), rest[2:]}, true
}

// toIdentity is who a runtime on the broker is on the mesh. One that has no name
// is called by its id.
func toIdentity(b *Body, process string) mesh.Identity {
	name := b.Name
	if name == "" {
		name = b.RuntimeID
	}
	return mesh.Identity{RuntimeID: b.RuntimeID, Component: b.Component, Name: name, Process: process}
}

// toAnnounce is what a runtime on the broker is announced with on the mesh: with some
// definition, as one without is taken for not announced yet, and waited for.
func toAnnounce(b *Body, numbered bool) mesh.Announce {
	a := mesh.Announce{Definition: or(b.Definition, nothing), Host: b.Host, Protocol: b.Protocol, Followed: !numbered}
	if b.Port != nil {
		a.Port = *b.Port
	}
	return a
}

// fromRuntime is the announce of a runtime of the mesh.
func fromRuntime(r *mesh.RuntimeInfo) *Body {
	port := r.Port
	host := r.Host
	if host == "" {
		host = "localhost"
	}
	b := &Body{
		RuntimeID: r.RuntimeID, Component: r.Component, Definition: or(r.Definition, nothing), Host: host, Port: &port,
		Name: r.Name, Process: r.Process, Epoch: r.Epoch, Log: r.Log, Protocol: 1,
	}
	return b
}

// toNotice is the notice of the mesh for one from the broker, nil for one that
// tells nothing that the mesh knows.
func toNotice(k Kind, b *Body) *mesh.Notice {
	d := b.Data
	if d == nil {
		return nil
	}
	n := &mesh.Notice{
		ID: b.ID, Kind: mesh.Kind(k), Instance: d.Instance, Machine: d.Machine, Previous: d.Previous, Status: d.Status,
		Context: or(d.Context, nothing), PublicMember: d.PublicMember, Version: b.Version, Part: b.Part, Key: b.Key,
		Parent: d.Parent, Timestamp: b.Timestamp, Error: d.Error,
	}
	if d.Pending != nil && string(*d.Pending) != "[]" {
		n.PendingTimeouts = *d.Pending
	}
	if d.Event != nil {
		n.Event = &mesh.Event{
			ID: d.Event.ID, Type: d.Event.Type, Payload: d.Event.Payload, Timestamp: d.Event.Timestamp, SourceComponent: d.Event.SourceComponent,
		}
	}
	switch k {
	case InstanceCreated, Quarantined:
		n.State = d.CurrentState
	case StateChange:
		n.State = d.NewState
	case InstanceCompleted:
		n.State = d.FinalState
	case EventIgnored, HookError, DeadLetter:
		n.State = d.CurrentState
	default:
		return nil
	}
	return n
}

// fromNotice is the body of a notice of the mesh, and the kind of its channel.
func fromNotice(t *mesh.Told) (Kind, *Body) {
	n := &t.Notice
	d := &Data{
		Instance: n.Instance, Machine: n.Machine, Error: n.Error, Parent: n.Parent,
	}
	b := &Body{
		RuntimeID: t.RuntimeID, Component: t.Component, EventType: string(n.Kind), Data: d, Timestamp: n.Timestamp,
		ID: n.ID, Version: n.Version, Part: n.Part, Key: n.Key,
	}
	if n.Seq != 0 {
		seq := n.Seq
		b.Seq = &seq
	}
	if n.Kind.Numbered() {
		d.Context, d.PublicMember = merged(n.Context, n.PublicMember), n.PublicMember
	}
	switch n.Kind {
	case mesh.KindStateChange:
		d.Previous, d.NewState = n.Previous, n.State
		if d.Previous == "" {
			d.Previous = n.State
		}
		pending := or(n.PendingTimeouts, none)
		d.Pending, d.Event = &pending, fromEvent(n.Event, n.Timestamp)
	case mesh.KindCompleted:
		d.FinalState = n.State
		if n.Status == mesh.Failed {
			d.Status = mesh.Failed
		}
	default:
		d.CurrentState = n.State
		if n.Kind != mesh.KindCreated {
			d.Event = fromEvent(n.Event, n.Timestamp)
		}
	}
	return Kind(n.Kind), b
}

func fromEvent(e *mesh.Event, at int64) *Event {
	if e == nil {
		return nil
	}
	out := &Event{Type: e.Type, Payload: or(e.Payload, nothing), Timestamp: e.Timestamp, SourceComponent: e.SourceComponent, ID: e.ID}
	if out.Timestamp == 0 {
		out.Timestamp = at
	}
	return out
}

// merged is what the ancestor shows of an instance with a public member: its
// context, and the member's fields on top.
func merged(context, member json.RawMessage) json.RawMessage {
	if len(member) == 0 {
		return or(context, nothing)
	}
	var all, top map[string]json.RawMessage
	if json.Unmarshal(or(context, nothing), &all) != nil || json.Unmarshal(member, &top) != nil {
		return or(context, nothing)
	}
	for k, v := range top {
		all[k] = v
	}
	b, err := json.Marshal(all)
	if err != nil {
		return or(context, nothing)
	}
	return b
}

// fromInstance is a row of an answer.
func fromInstance(in *mesh.Row) Row {
	return Row{
		ID: in.ID, Machine: in.Machine, State: in.State, Context: merged(in.Context, in.PublicMember), Pending: or(in.PendingTimeouts, none),
		PublicMember: in.PublicMember, Seq: in.Seq, Version: in.Version, Key: in.Key, Parent: in.Parent,
	}
}

// toRow is a row of an answer on the mesh.
func toRow(r *Row, at int64) mesh.Row {
	out := mesh.Row{
		ID: r.ID, Machine: r.Machine, State: r.State, Context: or(r.Context, nothing), PublicMember: r.PublicMember,
		Version: r.Version, Key: r.Key, Parent: r.Parent, UpdatedAt: at,
	}
	if p := or(r.Pending, none); string(p) != "[]" {
		out.PendingTimeouts = p
	}
	return out
}

// Bounds of answers.
const (
	// mergedMost is how many instances a merged answer has at most.
	mergedMost = 10_000
	// mergedBytes is about how large it is at most: what is left out is said, and a
	// body of more than MaxBody is taken by no bridge.
	mergedBytes = 4 << 20
	// chunkBytes is how large a chunk is at most, unless one row is larger.
	chunkBytes = 512 << 10
)

// answer makes the query_response of one runtime: chunks of at most chunkBytes.
func answer(r *mesh.RuntimeInfo, rows []mesh.Instance, asOf uint64) []*Body {
	var out []*Body
	size := 0
	next := func() *[]Row {
		list := []Row{}
		seq := asOf
		out = append(out, &Body{
			Type: "instances", RuntimeID: r.RuntimeID, Component: r.Component, Name: r.Name, Epoch: r.Epoch, Instances: &list,
			AsOf: &seq, Seq: &seq, Chunk: len(out) + 1,
		})
		size = 1000
		return &list
	}
	list := next()
	for i := range rows {
		row := fromInstance(&rows[i].Row)
		n := wireBytes(&row)
		if size+n > chunkBytes && len(*list) > 0 {
			list = next()
		}
		*list = append(*list, row)
		size += n
	}
	out[len(out)-1].Last = true
	return out
}

// mergedAnswer is the one query_response of all runtimes of a component, with at
// most mergedMost rows and mergedBytes of them, the last changed first. Readers of the ancestor's
// replace what they hold of the component by it. Bridges tell by the runtimes of the
// rows whose they are, and take those over that it is given for; rows of others are
// theirs to tell.
func mergedAnswer(r *mesh.RuntimeInfo, rows []mesh.Instance, runtimes []Answering) *Body {
	slices.SortStableFunc(rows, func(a, b mesh.Instance) int { return cmp.Compare(b.UpdatedAt, a.UpdatedAt) })
	list, size := []Row{}, 0
	for i := range rows[:min(len(rows), mergedMost)] {
		row := fromInstance(&rows[i].Row)
		row.RuntimeID = rows[i].RuntimeID
		if size += wireBytes(&row); size > mergedBytes {
			break
		}
		list = append(list, row)
	}
	out := map[string]int{} // left out, by runtime
	for i := range rows[len(list):] {
		out[rows[len(list)+i].RuntimeID]++
	}
	for i := range runtimes {
		runtimes[i].LeftOut = out[runtimes[i].RuntimeID]
	}
	return &Body{
		Type: "instances", RuntimeID: r.RuntimeID, Component: r.Component, Instances: &list, Runtimes: runtimes, Merged: true, LeftOut: len(rows) - len(list),
	}
}

// parts are the answers of single runtimes that an answer is made of.
func (b *Body) parts() []*Body {
	if !b.Merged {
		return []*Body{b}
	}
	rows := map[string][]Row{}
	for _, r := range *b.Instances {
		rows[r.RuntimeID] = append(rows[r.RuntimeID], r)
	}
	var out []*Body
	for _, a := range b.Runtimes {
		one, list := *b, rows[a.RuntimeID]
		one.RuntimeID, one.Hops, one.AsOf, one.LeftOut = a.RuntimeID, a.Hops, a.AsOf, a.LeftOut
		one.Instances, one.Chunk = &list, 0
		out = append(out, &one)
	}
	return out
}
