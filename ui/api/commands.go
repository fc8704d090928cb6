package api

import (
	"context"
	"net/http"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// What the ancestor says of a command that went well, word for word.
const (
	sentToRuntime  = "Event sent to runtime"
	sentToRuntimes = "Event sent to runtimes"
	createSent     = "Create instance command sent"
)

// A done is the answer to a command that was carried out.
type done struct {
	Success bool   `json:"success"` // always true: else the answer is a problem
	Message string `json:"message"`

	InstanceID string `json:"instanceId"`
	Component  string `json:"componentName"`
	State      string `json:"state"`
	Version    uint64 `json:"version"`
	// Seq is the number of the last notice of what happened, of its runtime.
	Seq       uint64 `json:"seq"`
	RuntimeID string `json:"runtimeId"`
	// Repeated is true where it had happened before: by the same
	// Idempotency-Key, or, for a creation, as the key was in use already.
	Repeated bool `json:"repeated"`
	// Shown is false if lists do not show it yet.
	Shown bool `json:"shown"`
	// Note says what Shown means, where it is false.
	Note string `json:"note,omitempty"`
}

// conclude waits until the view shows what a command did, and answers.
func (a *API) conclude(w http.ResponseWriter, r *http.Request, message string, out *mesh.Outcome) error {
	d := done{
		Success: true, Message: message, InstanceID: out.Instance, Component: out.Component, State: out.State,
		Version: out.Version, Seq: out.Seq, RuntimeID: out.RuntimeID, Repeated: out.Repeated,
	}
	if d.Shown = a.await(r.Context(), out.RuntimeID, out.Seq); !d.Shown {
		d.Note = "it is done, but lists do not show it yet: the view is behind the runtime"
	}
	return answer(w, d)
}

// await waits until the view has taken in what a runtime told up to a number,
// for so long and no longer. It reports whether it has.
func (a *API) await(ctx context.Context, runtimeID string, seq uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, a.c.ShownWithin)
	defer cancel()
	return a.c.View.Await(ctx, runtimeID, seq) == nil
}

// send is all addresses that send an event to one instance.
func (a *API) send(message string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := queryOf(r); err != nil {
			return err
		}
		id, err := eventID(r)
		if err != nil {
			return err
		}
		ev, err := a.readEvent(w, r)
		if err != nil {
			return err
		}
		t := target(r)
		out, err := a.c.Commands.Send(r.Context(), t, fsm.Event{Type: ev.kind, Payload: ev.payload}, mesh.SendOptions{EventID: id, IfVersion: ev.ifVersion})
		if err != nil {
			return a.explain(t, Meant(err, ev.kind))
		}
		return a.conclude(w, r, message, out)
	}
}

// postInstance creates an instance.
func (a *API) postInstance(w http.ResponseWriter, r *http.Request) error {
	return a.create(w, r, r.PathValue("component"), "")
}

// putKey gets the instance that has a key, or creates it.
func (a *API) putKey(w http.ResponseWriter, r *http.Request) error {
	return a.create(w, r, r.PathValue("component"), r.PathValue("key"))
}

// create creates an instance; with a key in the path it may be there already.
func (a *API) create(w http.ResponseWriter, r *http.Request, name, key string) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	id, err := eventID(r)
	if err != nil {
		return err
	}
	o, err := a.readObject(w, r)
	if err != nil {
		return err
	}
	machine, errMachine := o.text("machineName")
	data, errData := o.object("context")
	opts := mesh.CreateOptions{EventID: id}
	var errKey, errID, errState, errGet error
	opts.Key, errKey = o.text("key")
	opts.ID, errID = o.text("id")
	opts.State, errState = o.text("state")
	opts.OrGet, errGet = o.yes("orGet")
	for _, err := range []error{errMachine, errData, errKey, errID, errState, errGet} {
		if err != nil {
			return err
		}
	}
	if key != "" {
		if opts.Key != "" && opts.Key != key {
			return wrong(CodeBadBody, "the key is %q in the address and %q in the body", key, opts.Key)
		}
		opts.Key, opts.OrGet = key, true
	}
	if opts.OrGet && opts.Key == "" {
		return wrong(CodeBadBody, `"orGet" needs a "key": it is what the instance is found by`)
	}
	if machine, err = a.checkCreation(name, machine, data); err != nil {
		return err
	}
	out, err := a.c.Commands.Create(r.Context(), name, machine, data, opts)
	if err != nil {
		if CodeOf(err) == fsm.CodeUnknownComponent {
			return unknownComponent(name, a.components())
		}
		return err
	}
	return a.conclude(w, r, createSent, out)
}

// checkCreation checks what can be checked before a runtime is asked: the
// machine, and the context against its schema. It returns the machine, which is
// the component's entry machine where none is given.
func (a *API) checkCreation(name, machine string, data map[string]any) (string, error) {
	c, err := a.component(name)
	if err != nil {
		return "", err
	}
	if c.def == nil {
		if machine == "" {
			return "", wrong(CodeBadBody, `"machineName" is missing: what component %q has is not known`, name)
		}
		return machine, nil
	}
	if machine == "" {
		machine = c.def.EntryMachine
	}
	if machine == "" && len(c.def.StateMachines) == 1 {
		machine = c.def.StateMachines[0].Name
	}
	var names []string
	for _, m := range c.def.StateMachines {
		names = append(names, m.Name)
	}
	if machine == "" {
		return "", wrong(CodeBadBody, `"machineName" is missing, and component %q has no entry machine%s`, name, suggest("", names))
	}
	m := c.machine(machine)
	if m == nil {
		return "", wrong(fsm.CodeUnknownMachine, "component %q has no machine %q%s", name, machine, suggest(machine, names))
	}
	if faults := m.CheckContext(data); len(faults) > 0 {
		e := wrong(CodeBadContext, "the context of a new %s is not as its schema says", machine)
		e.Faults = faults
		sep := ": "
		for _, f := range faults {
			e.Detail += sep + f.String()
			sep = "; "
		}
		return "", e
	}
	return machine, nil
}

// postBroadcast sends an event to all instances of a machine.
func (a *API) postBroadcast(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	id, err := eventID(r)
	if err != nil {
		return err
	}
	ev, err := a.readEvent(w, r)
	if err != nil {
		return err
	}
	state, err := ev.body.text("state")
	if err != nil {
		return err
	}
	name, machine := r.PathValue("component"), r.PathValue("machine")
	c, err := a.component(name)
	if err != nil {
		return err
	}
	if state == "*" {
		state = ""
	}
	if err := checkNames([]*component{c}, machine, state); err != nil {
		return err
	}
	n, err := a.c.Commands.Broadcast(r.Context(), name, machine, state, fsm.Event{Type: ev.kind, Payload: ev.payload}, id)
	if err != nil {
		if CodeOf(err) == CodeMissing {
			return &partialError{n, err}
		}
		return err
	}
	return answer(w, map[string]any{"success": true, "message": sentToRuntimes, "count": n})
}
