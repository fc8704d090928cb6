package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Client reaches the instances of all runtimes of a mesh. It finds the one
// runtime that has an instance, and comes back with what happened there. Its
// methods may be called from any goroutine. Each needs no longer than
// ClientOptions.Timeout.
type Client struct {
	bus *Bus
	o   ClientOptions

	mu     sync.Mutex // guards owners
	owners map[Target]string

	members memberList
}

// ClientOptions says how a client works. The zero value is a good one.
type ClientOptions struct {
	// Timeout bounds each call. Defaults to 5 s.
	Timeout time.Duration
	// Observe, if set, is told of each call that has ended: which of the Calls it
	// was, how long it took, and its error. It is called on the goroutine of the
	// caller, and must be quick. Of a search the time that the caller takes over
	// each instance does not count.
	Observe func(call Call, took time.Duration, err error)
}

// A Call names a method of a Client, for ClientOptions.Observe.
type Call string

// The calls that are observed.
const (
	CallSend        Call = "send"
	CallGet         Call = "get"
	CallHistory     Call = "history"
	CallCreate      Call = "create"
	CallBroadcast   Call = "broadcast"
	CallQuery       Call = "query"
	CallSearch      Call = "search" // Correlated, too
	CallPast        Call = "past"   // StateAt, Causes, Caused
	CallDeadLetters Call = "dead_letters"
	CallResend      Call = "resend"
)

// did tells the observer of a call that ends now.
func (c *Client) did(call Call, begin time.Time, err *error) {
	if c.o.Observe != nil {
		c.o.Observe(call, time.Since(begin), *err)
	}
}

// NewClient returns a client of the mesh of a bus. There is nothing to close.
func NewClient(bus *Bus, o ClientOptions) *Client {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	return &Client{bus: bus, o: o, owners: map[Target]string{}, members: newMemberList()}
}

// A Target names an instance: by its id, or by its component and key.
type Target struct {
	ID             string
	Component, Key string
	// RuntimeID is that of the runtime that has it, where that is known: then
	// nobody else is asked. It tells apart instances that have one id.
	RuntimeID string
}

func (t Target) String() string {
	if t.ID != "" {
		return t.ID
	}
	return t.Key
}

// ErrGone is returned where the runtime that was to do something is not connected
// any more. Nothing was done.
var ErrGone = errors.New("the runtime is not on the mesh any more")

// ErrNotConnected is returned where the bus is not connected, and what was asked
// could not be sent.
var ErrNotConnected = errors.New("not connected to the mesh")

// ErrNoAnswer is returned where a runtime that was asked did not answer in time.
// What was asked for may have happened; with an event id it can be asked again.
var ErrNoAnswer = errors.New("no answer from the runtime in time")

// A MissingError names the runtimes that did not answer a question to all:
// what the others say is not the whole truth.
type MissingError struct{ Runtimes []string }

func (e *MissingError) Error() string {
	return "no answer from " + strings.Join(e.Runtimes, ", ")
}

// SendOptions are those of one Send.
type SendOptions struct {
	// EventID makes the event repeatable: it takes effect once.
	EventID string
	// IfVersion refuses with fsm.ErrVersionMoved if the instance has another
	// version; 0 does not ask.
	IfVersion uint64
}

// Send takes an event to the one instance, and returns what it led to. It fails
// with the errors of fsm.Runtime.Send (as *fsm.Error, so errors.Is works), with
// ErrNoAnswer, or with a *MissingError where nobody has the instance and not
// all have said so.
func (c *Client) Send(ctx context.Context, t Target, ev fsm.Event, o SendOptions) (_ *Outcome, err error) {
	defer c.did(CallSend, time.Now(), &err)
	payload, err := json.Marshal(ev.Payload)
	if err != nil {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "payload of " + ev.Type, Err: err}
	}
	return c.toOwner(ctx, t, &Command{Do: doSend, Event: &Event{ID: o.EventID, Type: ev.Type, Payload: payload}, IfVersion: o.IfVersion})
}

// Get returns an instance as its runtime has it now, in Outcome.Row.
func (c *Client) Get(ctx context.Context, t Target) (_ *Outcome, err error) {
	defer c.did(CallGet, time.Now(), &err)
	return c.toOwner(ctx, t, &Command{Do: doGet})
}

// ErrDropped is why a history that is read piece by piece ends: what comes next was
// dropped meanwhile, as too old.
var ErrDropped = errors.New("some of the records were dropped, as too old, while they were read: ask again")

// Follows fails with ErrDropped if the records of an outcome do not follow on that of a
// version, which was the last of the piece before.
func (o *Outcome) Follows(version uint64) error {
	if len(o.Records) > 0 && o.Records[0].Version != version+1 {
		return ErrDropped
	}
	return nil
}

// History returns records of an instance from the one after a version on,
// oldest first: at most limit, and as many as fit into one answer; Outcome.More
// says that there are more.
func (c *Client) History(ctx context.Context, t Target, after uint64, limit int) (_ *Outcome, err error) {
	defer c.did(CallHistory, time.Now(), &err)
	return c.toOwner(ctx, t, &Command{Do: doHistory, After: after, Limit: limit})
}

// CreateOptions are those of one Create.
type CreateOptions struct {
	// Key and ID are those of the new instance, if it is to have given ones.
	Key, ID string
	// State is the state to create it in, if not the initial one.
	State string
	// EventID makes the creation repeatable: it is done once.
	EventID string
	// OrGet returns the instance that has the key, if there is one.
	OrGet bool
}

// Create makes an instance on exactly one of the runtimes that host the
// component. With a key, an id or an event id all are asked first whether they
// have it, and the same one of them is chosen whoever asks; that holds while no
// runtime comes or goes. It fails with the errors of fsm.Runtime.Create, with
// fsm.ErrUnknownComponent where nobody hosts the component, with ErrNoAnswer,
// ErrGone and ErrNotConnected, and with a *MissingError where a runtime that was
// there a minute ago cannot be asked: it may have it.
func (c *Client) Create(ctx context.Context, component, machine string, data map[string]any, o CreateOptions) (_ *Outcome, err error) {
	defer c.did(CallCreate, time.Now(), &err)
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Err: err}
	}
	cmd := &Command{Do: doCreate, Component: component, Machine: machine, Context: raw, Key: o.Key, Instance: o.ID, State: o.State, EventID: o.EventID, OrGet: o.OrGet}
	unknown := &fsm.Error{Code: fsm.CodeUnknownComponent, Component: component}
	if o.Key == "" && o.ID == "" && o.EventID == "" {
		out, err := c.request(ctx, c.bus.subjects.component(component, "one"), cmd)
		if errors.Is(err, ErrGone) {
			return nil, unknown
		}
		return out, err
	}
	// Who has it already decides. An event id is that of the instance, then.
	t := Target{ID: o.ID, Component: component, Key: o.Key}
	if t.ID == "" && t.Key == "" {
		t.ID = fsm.CreatedID(component, o.EventID)
	}
	begin := time.Now()
	to, err := c.locate(ctx, t)
	if errors.Is(err, fsm.ErrUnknownInstance) {
		hosts, err := c.hosts(ctx, component, time.Time{})
		if err == nil && len(hosts.live) == 0 {
			hosts, err = c.hosts(ctx, component, begin) // one may have come just now
		}
		if err != nil {
			return nil, err
		}
		if len(hosts.live) == 0 {
			return nil, unknown
		}
		to = o.ChosenFor(hosts.live)
	} else if err != nil {
		return nil, err
	}
	out, err := c.request(ctx, c.bus.subjects.runtime(to, "command"), cmd)
	return out, c.unlist(err)
}

// Broadcast sends an event to the instances of a machine in all runtimes of a
// component, in one state or ("" or "*") in any. It returns how many were
// chosen, and a *MissingError if not all runtimes answered.
func (c *Client) Broadcast(ctx context.Context, component, machine, state string, ev fsm.Event, eventID string) (_ int, err error) {
	defer c.did(CallBroadcast, time.Now(), &err)
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	payload, err := json.Marshal(ev.Payload)
	if err != nil {
		return 0, &fsm.Error{Code: fsm.CodeBadValue, Detail: "payload of " + ev.Type, Err: err}
	}
	hosts, err := c.hosts(ctx, component, time.Now())
	if err != nil {
		return 0, err
	}
	if len(hosts.live)+len(hosts.gone) == 0 {
		return 0, &fsm.Error{Code: fsm.CodeUnknownComponent, Component: component}
	}
	outs, missing := c.scatter(ctx, c.bus.subjects.component(component, "all"), hosts, &Command{
		Do: doBroadcast, Component: component, Machine: machine, State: state, Event: &Event{ID: eventID, Type: ev.Type, Payload: payload},
	}, nil)
	n := 0
	for _, out := range outs {
		if !out.OK {
			return n, out.err()
		}
		n += out.Count
	}
	if len(missing) > 0 {
		return n, &MissingError{missing}
	}
	return n, nil
}

// Runtimes returns all that are on the mesh now, each component of a runtime for
// itself.
func (c *Client) Runtimes(ctx context.Context) ([]Identity, error) {
	live, _, err := c.membersNow(ctx, false)
	return live, err
}

// A LostRuntime is one that said no goodbye and is not there any more.
type LostRuntime struct {
	Identity
	// Heard is when another runtime last heard of it, by the clock of this
	// process.
	Heard time.Time
}

// Label names it as a *MissingError does.
func (r *LostRuntime) Label() string { return r.label() }

// Members is Runtimes with those that are lost: that some runtime heard of within
// the last minute, but that said no goodbye and are not there, as their process was
// killed, say. Where no runtime is left nobody can tell of them.
func (c *Client) Members(ctx context.Context) (live []Identity, lost []LostRuntime, err error) {
	return c.membersNow(ctx, true)
}

// membersNow asks one runtime whom it has heard of, or all of them.
func (c *Client) membersNow(ctx context.Context, all bool) (live []Identity, lost []LostRuntime, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	present, err := c.discover(ctx, all)
	if err != nil {
		return nil, nil, c.lost("list of runtimes", err)
	}
	now := time.Now()
	for _, id := range present.gone {
		lost = append(lost, LostRuntime{id, now.Add(-present.ago[id.RuntimeID])})
	}
	live = present.live
	slices.SortFunc(live, func(a, b Identity) int { return strings.Compare(a.order(), b.order()) })
	slices.SortFunc(lost, func(a, b LostRuntime) int { return strings.Compare(a.order(), b.order()) })
	return live, lost, nil
}

// order sorts runtimes by component, then by name.
func (id *Identity) order() string {
	return id.Component + "\x00" + id.Name + "\x00" + id.RuntimeID
}

// ChosenFor is the one, of runtimes that host a component, on which Create makes an
// instance with these options that nobody has yet: the same whoever asks.
func (o *CreateOptions) ChosenFor(hosts []Identity) (runtimeID string) {
	return rendezvous(hosts, o.Key+"\x00"+o.ID+"\x00"+o.EventID)
}

// rendezvous picks the same runtime for a name, whoever asks: the one whose
// Name, hashed with it, is the highest.
func rendezvous(hosts []Identity, name string) string {
	best, to := uint64(0), ""
	for _, h := range hosts {
		f := fnv.New64a()
		fmt.Fprintf(f, "%d/%s/%s", len(h.Name), h.Name, name)
		if sum := f.Sum64(); to == "" || sum > best {
			best, to = sum, h.RuntimeID
		}
	}
	return to
}

// toOwner sends a command to the runtime that has the instance. Who it is is
// remembered until it says otherwise, or is gone.
func (c *Client) toOwner(ctx context.Context, t Target, cmd *Command) (*Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	cmd.Instance, cmd.Component, cmd.Key = t.ID, t.Component, t.Key
	for {
		owner, known := c.owner(t)
		if !known {
			var err error
			if owner, err = c.locate(ctx, t); err != nil {
				return nil, err
			}
			c.remember(t, owner)
		}
		out, err := c.request(ctx, c.bus.subjects.runtime(owner, "command"), cmd)
		if !errors.Is(err, ErrGone) && (out == nil || !out.NotMine) {
			return out, err
		}
		// It has moved, or is gone.
		if t.RuntimeID != "" {
			return out, &fsm.Error{Code: fsm.CodeUnknownInstance, Instance: t.ID, Key: t.Key, Component: t.Component, Err: err}
		}
		c.forget(t)
		if !known {
			return out, c.unlist(err)
		}
	}
}

// maxOwners bounds the runtimes that a client remembers instances to be at.
const maxOwners = 100_000

func (c *Client) owner(t Target) (string, bool) {
	if t.RuntimeID != "" {
		return t.RuntimeID, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	owner, ok := c.owners[t]
	return owner, ok
}

func (c *Client) remember(t Target, owner string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.owners) >= maxOwners {
		clear(c.owners)
	}
	c.owners[t] = owner
}

func (c *Client) forget(t Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.owners, t)
}

// locate asks all hosts for an instance. All say "mine" or "not mine", so that
// nobody having it is known and not guessed.
func (c *Client) locate(ctx context.Context, t Target) (string, error) {
	begin := time.Now()
	owner, sure, err := c.locateAmong(ctx, t, time.Time{})
	if !sure {
		// It may be with one that has come since the list was made, or that only
		// some know of.
		owner, _, err = c.locateAmong(ctx, t, begin)
	}
	return owner, err
}

// locateAmong is locate with the list of runtimes that there is, or one that is
// not older than asked for and has all that any of them knows. sure is false if
// nobody has the instance, or the key any more, and the list is not what those who
// answered know.
func (c *Client) locateAmong(ctx context.Context, t Target, notBefore time.Time) (owner string, sure bool, err error) {
	var hosts *roster
	if notBefore.IsZero() {
		hosts, err = c.hosts(ctx, t.Component, notBefore)
	} else {
		hosts, err = c.allHosts(ctx, t.Component, notBefore)
	}
	if err != nil {
		return "", true, err
	}
	outs, missing := c.scatter(ctx, c.bus.subjects.on("locate"), hosts, &Command{Do: doLocate, Component: t.Component, Instance: t.ID, Key: t.Key},
		// An id is that of one instance; a key may by mistake be that of several.
		func(o *Outcome) bool { return o.OK && t.ID != "" })
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return "", true, context.Cause(ctx)
	}
	var owners, ended []string
	sure = len(outs) > 0 || !notBefore.IsZero()
	for _, o := range outs {
		sure = sure && (o.Known == hosts.sum || o.Known == 0) // some do not tell
		switch {
		case t.Component != "" && o.Component != t.Component:
		case o.OK && o.Ended:
			ended = append(ended, o.RuntimeID)
		case o.OK:
			owners = append(owners, o.RuntimeID)
		case !o.NotMine:
			return "", true, o.err() // it can't be told whether it has it, or it is not to be used
		}
	}
	switch {
	case len(owners) == 1:
		return owners[0], true, nil
	case len(owners) > 1:
		return "", true, &fsm.Error{Code: fsm.CodeAmbiguous, Instance: t.ID, Key: t.Key, Detail: "runtimes " + strings.Join(owners, ", ") + " have one each"}
	case len(ended) > 0 && t.ID != "":
		return ended[0], true, nil
	case len(missing) > 0:
		return "", sure, &MissingError{missing}
	case len(ended) > 0:
		// The key is free. Runtimes that came and went may each have had it: all who
		// look find the same one.
		had := slices.DeleteFunc(slices.Clone(hosts.live), func(h Identity) bool { return !slices.Contains(ended, h.RuntimeID) })
		return (&CreateOptions{Key: t.Key}).ChosenFor(had), sure, nil
	}
	return "", sure, &fsm.Error{Code: fsm.CodeUnknownInstance, Instance: t.ID, Key: t.Key}
}

// scatter asks all hosts and gathers their answers until all have come, one is
// enough, or the context ends. missing names who did not answer, and those that
// are gone: the list of hosts may be older than a goodbye, so who stays silent is
// looked for, and not waited for if nobody is there.
func (c *Client) scatter(ctx context.Context, subject string, hosts *roster, cmd *Command, enough func(*Outcome) bool) (outs []*Outcome, missing []string) {
	for _, h := range hosts.gone {
		missing = append(missing, h.label())
	}
	waiting := map[string]string{}
	for _, h := range hosts.live {
		waiting[h.RuntimeID] = h.label()
	}
	inbox := c.bus.nc.NewInbox()
	// Not a SubscribeSync, which takes half a megabyte.
	in := make(chan *nats.Msg, len(waiting)+16)
	sub, err := c.bus.nc.ChanSubscribe(inbox, in)
	if err == nil {
		defer sub.Unsubscribe()
		var b []byte
		if b, err = json.Marshal(cmd); err == nil {
			err = c.bus.nc.PublishRequest(subject, inbox, b)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.NewTimer(silentFor)
	defer silent.Stop()
	gone := make(chan string, len(waiting))
	for err == nil && len(waiting) > 0 {
		select {
		case <-silent.C:
			go c.bus.lookFor(ctx, slices.Collect(maps.Keys(waiting)), gone)
		case id := <-gone:
			if name, asked := waiting[id]; asked {
				delete(waiting, id)
				missing = append(missing, name)
			}
		case m := <-in:
			if m.Header.Get("Status") == noResponders {
				err = nats.ErrNoResponders
				break
			}
			var o Outcome
			if len(m.Data) == 0 || Decode(m.Data, &o) != nil {
				break
			}
			if _, asked := waiting[o.RuntimeID]; !asked {
				break // came meanwhile, twice, or is of another component
			}
			delete(waiting, o.RuntimeID)
			outs = append(outs, &o)
			if enough != nil && enough(&o) {
				return outs, nil
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	for _, name := range waiting {
		missing = append(missing, name)
	}
	slices.Sort(missing)
	return outs, missing
}

// silentFor is how long a runtime may be silent before it is looked for.
const silentFor = 500 * time.Millisecond

// noResponders is the status by which a server says that nobody takes a request.
const noResponders = "503"

// label is how a runtime is named to people.
func (id *Identity) label() string { return id.Name + "/" + id.Component }

// request sends a command to one runtime and waits for its outcome.
func (c *Client) request(ctx context.Context, subject string, cmd *Command) (*Outcome, error) {
	b, err := json.Marshal(cmd)
	if err != nil {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Instance: cmd.Instance, Key: cmd.Key, Err: err}
	}
	var m *nats.Msg
	if err = c.bus.away(); err == nil {
		m, err = c.bus.nc.RequestWithContext(ctx, subject, b)
	}
	if err != nil {
		return nil, c.lost(cmd.Do+" of "+cmp.Or(cmd.Instance, cmd.Key, cmd.Machine, cmd.Component), err)
	}
	var o Outcome
	if err := Decode(m.Data, &o); err != nil {
		return nil, err
	}
	if !o.OK {
		return &o, o.err()
	}
	return &o, nil
}

// lost gives what went wrong on the way one of the types that the client
// promises.
func (c *Client) lost(what string, err error) error {
	switch {
	case errors.Is(err, ErrNoAnswer):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%s: %w", what, ErrNoAnswer)
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%s: %w (%w)", what, ErrGone, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return &fsm.Error{Code: fsm.CodeContextTooLarge, Count: int(c.bus.nc.MaxPayload()), Err: err,
			Detail: what + " is more than one message of this bus may hold"}
	case errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("%s: %w (%w)", what, ErrNotConnected, err)
}

// An outcomeError is an error as another runtime put it in words.
type outcomeError struct {
	err     *fsm.Error
	message string
}

func (e *outcomeError) Error() string { return e.message }
func (e *outcomeError) Unwrap() error { return e.err }

// err gives the error of an outcome its type back.
func (o *Outcome) err() error {
	return &outcomeError{&fsm.Error{
		Code: o.Code, Component: o.Component, Instance: o.Instance, State: o.State, Version: o.Version, Accepted: o.Accepted,
	}, o.Message}
}
