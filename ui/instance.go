package ui

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
	"github.com/fsmesh/fsmesh/internal/jsonobject"
)

// An instanceView answers: what is it waiting for, what can be done now, how
// did it get here?
type instanceView struct {
	frame
	in         *fsm.Instance
	name       string
	state      badge
	machine    string
	component  string
	machineURL string
	ended      bool
	unchanged  string
	age        string
	parent     string
	parentHref string
	events     []eventView
	refused    []refusedView
	timers     []timerView
	data       fsm.Data
	context    *fsm.Data // of a machine with a public member
	diagram    templ.Component
	history    []recordView
	earlier    bool // there are records before the first one shown
	outcome    *outcome
}

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
}

// An outcome is the answer to a command.
type outcome struct {
	ok      bool
	refused bool // by the machine; else something is wrong
	heading string
	lines   []string
}

func (d *Dashboard) instance(w http.ResponseWriter, r *http.Request) {
	if setTheme(w, r) {
		return
	}
	id := r.URL.Query().Get("id")
	in, err := d.config.Runtime.Get(id)
	if err != nil {
		d.noInstance(w, r, id, err)
		return
	}
	v := d.instanceView(r, in)
	if done, err := strconv.ParseUint(r.URL.Query().Get("done"), 10, 64); err == nil {
		v.outcome = v.done(done)
	}
	d.show(w, r, http.StatusOK, instancePage(v))
}

func (d *Dashboard) noInstance(w http.ResponseWriter, r *http.Request, id string, err error) {
	if !errors.Is(err, fsm.ErrUnknownInstance) {
		d.fail(w, r, err)
		return
	}
	d.problem(w, r, http.StatusNotFound, "No instance "+strconv.Quote(id),
		"Ids are looked up exactly. It may have ended: without a store only the last ones that ended are remembered.")
}

// instanceView reads all that the page shows.
func (d *Dashboard) instanceView(r *http.Request, in *fsm.Instance) instanceView {
	m := d.find(in.Component(), in.Machine())
	v := instanceView{
		frame: d.frame(r, fullName(in.Machine(), in.Key(), in.ID()), "instance"), in: in,
		name: fullName(in.Machine(), in.Key(), in.ID()), state: badge{in.State(), in.StateType()},
		machine: in.Machine(), component: in.Component(),
		machineURL: href("machine", "component", in.Component(), "machine", in.Machine()),
		ended:      in.Status() != fsm.StatusActive, parent: in.Parent(), data: in.Data(),
	}
	v.unchanged, v.age = ago(v.now, in.UpdatedAt()), ago(v.now, in.CreatedAt())
	if v.parent != "" {
		v.parentHref = href("instance", "id", v.parent)
	}
	if _, public := in.PublicMember(); public {
		ctx := in.Context()
		v.context = &ctx
	}
	v.events, v.refused = eventsOf(m, in)
	v.timers = timersOf(m, in, v.now)
	v.history, v.earlier = d.history(r, m, in.ID())
	v.diagram = d.drawing(r.Context(), m, diagram.SVGOptions{Current: in.State(), Embed: true})
	return v
}

// eventsOf lists what the instance accepts, and what others of its machine do.
func eventsOf(m *fsm.Machine, in *fsm.Instance) (accepted []eventView, refused []refusedView) {
	for _, name := range in.Accepts() {
		ev := eventView{name: name, payload: "{}"}
		for _, t := range m.Transitions {
			if t.From == in.State() && t.Event == name {
				lead := leadOf(m, t)
				ev.ends = ev.ends || !lead.stays && (lead.to.kind == "final" || lead.to.kind == "error")
				ev.leads = append(ev.leads, lead)
			}
		}
		accepted = append(accepted, ev)
	}
	var names []string
	in2 := map[string][]string{}
	for _, t := range m.Transitions {
		if slices.Contains(in.Accepts(), t.Event) {
			continue
		}
		if in2[t.Event] == nil {
			names = append(names, t.Event)
		}
		if !slices.Contains(in2[t.Event], t.From) {
			in2[t.Event] = append(in2[t.Event], t.From)
		}
	}
	for _, n := range names {
		refused = append(refused, refusedView{n, strings.Join(in2[n], ", ")})
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

func timersOf(m *fsm.Machine, in *fsm.Instance, now time.Time) []timerView {
	var out []timerView
	for _, t := range in.Timers() {
		left := max(t.Due.Sub(now), 0)
		share := 100.0
		if t.Total > 0 {
			share = min(100*float64(t.Total-left)/float64(t.Total), 100)
		}
		out = append(out, timerView{
			event: t.Event, to: badgeOf(m, t.TargetState), left: span(left), total: span(t.Total), due: t.Due,
			gone: fmt.Sprintf("%.0f %%", share), gonePart: fmt.Sprintf("%.2f%%", share), remains: fmt.Sprintf("%.2f%%", 100-share),
		})
	}
	return out
}

// maxHistory bounds the records that a page shows: the last ones.
const maxHistory = 200

// history reads the records of an instance, newest first.
func (d *Dashboard) history(r *http.Request, m *fsm.Machine, id string) (out []recordView, earlier bool) {
	var records []*fsm.Record
	for rec, err := range d.config.Runtime.History(r.Context(), id) {
		if err != nil {
			d.config.Logger.Error("history not read", "instance", id, "error", err)
			break
		}
		records = append(records, rec)
	}
	earlier = len(records) > maxHistory || len(records) > 0 && records[0].Version > 1
	for i := len(records) - 1; i >= max(0, len(records)-maxHistory); i-- {
		var before *fsm.Record
		if i > 0 {
			before = records[i-1]
		}
		out = append(out, recordOf(m, records[i], before))
	}
	return out, earlier
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
	who := v.machine + " " + nameOf(v.in.Key(), v.in.ID())
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
		if v.in.Version() > version {
			o.lines = append(o.lines, fmt.Sprintf("It has moved on since, to version %d.", v.in.Version()))
		}
		return o
	}
	return nil
}

// send sends the event of a form, and leads to the page that shows what it
// did. Refused, the page says so at once and keeps what was entered.
func (d *Dashboard) send(w http.ResponseWriter, r *http.Request) {
	if err := readForm(r); err != nil {
		d.badForm(w, r, err)
		return
	}
	id, name, text := r.PostForm.Get("id"), r.PostForm.Get("event"), r.PostForm.Get("payload")
	in, err := d.config.Runtime.Get(id)
	if err != nil {
		d.noInstance(w, r, id, err)
		return
	}
	payload, err := readObject(text)
	if err != nil {
		o := outcome{heading: name + " was not sent: its payload is not a JSON object", lines: []string{sentence(err.Error()) + "."}}
		d.answer(w, r, in, http.StatusBadRequest, name, text, o)
		return
	}
	var opts []fsm.SendOption
	if seen, err := strconv.ParseUint(r.PostForm.Get("version"), 10, 64); err == nil {
		opts = append(opts, fsm.IfVersion(seen))
	}
	res, err := d.config.Runtime.Send(r.Context(), id, fsm.Event{Type: name, Payload: payload}, opts...)
	if err == nil {
		redirect(w, href("instance", "id", id, "done", strconv.FormatUint(res.Version, 10)))
		return
	}
	if now, getErr := d.config.Runtime.Get(id); getErr == nil {
		in = now
	}
	d.answer(w, r, in, httpStatus(err), name, text, refusal(in, name, err))
}

func (d *Dashboard) badForm(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadRequest
	if e, ok := errors.AsType[*formError](err); ok {
		status = e.status
	}
	d.problem(w, r, status, "The form was not taken", sentence(err.Error())+".")
}

// answer shows an instance with the answer to a command that did nothing.
func (d *Dashboard) answer(w http.ResponseWriter, r *http.Request, in *fsm.Instance, status int, event, payload string, o outcome) {
	v := d.instanceView(r, in)
	// The address is that of a form: it must not be asked for again.
	v.live, v.self = false, href("instance", "id", in.ID())
	for i := range v.events {
		if v.events[i].name == event {
			v.events[i].open, v.events[i].payload = true, payload
		}
	}
	v.outcome = &o
	d.show(w, r, status, instancePage(v))
}

// refusal puts the error of a send into words.
func refusal(in *fsm.Instance, event string, err error) outcome {
	who := in.Machine() + " " + nameOf(in.Key(), in.ID())
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
