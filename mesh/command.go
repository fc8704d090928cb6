package mesh

import (
	"context"
	"encoding/json"
	"errors"

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
	// After is the version after which a history begins, Limit its length.
	After uint64 `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
	// Effect is what a transition in another runtime leads to here.
	Effect *fsm.RemoteEffect `json:"effect,omitempty"`
}

func (*Command) message() {}

// An Outcome answers a command: what happened, or the typed error.
type Outcome struct {
	RuntimeID string `json:"runtimeId"`
	Component string `json:"componentName,omitempty"`
	OK        bool   `json:"ok"`
	// NotMine says that this runtime does not have the instance.
	NotMine  bool   `json:"notMine,omitempty"`
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
	// The error, where not OK.
	Code     fsm.Code `json:"code,omitempty"`
	Message  string   `json:"message,omitempty"`
	Accepted []string `json:"accepted,omitempty"`
}

func (*Outcome) message() {}

// maxCommands bounds the commands that an attachment handles at a time; others
// are refused as overloaded.
const maxCommands = 256

// subscribeCommands takes commands: for one runtime, for any or all of a
// component, for whoever has an instance.
func (a *Attachment) subscribeCommands(ctx context.Context) error {
	slots := make(chan struct{}, maxCommands)
	jobs := make(chan func())
	// A goroutine that has done its job waits for another, until the attachment
	// ends: a new one would have to grow its stack each time.
	run := func(job func()) {
		select {
		case jobs <- job:
		default:
			a.wg.Go(func() {
				for {
					job()
					select {
					case job = <-jobs:
					case <-ctx.Done():
						return
					}
				}
			})
		}
	}
	handle := func(p *part) nats.MsgHandler {
		return func(m *nats.Msg) {
			if m.Reply == "" {
				return
			}
			var c Command
			if err := Decode(m.Data, &c); err != nil {
				a.send(m.Reply, &Outcome{RuntimeID: p.id.RuntimeID, Code: fsm.CodeBadValue, Message: err.Error()})
				return
			}
			select {
			case slots <- struct{}{}:
			default:
				a.send(m.Reply, &Outcome{RuntimeID: p.id.RuntimeID, Code: fsm.CodeOverloaded, Message: "the runtime has too many commands under way; try again later"})
				return
			}
			run(func() {
				defer func() { <-slots }()
				out := a.do(ctx, p, &c)
				out.RuntimeID, out.Component = p.id.RuntimeID, p.id.Component
				a.send(m.Reply, out)
			})
		}
	}
	var errs []error
	for _, p := range a.parts {
		s := a.bus.subjects
		for _, subject := range []string{s.runtime(p.id.RuntimeID, "command"), s.component(p.id.Component, "all"), s.on("locate")} {
			sub, err := a.bus.nc.Subscribe(subject, handle(p))
			if err == nil {
				a.subs = append(a.subs, sub)
			}
			errs = append(errs, err)
		}
		sub, err := a.bus.nc.QueueSubscribe(s.component(p.id.Component, "one"), "one", handle(p))
		if err == nil {
			a.subs = append(a.subs, sub)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *Attachment) do(ctx context.Context, p *part, c *Command) *Outcome {
	out, err := a.act(ctx, p, c)
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
	if err != nil {
		return &Outcome{NotMine: true}, err
	}
	out := &Outcome{Instance: in.ID(), State: in.State(), Version: in.Version(), Seq: in.Seq()}
	switch c.Do {
	case doLocate:
		return out, nil
	case doGet:
		row, err := rower{in}.Row()
		out.Row = &row
		return out, err
	case doHistory:
		return out, a.history(ctx, c, out)
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
	return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "unknown command " + c.Do}
}

// find looks the command's instance up in one component of the runtime.
func (a *Attachment) find(component string, c *Command) (*fsm.Instance, error) {
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
	created := true
	if c.OrGet {
		in, created, err = a.rt.GetOrCreate(ctx, c.Machine, c.Key, data, opts...)
	} else {
		in, err = a.rt.Create(ctx, c.Machine, data, append(opts, fsm.WithKey(c.Key))...)
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
	for r, err := range a.rt.History(ctx, out.Instance) {
		if err != nil {
			return err
		}
		if r.Version <= c.After {
			continue
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
