package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/fsmesh/fsmesh/mesh"
)

// MaxBody is the most bytes of a body from outside that are looked at.
const MaxBody = 8 << 20

// maxRows bounds the instances of one answer that are taken over.
const maxRows = 200_000

// A Body is what goes over a channel, of any kind: the fields that the kind has
// not are zero. docs/wire.md has them by channel.
type Body struct {
	RuntimeID string `json:"runtimeId,omitempty"`
	Component string `json:"componentName,omitempty"`
	// Type is "discover", "query_all_instances" or "instances".
	Type      string `json:"type,omitempty"`
	EventType string `json:"eventType,omitempty"`
	// Definition is the whole component.
	Definition json.RawMessage `json:"component,omitempty"`
	Host       string          `json:"host,omitempty"`
	Port       *int            `json:"port,omitempty"`
	Data       *Data           `json:"data,omitempty"`
	Instances  *[]Row          `json:"instances,omitempty"`
	// Runtimes are those that a merged answer is given for.
	Runtimes []Answering `json:"runtimes,omitempty"`

	// Commands.
	Instance        string          `json:"instanceId,omitempty"`
	Machine         string          `json:"machineName,omitempty"`
	State           string          `json:"currentState,omitempty"`
	Context         json.RawMessage `json:"context,omitempty"`
	Event           *Event          `json:"event,omitempty"`
	TargetComponent string          `json:"targetComponent,omitempty"`
	TargetMachine   string          `json:"targetMachine,omitempty"`
	TargetState     string          `json:"targetState,omitempty"`
	Rules           *[]Rule         `json:"matchingRules,omitempty"`
	Filters         []Filter        `json:"filters,omitempty"`
	SourceComponent string          `json:"sourceComponent,omitempty"`
	SourceInstance  string          `json:"sourceInstanceId,omitempty"`
	// EventID is the event of a creation: applied once. A creation may have the id, the
	// key and the state of the new instance, too; OrGet takes the one that has the key.
	EventID string `json:"eventId,omitempty"`
	OrGet   bool   `json:"orGet,omitempty"`
	// IfVersion has an event refused if its instance has another version.
	IfVersion uint64 `json:"ifVersion,omitempty"`

	// Answers to commands.
	OK      *bool  `json:"ok,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// Repeated says that it was done before.
	Repeated bool `json:"repeated,omitempty"`

	Timestamp int64 `json:"timestamp"`

	// What fsmesh adds.
	ID            string `json:"id,omitempty"`
	Origin        string `json:"origin,omitempty"`
	Hops          int    `json:"hops,omitempty"`
	CorrelationID string `json:"correlationId,omitempty"`
	// Traceparent is the W3C trace context of a command, also on its answer.
	Traceparent string  `json:"traceparent,omitempty"`
	Name        string  `json:"name,omitempty"`
	Process     string  `json:"process,omitempty"`
	Epoch       uint64  `json:"epoch,omitempty"`
	Log         string  `json:"log,omitempty"`
	Protocol    int     `json:"protocol,omitempty"`
	Seq         *uint64 `json:"seq,omitempty"`
	Version     uint64  `json:"version,omitempty"`
	Part        int     `json:"part,omitempty"`
	Key         string  `json:"key,omitempty"`
	AsOf        *uint64 `json:"asOf,omitempty"`
	Chunk       int     `json:"chunk,omitempty"` // from 1
	Last        bool    `json:"last,omitempty"`
	// Copy says that the same was sent in the documented dialect as well, Merged
	// that the rows are of all runtimes of the component, each with its own, LeftOut
	// how many rows are not among them.
	Copy    bool `json:"copy,omitempty"`
	Merged  bool `json:"merged,omitempty"`
	LeftOut int  `json:"leftOut,omitempty"`

	// nameless says that the id is one that this bridge has given to a command
	// without one, claim what it claimed for it, host the name of the runtime that may
	// have made the instance of a creation, as it did not say.
	nameless bool
	claim    string
	host     string
}

// Data is what a notice tells.
type Data struct {
	Instance     string           `json:"instanceId"`
	Machine      string           `json:"machineName"`
	Previous     string           `json:"previousState,omitempty"`
	NewState     string           `json:"newState,omitempty"`
	CurrentState string           `json:"currentState,omitempty"`
	FinalState   string           `json:"finalState,omitempty"`
	Event        *Event           `json:"event,omitempty"`
	Context      json.RawMessage  `json:"context,omitempty"`
	Pending      *json.RawMessage `json:"pendingTimeouts,omitempty"`
	PublicMember json.RawMessage  `json:"publicMember,omitempty"`
	Status       mesh.Status      `json:"status,omitempty"`
	Error        string           `json:"error,omitempty"`
	Parent       string           `json:"parentInstanceId,omitempty"`
}

// A Row is one instance of an answer.
type Row struct {
	ID           string          `json:"id"`
	Machine      string          `json:"machineName"`
	State        string          `json:"currentState"`
	Context      json.RawMessage `json:"context"`
	Pending      json.RawMessage `json:"pendingTimeouts"`
	PublicMember json.RawMessage `json:"publicMember,omitempty"`
	Seq          uint64          `json:"seq,omitempty"`
	Version      uint64          `json:"version,omitempty"`
	Key          string          `json:"key,omitempty"`
	Parent       string          `json:"parentInstanceId,omitempty"`
	// RuntimeID is there in merged answers only.
	RuntimeID string `json:"runtimeId,omitempty"`
}

// Answering is a runtime that a merged answer is given for: what it has, as of a
// number of its own, but for those of its rows that are left out.
type Answering struct {
	RuntimeID string  `json:"runtimeId"`
	Hops      int     `json:"hops,omitempty"`
	AsOf      *uint64 `json:"asOf,omitempty"`
	LeftOut   int     `json:"leftOut,omitempty"`
}

// An Event is the one that a command brings or a notice tells of.
type Event struct {
	Type            string          `json:"type"`
	Payload         json.RawMessage `json:"payload"`
	Timestamp       int64           `json:"timestamp,omitempty"`
	SourceComponent string          `json:"_sourceComponent,omitempty"`
	ID              string          `json:"id,omitempty"`
}

// A Rule chooses instances of another component by a value of the sender.
type Rule struct {
	EventProperty    string          `json:"eventProperty"`
	InstanceProperty string          `json:"instanceProperty"`
	Operator         string          `json:"operator"`
	Value            json.RawMessage `json:"value"`
}

// A Filter chooses instances by a value of theirs.
type Filter struct {
	Property string          `json:"property"`
	Operator string          `json:"operator,omitempty"`
	Value    json.RawMessage `json:"value"`
}

// Encode writes a body.
func (b *Body) Encode() ([]byte, error) {
	if b.TargetState == "" || b.Event == nil {
		return json.Marshal(b)
	}
	// A broadcast to a component has its event in three fields.
	plain := *b
	plain.Event = nil
	return json.Marshal(&struct {
		Event   string          `json:"event"`
		Payload json.RawMessage `json:"payload,omitempty"`
		EventID string          `json:"eventId,omitempty"`
		*Body
	}{b.Event.Type, b.Event.Payload, b.Event.ID, &plain})
}

// Decode reads a body of a kind, leniently: unknown fields, and fields that it
// could do without and that have the wrong type, are left out. It fails with
// *PoisonError if the body is too large, is no JSON object, or lacks what the
// kind needs.
func Decode(k Kind, raw []byte) (*Body, error) {
	if len(raw) > MaxBody {
		return nil, poison("%s: a body of %d bytes is too large, %d are allowed", k, len(raw), MaxBody)
	}
	if !utf8.Valid(raw) {
		return nil, poison("%s: the body is not UTF-8", k)
	}
	f, err := object(raw)
	if err != nil {
		return nil, poison("%s: the body is no JSON object: %v", k, err)
	}
	b := &Body{
		RuntimeID: f.text("runtimeId"), Component: f.text("componentName"), Type: f.text("type"), EventType: f.text("eventType"),
		Definition: f.raw("component", '{'), Host: f.text("host"), Instance: f.text("instanceId"), Machine: f.text("machineName"),
		State: f.text("currentState"), Context: f.raw("context", '{'), TargetComponent: f.text("targetComponent"),
		TargetMachine: f.text("targetMachine"), TargetState: f.text("targetState"), SourceComponent: f.text("sourceComponent"), SourceInstance: f.text("sourceInstanceId"),
		EventID: f.text("eventId"), OrGet: f.yes("orGet"), IfVersion: f.number("ifVersion"), Repeated: f.yes("repeated"), Code: f.text("code"), Message: f.line("message"), Timestamp: int64(f.number("timestamp")),
		ID: f.text("id"), Origin: f.text("origin"), Hops: int(min(f.number("hops"), 100)), CorrelationID: f.text("correlationId"),
		Name: f.text("name"), Process: f.text("process"), Epoch: f.number("epoch"), Log: f.text("log"), Protocol: int(min(f.number("protocol"), 1000)),
		Version: f.number("version"), Part: int(min(f.number("part"), math.MaxInt32)), Key: f.text("key"),
		Chunk: int(min(f.number("chunk"), math.MaxInt32)), Last: f.yes("last"), Copy: f.yes("copy"), Merged: f.yes("merged"),
		LeftOut: int(min(f.number("leftOut"), math.MaxInt32)), Seq: f.maybe("seq"), AsOf: f.maybe("asOf"),
	}
	if t := f.text("traceparent"); traceparent.MatchString(t) {
		b.Traceparent = t
	}
	if p := f.maybe("port"); p != nil && *p <= 65535 {
		port := int(*p)
		b.Port = &port
	}
	if _, there := f["ok"]; there {
		ok := f.yes("ok")
		b.OK = &ok
	}
	if b.Event = event(f["event"]); b.Event == nil && k == ComponentBroadcast {
		b.Event = &Event{Type: f.text("event"), Payload: f.raw("payload", '{'), ID: b.EventID}
	}
	if d, err := object(f["data"]); err == nil {
		b.Data = data(d)
	}
	if err := b.lists(f); err != nil {
		return nil, poison("%s: %v", k, err)
	}
	missing := b.missing(k)
	if missing == "" {
		missing = f.unheeded(k)
	}
	if missing != "" {
		return nil, poison("%s: the field %q is missing, has another type, or characters that are not allowed", k, missing)
	}
	return b, nil
}

// unheeded names the first wish that is there and cannot be heeded: what is asked for
// without it is not what was asked for.
func (f fields) unheeded(k Kind) string {
	switch k {
	case CreateInstance:
		for _, name := range []string{"instanceId", "key", "currentState"} {
			if raw := string(f[name]); raw != "" && raw != "null" && raw != `""` && f.text(name) == "" {
				return name
			}
		}
		if raw := string(f["orGet"]); raw != "" && raw != "null" && raw != "true" && raw != "false" {
			return "orGet"
		}
	case TriggerEvent, ExternalCommand:
		const name = "ifVersion"
		raw := f[name]
		var n float64
		if len(raw) > 0 && string(raw) != "null" && (f.maybe(name) == nil || json.Unmarshal(raw, &n) != nil || n != math.Trunc(n)) {
			return name
		}
	}
	return ""
}

// traceparent is what W3C trace contexts look like; others are left out.
var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

func poison(format string, args ...any) error { return &PoisonError{fmt.Sprintf(format, args...)} }

// missing names the first field that a kind cannot do without.
func (b *Body) missing(k Kind) string {
	need := func(name, v string) string {
		if !goodName(v) {
			return name
		}
		return ""
	}
	first := func(names ...string) string {
		for _, n := range names {
			if n != "" {
				return n
			}
		}
		return ""
	}
	who := first(need("runtimeId", b.RuntimeID), need("componentName", b.Component))
	switch k {
	case Announce, Heartbeat, Shutdown, RuntimeFenced:
		return who
	case QueryResponse:
		if who == "" && b.Instances == nil {
			return "instances"
		}
		return who
	case InstanceCreated, StateChange, InstanceCompleted, Quarantined, TimeoutTriggered, EventIgnored, HookError, DeadLetter:
		if who != "" {
			return who
		}
		return b.missingData(k, need)
	case TriggerEvent, ExternalCommand:
		return first(need("instanceId", b.Instance), b.missingEvent())
	case CreateInstance:
		return first(need("componentName", b.Component))
	case CrossEvent:
		return first(need("targetComponent", b.TargetComponent), b.missingEvent(), b.missingRules())
	case ExternalBroadcast:
		return first(need("componentName", b.Component), need("machineName", b.Machine), need("currentState", b.State), b.missingEvent())
	case ComponentBroadcast:
		return first(need("targetComponent", b.TargetComponent), need("targetMachine", b.TargetMachine), need("targetState", b.TargetState), b.missingEvent())
	case CommandResponse:
		if b.CorrelationID == "" {
			return "correlationId"
		}
		if b.OK == nil {
			return "ok"
		}
	}
	return ""
}

func (b *Body) missingData(k Kind, need func(name, v string) string) string {
	d := b.Data
	if d == nil {
		return "data"
	}
	if k == EventIgnored || k == HookError || k == DeadLetter || k == TimeoutTriggered {
		return ""
	}
	for _, m := range []string{need("data.instanceId", d.Instance), need("data.machineName", d.Machine)} {
		if m != "" {
			return m
		}
	}
	switch k {
	case StateChange:
		return need("data.newState", d.NewState)
	case InstanceCompleted:
		return need("data.finalState", d.FinalState)
	}
	return need("data.currentState", d.CurrentState)
}

func (b *Body) missingEvent() string {
	if b.Event == nil || !goodName(b.Event.Type) {
		return "event.type"
	}
	return ""
}

func (b *Body) missingRules() string {
	if b.Rules == nil || len(*b.Rules) == 0 {
		return "matchingRules"
	}
	return ""
}

// lists reads the arrays.
func (b *Body) lists(f fields) error {
	if raw := f.raw("instances", '['); raw != nil {
		var all []json.RawMessage
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		if len(all) > maxRows {
			return fmt.Errorf("%d instances are too many, %d are allowed", len(all), maxRows)
		}
		rows := make([]Row, 0, len(all))
		for _, one := range all {
			if r, ok := row(one); ok {
				rows = append(rows, r)
			} else {
				b.LeftOut++
			}
		}
		b.Instances = &rows
	}
	if raw := f.raw("runtimes", '['); raw != nil {
		var all []json.RawMessage
		if err := json.Unmarshal(raw, &all); err != nil || len(all) > behindMost {
			return fmt.Errorf("runtimes cannot be read, or are more than %d", behindMost)
		}
		named := map[string]bool{}
		for _, one := range all {
			f, err := object(one)
			if id := f.text("runtimeId"); err == nil && goodName(id) && !named[id] {
				named[id] = true
				b.Runtimes = append(b.Runtimes, Answering{
					RuntimeID: id, Hops: int(min(f.number("hops"), 100)), AsOf: f.maybe("asOf"),
					LeftOut: int(min(f.number("leftOut"), math.MaxInt32)),
				})
			}
		}
	}
	if raw := f.raw("matchingRules", '['); raw != nil {
		var rules []Rule
		if err := json.Unmarshal(raw, &rules); err != nil || len(rules) > 100 {
			return fmt.Errorf("matchingRules cannot be read, or are more than 100")
		}
		b.Rules = &rules
	}
	if raw := f.raw("filters", '['); raw != nil {
		if err := json.Unmarshal(raw, &b.Filters); err != nil || len(b.Filters) > 100 {
			return fmt.Errorf("filters cannot be read, or are more than 100")
		}
	}
	return nil
}

func data(f fields) *Data {
	d := &Data{
		Instance: f.text("instanceId"), Machine: f.text("machineName"), Previous: f.text("previousState"), NewState: f.text("newState"),
		CurrentState: f.text("currentState"), FinalState: f.text("finalState"), Event: event(f["event"]), Context: f.raw("context", '{'),
		PublicMember: f.raw("publicMember", '{'), Status: mesh.Status(f.text("status")), Error: f.line("error"), Parent: f.text("parentInstanceId"),
	}
	if p := f.raw("pendingTimeouts", '['); p != nil {
		d.Pending = &p
	}
	return d
}

func row(raw json.RawMessage) (Row, bool) {
	f, err := object(raw)
	if err != nil {
		return Row{}, false
	}
	r := Row{
		ID: f.text("id"), Machine: f.text("machineName"), State: f.text("currentState"), Context: f.raw("context", '{'),
		Pending: f.raw("pendingTimeouts", '['), PublicMember: f.raw("publicMember", '{'), Seq: f.number("seq"),
		Version: f.number("version"), Key: f.text("key"), Parent: f.text("parentInstanceId"), RuntimeID: f.text("runtimeId"),
	}
	return r, goodName(r.ID) && goodName(r.Machine) && goodName(r.State)
}

func event(raw json.RawMessage) *Event {
	f, err := object(raw)
	if err != nil {
		return nil
	}
	return &Event{
		Type: f.text("type"), Payload: f.raw("payload", '{'), Timestamp: int64(f.number("timestamp")),
		SourceComponent: f.text("_sourceComponent"), ID: f.text("id"),
	}
}

// fields are those of an object, not read yet.
type fields map[string]json.RawMessage

func object(raw []byte) (fields, error) {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 || raw[0] != '{' {
		return nil, fmt.Errorf("it begins with %.20q", raw)
	}
	var f fields
	return f, json.Unmarshal(raw, &f)
}

// text returns a string that can be used as a name or text, "" for all else.
func (f fields) text(name string) string {
	raw := f[name]
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) != nil || !goodText(s) {
		return ""
	}
	return s
}

// line returns a text for people in one line that is not too long, "" for what is
// no string.
func (f fields) line(name string) string {
	raw := f[name]
	var s string
	if len(raw) < 2 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if len(s) <= maxText {
		return s
	}
	const more = "…"
	cut := maxText - len(more)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}

// number returns a whole number of 0 or more, 0 for all else.
func (f fields) number(name string) uint64 {
	if n := f.maybe(name); n != nil {
		return *n
	}
	return 0
}

func (f fields) maybe(name string) *uint64 {
	raw := f[name]
	if len(raw) == 0 {
		return nil
	}
	var n float64
	if json.Unmarshal(raw, &n) != nil || n < 0 || n > mesh.MaxSeq || raw[0] == 'n' {
		return nil
	}
	u := uint64(n)
	return &u
}

func (f fields) yes(name string) bool { return string(f[name]) == "true" }

// raw returns a value that begins with the given character, as it came.
func (f fields) raw(name string, begin byte) json.RawMessage {
	if raw := f[name]; len(raw) > 0 && raw[0] == begin {
		return raw
	}
	return nil
}

// maxText is the most bytes of a name, an id or a key.
const maxText = 512

func goodName(s string) bool { return s != "" && goodText(s) }

// goodText reports whether a name from outside can be used: not too long, no
// controls, valid UTF-8.
func goodText(s string) bool {
	if len(s) > maxText || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}
