package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/redact"
	"github.com/fsmesh/fsmesh/mesh"
)

// Unconfirmed is the message of an outcome that nobody confirmed: the broker has
// the command, and the runtime does not answer commands.
const Unconfirmed = "sent, no confirmation"

// command does what the mesh asks of a runtime behind the bridge, as far as the
// broker can carry it.
func (r *behind) command(ctx context.Context, c *mesh.Command) *mesh.Outcome {
	out, err := r.act(ctx, c)
	if out == nil {
		out = &mesh.Outcome{}
	}
	if err == nil {
		out.OK = true
		return out
	}
	out.OK, out.Code, out.Message = false, fsm.ErrorCode(err), err.Error()
	if out.Code == "" {
		out.Code = fsm.CodeUnknownOutcome
	}
	return out
}

func (r *behind) act(ctx context.Context, c *mesh.Command) (*mesh.Outcome, error) {
	switch c.Do {
	case mesh.DoCreate:
		return r.create(ctx, c)
	case mesh.DoEffect:
		return r.effect(ctx, c)
	case mesh.DoBroadcast:
		return r.broadcast(ctx, c)
	}
	if byID := c.Instance != "" && (c.Do == mesh.DoSend || c.Do == mesh.DoLocate); !byID {
		if err := r.s.follow(ctx); err != nil {
			return nil, err
		}
	}
	h := r.find(c)
	if h == nil && !r.s.follows.Load() && !r.s.onMeshItself(c) {
		h = &held{Row: mesh.Row{ID: c.Instance}} // who has it cannot be known; the broker takes it to all
	}
	if h == nil {
		return &mesh.Outcome{NotMine: true}, &fsm.Error{Code: fsm.CodeUnknownInstance, Instance: c.Instance, Key: c.Key}
	}
	out := &mesh.Outcome{Instance: h.ID, State: h.State, Version: h.Version, Seq: h.Seq}
	switch c.Do {
	case mesh.DoLocate:
		return out, nil
	case mesh.DoGet:
		row := h.Row
		out.Row = &row
		return out, nil
	case mesh.DoSend:
		return r.send(ctx, c, h)
	case mesh.DoHistory:
		return nil, &fsm.Error{Code: fsm.CodePersistence, Detail: "the history of an instance behind a bridge is with its own runtime"}
	}
	return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "unknown command " + c.Do}
}

// onMeshItself reports whether a runtime of the mesh has the instance of a command:
// they are asked, as the picture of them may be a moment behind.
func (s *session) onMeshItself(c *mesh.Command) bool {
	var list []mesh.RuntimeInfo
	s.view.Read(func(d *mesh.Directory) { list = d.Runtimes(time.Now()) })
	for i := range list {
		info := &list[i]
		_, guest := routeOf(info.Process)
		if guest || info.Status != mesh.Live || c.Component != "" && info.Component != c.Component {
			continue
		}
		out, err := s.b.client.Do(s.ctx, info.RuntimeID, &mesh.Command{Do: mesh.DoLocate, Component: c.Component, Instance: c.Instance})
		if err == nil && out.OK {
			return true
		}
	}
	return false
}

func (r *behind) find(c *mesh.Command) *held {
	if c.Key == "" {
		return r.table.get(c.Instance)
	}
	for _, row := range r.table.live(func(row *mesh.Row) bool { return row.Key == c.Key }) {
		return r.table.get(row.ID)
	}
	return nil
}

func (r *behind) send(ctx context.Context, c *mesh.Command, h *held) (*mesh.Outcome, error) {
	if c.Event == nil || c.Event.Type == "" {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "the command has no event type"}
	}
	// A version that is held may be a moment old: the runtime itself compares.
	if c.IfVersion != 0 && !r.answers() {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Instance: h.ID, Detail: "the runtime behind the bridge does not tell versions, so ifVersion cannot be asked"}
	}
	ev := fromEvent(c.Event, time.Now().UnixMilli())
	changes, leave := r.watch(h.ID)
	defer leave()
	return r.ask(ctx, TriggerEvent, &Body{Component: r.component(), Instance: h.ID, Event: ev, IfVersion: c.IfVersion, Traceparent: c.Traceparent}, changes, func(n *mesh.Notice) bool {
		return n.Event != nil && n.Event.Type == ev.Type && (n.Event.ID == "" || ev.ID == "" || n.Event.ID == ev.ID)
	})
}

func (r *behind) create(ctx context.Context, c *mesh.Command) (*mesh.Outcome, error) {
	if (c.Key != "" || c.Instance != "" || c.State != "") && !r.answers() {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "the runtime behind the bridge knows no keys, and chooses ids and states by itself"}
	}
	changes, leave := r.watch("")
	defer leave()
	body := &Body{
		Component: r.component(), Machine: c.Machine, Instance: c.Instance, State: c.State, Context: or(c.Context, nothing),
		EventID: c.EventID, Key: c.Key, OrGet: c.OrGet, Traceparent: c.Traceparent,
	}
	return r.ask(ctx, CreateInstance, body, changes, func(n *mesh.Notice) bool {
		return (c.Machine == "" || n.Machine == c.Machine) && sameValue(n.Context, body.Context)
	})
}

func sameValue(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// broadcast sends the event to each instance in question: the ancestor has no
// broadcast of its own that can be relied on.
func (r *behind) broadcast(ctx context.Context, c *mesh.Command) (*mesh.Outcome, error) {
	if c.Event == nil || c.Event.Type == "" {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "the command has no event type"}
	}
	if err := r.s.follow(ctx); err != nil {
		return nil, err
	}
	rows := r.table.live(func(row *mesh.Row) bool {
		return (c.Machine == "" || row.Machine == c.Machine) && (c.State == "" || c.State == "*" || row.State == c.State)
	})
	out := &mesh.Outcome{Message: Unconfirmed}
	for i := range rows {
		ev := fromEvent(c.Event, time.Now().UnixMilli())
		if ev.ID != "" {
			ev.ID += "/" + rows[i].ID
		}
		frames, err := r.s.frames(TriggerEvent, &Body{Component: r.component(), Instance: rows[i].ID, Event: ev})
		if err == nil {
			err = r.s.send(ctx, frames)
		}
		if err != nil {
			return out, err
		}
		out.Count++
	}
	return out, nil
}

// ask publishes a command and waits for what can be known of its outcome: the
// answer of a runtime that gives one, else the change that it leads to.
func (r *behind) ask(ctx context.Context, k Kind, b *Body, changes <-chan *mesh.Notice, is func(*mesh.Notice) bool) (*mesh.Outcome, error) {
	r.s.b.counts.add(countOutCommands, 1)
	b.CorrelationID = newID()
	answer := make(chan *Body, 1)
	r.s.mu.Lock()
	r.s.waits[b.CorrelationID] = answer
	r.s.mu.Unlock()
	defer func() {
		r.s.mu.Lock()
		delete(r.s.waits, b.CorrelationID)
		r.s.mu.Unlock()
	}()
	frames, err := r.s.frames(k, b)
	if err == nil {
		err = r.s.send(ctx, frames)
	}
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, r.s.c.Confirm)
	defer cancel()
	for {
		select {
		case n := <-changes:
			if !r.answers() && is(n) {
				return &mesh.Outcome{Instance: n.Instance, State: n.State, Version: n.Version, Seq: n.Seq}, nil
			}
		case a := <-answer:
			return r.outcome(wait, a)
		case <-wait.Done():
			if r.answers() {
				return nil, &fsm.Error{Code: fsm.CodeUnknownOutcome, Instance: b.Instance, Detail: "the runtime behind the bridge did not answer in time"}
			}
			return &mesh.Outcome{Instance: b.Instance, Message: Unconfirmed}, nil
		}
	}
}

// outcome is what a runtime answered. It is given back once the bridge holds what
// it led to, if it hears of that, so that it can be waited for by the bridge's own
// number.
func (r *behind) outcome(ctx context.Context, a *Body) (*mesh.Outcome, error) {
	out := &mesh.Outcome{Instance: a.Instance, State: a.State, Version: a.Version, Repeated: a.Repeated}
	if !*a.OK {
		return out, &fsm.Error{Code: fsm.Code(a.Code), Instance: a.Instance, State: a.State, Version: a.Version, Detail: a.Message}
	}
	for r.s.follows.Load() && a.Instance != "" && a.Version != 0 {
		if h := r.table.get(a.Instance); h != nil && h.Version >= a.Version {
			out.Seq = h.Seq
			break
		}
		if !pause(ctx, 2*time.Millisecond) {
			break
		}
	}
	return out, nil
}

// responded takes in the answer of a runtime to a command.
func (s *session) responded(b *Body) {
	s.mu.Lock()
	ch := s.waits[b.CorrelationID]
	s.mu.Unlock()
	if ch == nil {
		return // it is somebody else's, or too late
	}
	select {
	case ch <- b:
	default:
	}
}

// sendTimeout bounds how long a command waits for the broker to take it.
const sendTimeout = 3 * time.Second

// send publishes a command at once, beside what waits in the outbox.
func (s *session) send(ctx context.Context, frames []Frame) error {
	if len(frames) == 0 {
		return &fsm.Error{Code: fsm.CodeConfig, Detail: "the bridge does not mirror the channel for it; nothing was sent"}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	n, err := s.broker.Publish(ctx, frames)
	s.b.counts.add(countPublished, n)
	switch {
	case err == nil, n > 0: // one of the dialects has it
		return nil
	case errors.Is(err, ErrNotSent):
		return &fsm.Error{Code: fsm.CodeNotRunning, Detail: "the broker is not connected; nothing was sent"}
	}
	return &fsm.Error{Code: fsm.CodeUnknownOutcome, Detail: redact.Error(err, s.c.URL).Error()}
}
