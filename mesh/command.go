package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// What a command asks for.
const (
	doSend      = "trigger_event"
	doCreate    = "create_instance"
	doBroadcast = "broadcast"
	doLocate    = "locate"
	doGet       = "get"
	doHistory   = "history"
	doEffect    = "effect"

	doDeadLetters = "dead_letters"
	doResend      = "resend"

	doStateAt = "state_at"
	doCauses  = "causes"
	doCaused  = "caused"
)

// A Command asks a runtime to do or to tell something. It is answered by one
// Outcome. Which fields count depends on Do.
type Command struct {
	Do        string `json:"do"`
	Component string `json:"componentName,omitempty"`
	Machine   string `json:"machineName,omitempty"`
	// Instance or Key name an instance.
	Instance string `json:"instanceId,omitempty"`
	Key      string `json:"key,omitempty"`
	Event    *Event `json:"event,omitempty"`
	// IfVersion refuses if the instance has another version; 0 does not.
	IfVersion uint64 `json:"ifVersion,omitempty"`
	// Context is the data of a new instance; State its state, if not the
	// initial one; EventID makes the creation repeatable.
	Context json.RawMessage `json:"context,omitempty"`
	State   string          `json:"state,omitempty"`
	EventID string          `json:"eventId,omitempty"`
	// OrGet returns the instance that has the key, if there is one.
	OrGet bool `json:"orGet,omitempty"`
	// After is the version after which a history begins, Limit its length. For
	// a state, After is the version and At, where that is 0, the time in Unix ms.
	After uint64 `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
	At    int64  `json:"at,omitempty"`
	// Effect is what a transition in another runtime leads to here.
	Effect *fsm.RemoteEffect `json:"effect,omitempty"`
	// Record and N name a dead letter; Record, or Records, are what causes are
	// asked about.
	Record *fsm.RecordID `json:"record,omitempty"`
	N      int           `json:"n,omitempty"`

	Records []fsm.RecordID `json:"records,omitempty"`

	// Traceparent is the W3C trace context of who sent the command. It is passed
	// on where the command is, and changes nothing.
	Traceparent string `json:"traceparent,omitempty"`
}

func (*Command) message() {}

// An Outcome answers a command: what happened, or the typed error.
type Outcome struct {
	RuntimeID string `json:"runtimeId"`
	Component string `json:"componentName,omitempty"`
	OK        bool   `json:"ok"`
	// NotMine says that this runtime does not have the instance.
	NotMine bool `json:"notMine,omitempty"`
	// Known tells, with NotMine, of which runtimes this one knows: who asked
	// others than those has a list that is out of date.
	Known uint64 `json:"known,omitempty"`
	// Ended says of an instance that was looked for that it has ended.
	Ended    bool   `json:"ended,omitempty"`
	Instance string `json:"instanceId,omitempty"`
	State    string `json:"state,omitempty"`
	Version  uint64 `json:"version,omitempty"`
	// Seq is the number of the last notice of what happened: a directory whose
	// floor has got there shows it.
	Seq uint64 `json:"seq,omitempty"`
	// Repeated is true if the event, or creation, had been accepted before.
	Repeated bool `json:"repeated,omitempty"`
	Count    int  `json:"count,omitempty"`
	Row      *Row `json:"row,omitempty"`
	// Records are those of a history, oldest first; More says that there are
	// more.
	Records []*fsm.Record `json:"records,omitempty"`
	More    bool          `json:"more,omitempty"`
	// Dead are dead letters, oldest first.
	Dead []fsm.DeadLetter `json:"dead,omitempty"`
	// The error, where not OK.
	Code     fsm.Code `json:"code,omitempty"`
	Message  string   `json:"message,omitempty"`
	Accepted []string `json:"accepted,omitempty"`
}

func (*Outcome) message() {}

// maxCommands bounds the commands that an attachment handles at a time; others
// are refused as overloaded. Only what may have to wait counts.
const maxCommands = 256

// subscribeCommands takes commands: all kinds for one runtime, and to everybody
// only what all, or any one, may be asked.
func (a *Attachment) subscribeCommands(ctx context.Context) error {
	slots := make(chan struct{}, maxCommands)
	var errs []error
	keep := func(sub *nats.Subscription, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		a.subs = append(a.subs, sub)
		errs = append(errs, sub.SetPendingLimits(pendingMessages, pendingBytes))
	}
	s, nc := a.bus.subjects, a.bus.nc
	for _, p := range a.parts {
		take := func(only string) nats.MsgHandler {
			return func(m *nats.Msg) { a.command(ctx, p, m, only, slots) }
		}
		keep(nc.Subscribe(s.runtime(p.id.RuntimeID, "command"), take("")))
		keep(nc.Subscribe(s.component(p.id.Component, "all"), take(doBroadcast)))
		keep(nc.Subscribe(s.on("locate"), take(doLocate)))
		keep(nc.QueueSubscribe(s.component(p.id.Component, "one"), "one", take(doCreate)))
	}
	return errors.Join(errs...)
}

// command takes a command; only is the one kind that is allowed, "" for all.
func (a *Attachment) command(ctx context.Context, p *part, m *nats.Msg, only string, slots chan struct{}) {
	if m.Reply == "" {
		// Who comes says so on this subject too: whoever answers here that it
		// does not have an instance has then heard of all that came before.
		if only == doLocate {
			a.heard(m)
		}
		return
	}
	var c Command
	if err := Decode(m.Data, &c); err != nil {
		a.reply(p, m, nil, &fsm.Error{Code: fsm.CodeBadValue, Component: p.id.Component, Detail: "the command cannot be read", Err: err})
		return
	}
	switch {
	case only != "" && c.Do != only:
		a.reply(p, m, nil, &fsm.Error{Code: fsm.CodeBadValue, Component: p.id.Component, Detail: fmt.Sprintf("a command %.40q has to go to one runtime", c.Do)})
	case c.Do == doLocate:
		a.locate(ctx, p, m, &c)
	default:
		select {
		case slots <- struct{}{}:
		default:
			a.reply(p, m, nil, &fsm.Error{Code: fsm.CodeOverloaded, Component: p.id.Component, Detail: "the runtime has too many commands under way"})
			return
		}
		a.work(ctx, func() {
			defer func() { <-slots }()
			out, err := a.act(ctx, p, &c)
			a.reply(p, m, out, err)
		})
	}
}

// locate says whether the runtime has an instance. One that ended long ago is
// looked for in the store, beside others.
func (a *Attachment) locate(ctx context.Context, p *part, m *nats.Msg, c *Command) {
	reply := func(out *Outcome, err error) {
		if out != nil && out.NotMine {
			out.Known = a.known()
		}
		a.reply(p, m, out, err)
	}
	out, err := a.act(ctx, p, c)
	elsewhere := c.Component != "" && c.Component != p.id.Component
	if c.Instance == "" && c.Key == "" || elsewhere || !errors.Is(err, fsm.ErrUnknownInstance) || !a.rt.Stores() {
		reply(out, err)
		return
	}
	a.work(ctx, func() {
		in, err := a.findStored(ctx, p.id.Component, c)
		if err != nil {
			reply(&Outcome{NotMine: errors.Is(err, fsm.ErrUnknownInstance)}, err)
			return
		}
		reply(found(in), nil)
	})
}

// findStored is find for an instance that is not in memory any more.
func (a *Attachment) findStored(ctx context.Context, component string, c *Command) (*fsm.Instance, error) {
	if c.Key != "" {
		return a.rt.FindByKey(ctx, component, c.Key)
	}
	in, err := a.rt.Find(ctx, c.Instance)
	if err == nil && in.Component() != component {
		return nil, &fsm.Error{Code: fsm.CodeUnknownInstance, Instance: c.Instance}
	}
	return in, err
}

// work does a job on a goroutine beside others. One that has done its job waits
// for another, until the attachment ends: a new one would have to grow its stack
// each time.
func (a *Attachment) work(ctx context.Context, job func()) {
	select {
	case a.jobs <- job:
	default:
		a.spawn(func() {
			for {
				job()
				select {
				case job = <-a.jobs:
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// reply sends the outcome of a command, or that it is too large to be sent.
func (a *Attachment) reply(p *part, m *nats.Msg, out *Outcome, err error) {
	out = outcome(out, err)
	out.RuntimeID, out.Component = p.id.RuntimeID, p.id.Component
	b, err := json.Marshal(out)
	if err == nil {
		err = a.bus.nc.Publish(m.Reply, b)
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		// What was asked for is done.
		a.send(m.Reply, &Outcome{
			RuntimeID: out.RuntimeID, Component: out.Component, Instance: out.Instance, State: out.State, Version: out.Version, Seq: out.Seq,
			Code: fsm.CodeContextTooLarge, Message: fmt.Sprintf("the answer of %d bytes is more than one message of this bus may hold", len(b)),
		})
		return
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		a.o.Logger.Warn("mesh: could not answer", "component", p.id.Component, "err", err)
	}
}

// outcome puts an error, if there is one, into an outcome.
func outcome(out *Outcome, err error) *Outcome {
	if out == nil {
		out = &Outcome{}
	}
	if err == nil {
		out.OK = true
		return out
	}
	out.Code, out.Message = fsm.ErrorCode(err), err.Error()
	if out.Code == "" {
		out.Code = fsm.CodeStoreFailed
	}
	if e, ok := errors.AsType[*fsm.Error](err); ok {
		out.State, out.Version, out.Accepted = e.State, e.Version, e.Accepted
		if e.Instance != "" {
			out.Instance = e.Instance
		}
	}
	return out
}

func (a *Attachment) act(ctx context.Context, p *part, c *Command) (*Outcome, error) {
	component := p.id.Component
	elsewhere := c.Component != "" && c.Component != component
	switch c.Do {
	case doCreate, doEffect, doBroadcast:
		if elsewhere {
			return nil, &fsm.Error{Code: fsm.CodeUnknownComponent, Component: c.Component}
		}
	case doCaused:
		return a.caused(ctx, component, c)
	case doLocate, doGet, doHistory, doSend, doStateAt, doCauses:
		if elsewhere {
			return &Outcome{NotMine: true}, &fsm.Error{Code: fsm.CodeUnknownInstance, Instance: c.Instance, Key: c.Key}
		}
	case doDeadLetters:
		return a.deadLetters(component, c)
	case doResend:
		return nil, a.resend(component, c)
	default:
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: fmt.Sprintf("unknown command %.40q", c.Do)}
	}
	switch c.Do {
	case doCreate:
		return a.create(ctx, component, c)
	case doEffect:
		return a.effect(ctx, c)
	case doBroadcast:
		ev, err := c.event()
		if err != nil {
			return nil, err
		}
		n, err := a.rt.Broadcast(ctx, c.Machine, ev, fsm.ToComponent(component), fsm.OnlyInState(c.State), fsm.WithBroadcastID(c.Event.ID))
		return &Outcome{Count: n, Seq: a.rt.Seq(component)}, err
	}
	in, err := a.find(component, c)
	if c.Do != doLocate && (c.Instance != "" || c.Key != "") && errors.Is(err, fsm.ErrUnknownInstance) {
		in, err = a.findStored(ctx, component, c)
	}
	if err != nil {
		return &Outcome{NotMine: errors.Is(err, fsm.ErrUnknownInstance)}, err
	}
	out := found(in)
	switch c.Do {
	case doLocate:
		return out, nil
	case doGet:
		row, err := rower{in}.Row()
		out.Row = &row
		return out, err
	case doHistory:
		return out, a.history(ctx, c, out)
	case doStateAt:
		return a.stateAt(ctx, in.ID(), c)
	case doCauses:
		return a.causes(ctx, c)
	case doSend:
		ev, err := c.event()
		if err != nil {
			return nil, err
		}
		// A send without options is the one that the runtime does fastest.
		var opts []fsm.SendOption
		if c.Event.ID != "" {
			opts = append(opts, fsm.WithEventID(c.Event.ID))
		}
		if c.IfVersion != 0 {
			opts = append(opts, fsm.IfVersion(c.IfVersion))
		}
		r, err := a.rt.Send(ctx, in.ID(), ev, opts...)
		if err != nil {
			return &Outcome{Instance: in.ID()}, err
		}
		return &Outcome{Instance: in.ID(), State: r.State, Version: r.Version, Seq: r.Seq, Repeated: r.Repeated}, nil
	}
	return out, nil
}

func found(in *fsm.Instance) *Outcome {
	ended := in.Status() == fsm.StatusCompleted || in.Status() == fsm.StatusError
	return &Outcome{Instance: in.ID(), State: in.State(), Version: in.Version(), Seq: in.Seq(), Ended: ended}
}

// find looks the command's instance up in one component of the runtime. One that
// has stopped cannot say that it has none.
func (a *Attachment) find(component string, c *Command) (*fsm.Instance, error) {
	select {
	case <-a.rt.Done():
		return nil, &fsm.Error{Code: fsm.CodeNotRunning, Component: component, Instance: c.Instance, Key: c.Key, Err: a.rt.Err()}
	default:
	}
	if c.Key != "" {
		return a.rt.GetByKey(component, c.Key)
	}
	in, err := a.rt.Get(c.Instance)
	if err == nil && in.Component() != component {
		return nil, &fsm.Error{Code: fsm.CodeUnknownInstance, Instance: c.Instance}
	}
	return in, err
}

func (c *Command) event() (fsm.Event, error) {
	if c.Event == nil || c.Event.Type == "" {
		return fsm.Event{}, &fsm.Error{Code: fsm.CodeBadValue, Detail: "the command has no event type"}
	}
	payload, err := object(c.Event.Payload)
	return fsm.Event{Type: c.Event.Type, Payload: payload}, err
}

// object reads a JSON object; nothing is the empty one.
func object(raw json.RawMessage) (map[string]any, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var d fsm.Data
	if err := d.UnmarshalJSON(raw); err != nil {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Err: err}
	}
	return d.Map(), nil
}

func (a *Attachment) create(ctx context.Context, component string, c *Command) (*Outcome, error) {
	data, err := object(c.Context)
	if err != nil {
		return nil, err
	}
	opts := []fsm.CreateOption{fsm.WithComponent(component), fsm.WithCreateID(c.EventID)}
	if c.State != "" {
		opts = append(opts, fsm.InState(c.State))
	}
	if c.Instance != "" {
		opts = append(opts, fsm.WithID(c.Instance))
	}
	var in *fsm.Instance
	var created bool
	if c.OrGet {
		in, created, err = a.rt.GetOrCreate(ctx, c.Machine, c.Key, data, opts...)
	} else {
		in, err = a.rt.Create(ctx, c.Machine, data, append(opts, fsm.WithKey(c.Key), fsm.TellCreated(&created))...)
	}
	if err != nil {
		return nil, err
	}
	row, err := rower{in}.Row()
	return &Outcome{Instance: in.ID(), State: in.State(), Version: in.Version(), Seq: in.Seq(), Repeated: !created, Row: &row}, err
}

// history gathers records up to what fits into one answer.
func (a *Attachment) history(ctx context.Context, c *Command, out *Outcome) error {
	size := 0
	for r, err := range a.rt.History(ctx, out.Instance, c.After) {
		if err != nil {
			return err
		}
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if size += len(b); len(out.Records) > 0 && (size > MaxReply || c.Limit > 0 && len(out.Records) >= c.Limit) {
			out.More = true
			return nil
		}
		out.Records = append(out.Records, r)
	}
	return nil
}
