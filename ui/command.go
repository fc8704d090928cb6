package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/jsonobject"
	"github.com/fsmesh/fsmesh/mesh"
)

// awaitTime is how long the page after a post waits for what the post did.
const awaitTime = time.Second

// An outcome is the answer to a command.
type outcome struct {
	ok      bool
	refused bool // by the machine; else something is wrong
	heading string
	lines   []string
}

// behind is the outcome where the view does not show yet what was done.
func behind(version uint64) *outcome {
	return &outcome{refused: true, heading: fmt.Sprintf("Done, as version %d, but not shown yet", version),
		lines: []string{"The runtime has stored it. What this page shows is older: it is catching up, and shows it by itself or when it is asked for again."}}
}

// shown waits until the view shows what a command did, and returns the address
// of the page that does. It says in the address where it has not.
func (d *Dashboard) shown(ctx context.Context, out *mesh.Outcome, name string, pairs ...string) string {
	bounded, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	late := ""
	if d.config.View.Await(bounded, out.RuntimeID, out.Seq) != nil {
		late = "1"
	}
	return href(name, append(pairs, "done", strconv.FormatUint(max(out.Version, 1), 10), "behind", late)...)
}

// send sends the event of a form, and leads to the page that shows what it
// did. Refused, the page says so at once and keeps what was entered.
func (d *Dashboard) send(w http.ResponseWriter, r *http.Request) {
	if err := readForm(r); err != nil {
		d.show(w, r, d.badForm(r, err))
		return
	}
	form := r.PostForm
	id, name, text := form.Get("id"), form.Get("event"), form.Get("payload")
	_, in, other := d.locate(r, form)
	if other != nil {
		d.show(w, r, *other)
		return
	}
	payload, err := readObject(text)
	if err != nil {
		o := outcome{heading: name + " was not sent: its payload is not a JSON object", lines: []string{sentence(err.Error()) + "."}}
		d.show(w, r, d.answer(r, in, http.StatusBadRequest, o))
		return
	}
	var opts mesh.SendOptions
	if seen, err := strconv.ParseUint(form.Get("version"), 10, 64); err == nil {
		opts.IfVersion = seen
	}
	target := mesh.Target{ID: id, RuntimeID: in.RuntimeID}
	out, err := d.config.Client.Send(r.Context(), target, fsm.Event{Type: name, Payload: payload}, opts)
	if err == nil {
		redirect(w, d.shown(r.Context(), out, "instance", "id", id, "component", form.Get("component"), "runtime", form.Get("runtime"), "runtimeId", form.Get("runtimeId")))
		return
	}
	// How it is now, from who has it: the view may be a moment behind.
	if now := d.ask(r.Context(), target); now != nil {
		in = now
	}
	d.show(w, r, d.answer(r, in, httpStatus(err), refusal(in, name, err)))
}

func (d *Dashboard) badForm(r *http.Request, err error) page {
	status := http.StatusBadRequest
	if e, ok := errors.AsType[*formError](err); ok {
		status = e.status
	}
	return d.problem(r, status, "The form was not taken", sentence(err.Error())+".")
}

// answer shows an instance with the answer to a command that did nothing, and
// the form as it was filled in.
func (d *Dashboard) answer(r *http.Request, in *mesh.Instance, status int, o outcome) page {
	v := d.instanceView(r, d.read(nil), in)
	// The address is that of a form: it must not be asked for again.
	v.live, v.self = false, addressOf(in, false)
	for i := range v.events {
		if v.events[i].name == r.PostForm.Get("event") {
			v.events[i].open, v.events[i].payload = true, r.PostForm.Get("payload")
		}
	}
	v.outcome = &o
	return page{status, instancePage(v)}
}

// refusal puts the error of a send into words.
func refusal(in *mesh.Instance, event string, err error) outcome {
	who := in.Machine + " " + nameOf(in.Key, in.ID)
	e, _ := errors.AsType[*fsm.Error](err)
	switch fsm.ErrorCode(err) {
	case fsm.CodeEventIgnored:
		accepted := "nothing"
		if len(e.Accepted) > 0 {
			accepted = strings.Join(e.Accepted, ", ")
		}
		return outcome{refused: true, heading: fmt.Sprintf("%s ignored %s in state %s", who, event, e.State),
			lines: []string{"Nothing was stored. Accepted now: " + accepted + "."}}
	case fsm.CodeVersionMoved:
		return outcome{refused: true, heading: fmt.Sprintf("%s was not sent: %s has moved on", event, who),
			lines: []string{fmt.Sprintf("It is at version %d now, in state %s. This page shows it as it is now.", e.Version, e.State)}}
	case fsm.CodeInstanceEnded, fsm.CodeInstanceInactive:
		return outcome{refused: true, heading: fmt.Sprintf("%s was not sent: %s has ended", event, who), lines: []string{"It takes no more events."}}
	case fsm.CodeUnknownInstance:
		return outcome{heading: fmt.Sprintf("%s was not sent: runtime %s does not have %s", event, in.Name, who), lines: []string{"The runtime has gone, or the instance has."}}
	}
	if errors.Is(err, mesh.ErrNoAnswer) {
		return outcome{heading: "It is not known whether " + event + " was taken", lines: []string{"The runtime did not answer in time. Look at the history below before you send it again."}}
	}
	return outcome{heading: event + " was not taken", lines: []string{sentence(err.Error()) + "."}}
}

// readObject reads the JSON object of a text field; an empty field is an empty
// object.
func readObject(text string) (map[string]any, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	return jsonobject.Read(text)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
