package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
	"github.com/fsmesh/fsmesh/mesh"
)

// An instanceView answers: what is it waiting for, what can be done now, how
// did it get here?
type instanceView struct {
	frame
	id         string
	name       string
	state      badge
	status     string
	version    uint64
	machine    string
	component  string
	runtime    string
	target     []hiddenView // what forms say of whom they are for
	machineURL string
	ended      bool
	held       bool   // quarantined: it has not ended, but nothing moves it
	away       string // why nothing can be sent, "" if it can
	updated    time.Time
	unchanged  string
	created    time.Time
	age        string
	parent     string
	parentHref string
	events     []eventView
	refused    []refusedView
	unknown    bool // its definition is not known
	timers     []timerView
	data       fsm.Data
	context    *fsm.Data // of a machine with a public member
	diagram    templ.Component
	history    []recordView
	past       *pastView // at a record that is asked for, else nil
	earlier    string    // address of the records before the first one shown
	forgotten  bool      // there were such, but they are not kept
	noHistory  string    // why there is none
	outcome    *outcome
}

// A hiddenView is a field of a form that nobody sees.
type hiddenView struct{ name, value string }

// An eventView is an event that the instance accepts, with where it leads.
type eventView struct {
	name    string
	open    bool // its form is shown, with what was entered
	payload string
	leads   []leadView
	ends    bool
}

// A leadView is one transition that an event may take.
type leadView struct {
	to       badge
	stays    bool
	internal bool
	note     string
}

// A refusedView is an event that is accepted in other states only.
type refusedView struct{ name, states string }

type timerView struct {
	event    string
	to       badge
	left     string
	total    string
	due      time.Time
	gone     string // share of the total that has passed, in percent
	remains  string
	gonePart string
}

type recordView struct {
	version  uint64
	at       time.Time
	event    string
	created  bool
	stays    bool
	from, to badge
	by       string
	byHref   string
	changes  string
	href     string // of the page at this record
}

func (d *Dashboard) instance(r *http.Request) page {
	q := r.URL.Query()
	fl, in, other := d.locate(r, q)
	if other != nil {
		return *other
	}
	v := d.instanceView(r, fl, in)
	if done, err := strconv.ParseUint(q.Get("done"), 10, 64); err == nil {
		if v.outcome = v.done(done); q.Get("behind") != "" && in.Version < done {
			v.outcome = behind(done)
		}
	}
	return page{http.StatusOK, instancePage(v)}
}

// locate finds the instance that a request names, or makes the page that says
// why there is none to show: nobody has it, or several do.
func (d *Dashboard) locate(r *http.Request, q url.Values) (*fleet, *mesh.Instance, *page) {
	id := q.Get("id")
	var found []mesh.Instance
	fl := d.read(func(dir *mesh.Directory) { found = dir.Find(id) })
	found = slices.DeleteFunc(found, func(in mesh.Instance) bool { return !meant(&in, q) })
	switch len(found) {
	case 1:
		return fl, &found[0], nil
	case 0:
		if in := d.ask(r.Context(), mesh.Target{ID: id, Component: q.Get("component")}); in != nil && meant(in, q) {
			return fl, in, nil
		}
		p := d.noInstance(r, id)
		return nil, nil, &p
	}
	v := twinsView{frame: d.frame(r, fl, "Instances of id "+shortID(id), "instances", nil), id: id, rows: rowsOf(fl, mesh.Selected{Instances: found, Total: len(found)})}
	for i := range found {
		v.rows.rows[i].href = addressOf(&found[i], true)
	}
	v.rows.names = true
	return nil, nil, &page{http.StatusOK, twinsPage(v)}
}

// A twinsView says that several runtimes have an instance of one id.
type twinsView struct {
	frame
	id   string
	rows rowsView
}

// meant reports whether an instance is one of those that a request names.
func meant(in *mesh.Instance, q url.Values) bool {
	for value, want := range map[*string]string{&in.Component: q.Get("component"), &in.Name: q.Get("runtime"), &in.RuntimeID: q.Get("runtimeId")} {
		if want != "" && *value != want {
			return false
		}
	}
	return true
}

// askTime bounds a question to a runtime about what the view does not know.
const askTime = 2 * time.Second

// ask gets an instance from who has it, nil if nobody says so.
func (d *Dashboard) ask(ctx context.Context, t mesh.Target) *mesh.Instance {
	if t.ID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := d.config.Client.Get(ctx, t)
	if err != nil || out.Row == nil {
		return nil
	}
	in := &mesh.Instance{Row: *out.Row, RuntimeID: out.RuntimeID, Component: out.Component}
	d.config.View.Read(func(dir *mesh.Directory) {
		if i, ok := dir.Runtime(out.RuntimeID, d.config.Now()); ok {
			in.Name = i.Name
		}
	})
	return in
}

func (d *Dashboard) noInstance(r *http.Request, id string) page {
	return d.problem(r, http.StatusNotFound, "No instance "+strconv.Quote(id),
		"Ids are looked up exactly. No runtime on the mesh has it; it may have ended: those that ended are remembered for a while only.")
}

// instanceView makes all that the page shows.
func (d *Dashboard) instanceView(r *http.Request, fl *fleet, in *mesh.Instance) instanceView {
	m := fl.definitionOf(in.RuntimeID, in.Machine)
	name := fullName(in.Machine, in.Key, in.ID)
	v := instanceOf(d.frame(r, fl, name, "instance", func(m *member) bool { return m.RuntimeID == in.RuntimeID }), fl, in, m)
	if r.URL.Query().Get("runtimeId") != "" || r.PostForm.Get("runtimeId") != "" {
		v.target = append(v.target, hiddenView{"runtimeId", in.RuntimeID})
	}
	at := atOf(r.URL.Query())
	records, err := d.histories.read(r.Context(), d.config.Client, in, at)
	if err != nil {
		if v.noHistory = "The runtime did not give it: " + oneLine(err.Error()) + "."; in.Stale {
			v.noHistory = "Its runtime is not there, and gives none."
		}
	}
	then := func(version uint64) string { return addressAt(v.target, version) }
	v.history = historyOf(m, records, then)
	if len(records) > 0 && records[0].Version > 1 {
		// Where fewer came than were asked for, the runtime has no more.
		if v.forgotten = len(records) < maxHistory; !v.forgotten {
			v.earlier = then(records[0].Version - 1)
		}
	}
	if at > 0 {
		v.past = pastOf(m, in, records, at, then)
	}
	v.diagram = d.drawing(r.Context(), m, diagram.SVGOptions{Current: in.State, Embed: true})
	return v
}

// instanceOf is what a row tells.
func instanceOf(f frame, fl *fleet, in *mesh.Instance, m *fsm.Machine) instanceView {
	v := instanceView{
		frame: f, id: in.ID, name: fullName(in.Machine, in.Key, in.ID), state: badgeOf(m, in.State), status: string(in.Status),
		version: in.Version, machine: in.Machine, component: in.Component, runtime: in.Name,
		target:     []hiddenView{{"id", in.ID}, {"component", in.Component}, {"runtime", in.Name}},
		machineURL: href("machine", "component", in.Component, "machine", in.Machine),
		held:       in.Status == mesh.Quarantined,
		ended:      in.Status != "" && in.Status != mesh.Active && in.Status != mesh.Quarantined, parent: in.Parent, data: dataOf(in), unknown: m == nil,
		updated: time.UnixMilli(in.UpdatedAt), created: time.UnixMilli(in.CreatedAt),
	}
	v.unchanged, v.age = ago(fl.now, v.updated), ago(fl.now, v.created)
	if v.status == "" {
		v.status = string(mesh.Active)
	}
	if v.parent != "" {
		v.parentHref = href("instance", "id", v.parent, "component", in.Component)
	}
	if len(in.PublicMember) > 0 {
		ctx := readData(in.Context)
		v.context = &ctx
	}
	if in.Stale && !v.ended {
		v.away = "Its runtime " + in.Name + " is not there: what is shown is how it was last heard, and nothing can be sent."
	}
	if m != nil && !v.ended && !v.held {
		v.events, v.refused = eventsOf(m, in.State)
		v.timers = timersOf(m, in, fl.now)
	}
	return v
}

// eventsOf lists what is accepted in a state, and what only in others.
func eventsOf(m *fsm.Machine, state string) (accepted []eventView, refused []refusedView) {
	at := map[string]int{}
	for _, t := range m.Transitions {
		if t.From != state {
			continue
		}
		i, ok := at[t.Event]
		if !ok {
			i = len(accepted)
			at[t.Event] = i
			accepted = append(accepted, eventView{name: t.Event, payload: "{}"})
		}
		lead := leadOf(m, t)
		accepted[i].ends = accepted[i].ends || !lead.stays && (lead.to.kind == "final" || lead.to.kind == "error")
		accepted[i].leads = append(accepted[i].leads, lead)
	}
	var names []string
	elsewhere := map[string][]string{}
	for _, t := range m.Transitions {
		if _, ok := at[t.Event]; ok {
			continue
		}
		if elsewhere[t.Event] == nil {
			names = append(names, t.Event)
		}
		if !slices.Contains(elsewhere[t.Event], t.From) {
			elsewhere[t.Event] = append(elsewhere[t.Event], t.From)
		}
	}
	for _, n := range names {
		refused = append(refused, refusedView{n, strings.Join(elsewhere[n], ", ")})
	}
	return accepted, refused
}

func leadOf(m *fsm.Machine, t fsm.Transition) leadView {
	l := leadView{to: badgeOf(m, t.To), stays: t.From == t.To, internal: t.Type == "internal"}
	switch t.Type {
	case "inter_machine":
		l.note = "creates a " + t.TargetMachine
	case "cross_component":
		l.note = "tells " + t.TargetComponent
		if t.TargetEvent == "" {
			l.note = "creates one in " + t.TargetComponent
		}
	case "timeout", "auto":
		l.note = "comes by itself"
	}
	return l
}

// timersOf reads the running timers. They come from outside: what can't be read
// is left out.
func timersOf(m *fsm.Machine, in *mesh.Instance, now time.Time) []timerView {
	var timers []struct {
		Event       string `json:"event"`
		TotalMs     int64  `json:"totalMs"`
		RemainingMs int64  `json:"remainingMs"`
		TargetState string `json:"targetState"`
		Due         int64  `json:"due"`
	}
	if json.Unmarshal(in.PendingTimeouts, &timers) != nil {
		return nil
	}
	var out []timerView
	for _, t := range timers {
		due, total := time.UnixMilli(t.Due), time.Duration(t.TotalMs)*time.Millisecond
		if t.Due == 0 {
			due = time.UnixMilli(in.UpdatedAt + t.RemainingMs)
		}
		left := max(due.Sub(now), 0)
		share := 100.0
		if total > 0 {
			share = min(max(100*float64(total-left)/float64(total), 0), 100)
		}
		out = append(out, timerView{
			event: t.Event, to: badgeOf(m, t.TargetState), left: leftText(due, now), total: span(total), due: due,
			gone: fmt.Sprintf("%.0f %%", share), gonePart: fmt.Sprintf("%.2f%%", share), remains: fmt.Sprintf("%.2f%%", 100-share),
		})
	}
	return out
}

// leftText is the time until a timer is due. One that has been due for more than a
// moment waits for its runtime.
func leftText(due, now time.Time) string {
	if late := now.Sub(due); late >= 2*time.Second {
		return "overdue by " + span(late)
	}
	return span(due.Sub(now))
}

// historyOf shows records, newest first. href makes the address of the page at
// one.
func historyOf(m *fsm.Machine, records []*fsm.Record, href func(uint64) string) (out []recordView) {
	for i, rec := range slices.Backward(records) {
		var before *fsm.Record
		if i > 0 {
			before = records[i-1]
		}
		row := recordOf(m, rec, before)
		row.href = href(rec.Version)
		out = append(out, row)
	}
	return out
}

// addressAt is the page of an instance at one of its records; 0 is now.
func addressAt(target []hiddenView, version uint64) string {
	var pairs []string
	for _, h := range target {
		pairs = append(pairs, h.name, h.value)
	}
	if version > 0 {
		pairs = append(pairs, "at", strconv.FormatUint(version, 10))
	}
	return href("instance", pairs...) + "#history"
}

func recordOf(m *fsm.Machine, rec, before *fsm.Record) recordView {
	v := recordView{
		version: rec.Version, at: time.UnixMilli(rec.Time), event: rec.Event.Type,
		created: rec.Kind == fsm.KindCreated, stays: rec.Before == rec.After,
		from: badgeOf(m, rec.Before), to: badgeOf(m, rec.After),
	}
	if rec.CausedBy != (fsm.RecordID{}) {
		v.by, v.byHref = "by "+shortID(rec.CausedBy.Instance), href("instance", "id", rec.CausedBy.Instance)
	}
	switch {
	case v.created:
		v.changes = counted(rec.Data.Len(), "field") + " set"
	case before != nil:
		v.changes = changes(endData(before), endData(rec))
	}
	return v
}

// endData is the data after the entry method.
func endData(r *fsm.Record) fsm.Data {
	if r.EndData != nil {
		return *r.EndData
	}
	return r.Data
}

// changes says which fields differ. Data is merged, so no field ever goes.
func changes(before, after fsm.Data) string {
	var out []string
	for k, now := range after.All() {
		was, had := before.Get(k)
		switch {
		case !had:
			out = append(out, k+" "+compact(now))
		case compact(was) != compact(now):
			out = append(out, fmt.Sprintf("%s %s → %s", k, compact(was), compact(now)))
		}
	}
	return strings.Join(out, " · ")
}

// done says what the record of a version stored, if it is in the history: the
// address may be old, or made up.
func (v *instanceView) done(version uint64) *outcome {
	who := v.machine + " " + strings.TrimPrefix(v.name, v.machine+" ")
	for _, r := range v.history {
		if r.version != version {
			continue
		}
		switch {
		case r.created:
			return &outcome{ok: true, heading: fmt.Sprintf("%s is created in %s", who, r.to.name)}
		case r.stays:
			return &outcome{ok: true, heading: fmt.Sprintf("%s took %s and stays in %s", who, r.event, r.to.name), lines: []string{fmt.Sprintf("Stored as record %d.", version)}}
		}
		o := &outcome{ok: true, heading: fmt.Sprintf("%s went to %s", who, r.to.name), lines: []string{fmt.Sprintf("%s is stored as record %d, from %s.", r.event, version, r.from.name)}}
		if v.version > version {
			o.lines = append(o.lines, fmt.Sprintf("It has moved on since, to version %d.", v.version))
		}
		return o
	}
	return nil
}
