package mesh

import (
	"context"
	"encoding/json"
	"unicode/utf8"

	"github.com/fsmesh/fsmesh/fsm"
)

// How what a runtime knows becomes what the mesh is told.

// A runtimeSource is one component of a runtime, as the healing protocol needs
// it.
type runtimeSource struct {
	ctx       context.Context // of the attachment
	rt        *fsm.Runtime
	component string
}

func (s *runtimeSource) Seq() uint64 { return s.rt.Seq(s.component) }
func (s *runtimeSource) Shards() int { return s.rt.Shards() }

func (s *runtimeSource) Changed(seqs Ranges, most int) ([]Changed, bool) {
	ranges := make([]fsm.SeqRange, 0, len(seqs))
	for _, r := range seqs {
		ranges = append(ranges, fsm.SeqRange{First: r.From, Last: r.To})
	}
	found, tooOld := s.rt.Changed(s.component, ranges, most)
	out := make([]Changed, 0, len(found))
	for _, c := range found {
		out = append(out, Changed{c.Seq, c.ID})
	}
	return out, tooOld
}

// Look returns nothing once the runtime has ended; its answer is not sent then.
func (s *runtimeSource) Look(ids []string) []Found {
	found, err := s.rt.Look(s.ctx, s.component, ids)
	if err != nil {
		return nil
	}
	out := make([]Found, 0, len(found))
	for _, f := range found {
		m := Found{Seq: f.Seq}
		if f.Instance != nil {
			m.Instance = rower{f.Instance}
		}
		out = append(out, m)
	}
	return out
}

func (s *runtimeSource) Piece(shard, slot, most int) Piece {
	p, err := s.rt.Piece(s.ctx, s.component, shard, slot, most)
	if err != nil {
		return Piece{Next: -1}
	}
	out := Piece{AsOf: p.AsOf, Next: p.Next}
	for _, s := range p.Slots {
		out.Slots = append(out.Slots, Slot{s.Number, rower{s.Instance}})
	}
	return out
}

type rower struct{ in *fsm.Instance }

func (r rower) Row() (Row, error) {
	in := r.in
	row := Row{
		ID: in.ID(), Machine: in.Machine(), State: in.State(), Status: status(in), Version: in.Version(), Seq: in.Seq(),
		Key: in.Key(), Parent: in.Parent(), CreatedAt: in.CreatedAt().UnixMilli(), UpdatedAt: in.UpdatedAt().UnixMilli(),
		Context: rawData(in.Context()), PendingTimeouts: rawTimers(in),
	}
	if pub, ok := in.PublicMember(); ok {
		row.PublicMember = rawData(pub)
	}
	return row, nil
}

func status(in *fsm.Instance) Status {
	switch in.Status() {
	case fsm.StatusCompleted:
		return Completed
	case fsm.StatusError:
		return Failed
	case fsm.StatusQuarantined:
		return Quarantined
	}
	return Active
}

func rawData(d fsm.Data) json.RawMessage { return d.AppendJSON(nil) }

// rawTimers writes the running timers as the ancestor does: the time since the
// last change and what is left of it, in ms.
func rawTimers(in *fsm.Instance) json.RawMessage {
	timers := in.Timers()
	if timers == nil {
		return nil
	}
	type pending struct {
		Event       string `json:"event"`
		TotalMs     int64  `json:"totalMs"`
		ElapsedMs   int64  `json:"elapsedMs"`
		RemainingMs int64  `json:"remainingMs"`
		TargetState string `json:"targetState"`
		Due         int64  `json:"due"` // Unix ms
	}
	out := make([]pending, 0, len(timers))
	for _, t := range timers {
		left := t.Due.Sub(in.UpdatedAt()).Milliseconds()
		total := t.Total.Milliseconds()
		out = append(out, pending{t.Event, total, max(0, total-left), left, t.TargetState, t.Due.UnixMilli()})
	}
	b, _ := json.Marshal(out) // names and numbers
	return b
}

var noticeKinds = map[fsm.Kind]Kind{
	fsm.TraceCreated: KindCreated, fsm.TraceStateChange: KindStateChange, fsm.TraceContextChange: KindStateChange,
	fsm.TraceDisposed: KindCompleted, fsm.NoticeEntryPointEnded: KindCompleted, fsm.TraceInstanceError: KindCompleted,
	fsm.NoticeQuarantined: KindQuarantined, fsm.TraceIgnored: KindIgnored, fsm.TraceUserCodeError: KindHookError,
	fsm.NoticeDeadLetter: KindDeadLetter,
}

// maxError bounds the text of an error in a notice, in bytes. A hook's error may
// be of any length, and a notice that does not fit into a message is told to
// nobody.
const maxError = 4 << 10

// cutError cuts a text that is too long, between two characters.
func cutError(s string) string {
	if len(s) <= maxError {
		return s
	}
	end := maxError
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// A noticer gives notices of one component the form in which the mesh is told
// of them. It uses its memory again: a notice is good until the next one.
type noticer struct {
	context, public, payload json.RawMessage
	event                    Event
}

// notice is for one notice. ok is false for what is of interest inside the
// process only.
func (f *noticer) notice(n *fsm.Notice) (m Notice, ok bool) {
	kind, ok := noticeKinds[n.Kind]
	if !ok {
		return m, false
	}
	m = Notice{
		Kind: kind, Instance: n.Instance, Machine: n.Machine, State: n.State, Previous: n.From, Error: cutError(n.Error),
		Version: n.Version, Part: n.Part, Seq: n.Seq, Key: n.Key, Timestamp: n.Time.UnixMilli(),
	}
	if n.Event != "" {
		f.event = Event{Type: n.Event, SourceComponent: n.Source}
		if n.Payload.Len() > 0 {
			f.payload = n.Payload.AppendJSON(f.payload[:0])
			f.event.Payload = f.payload
		}
		m.Event = &f.event
	}
	if n.Kind == fsm.TraceInstanceError || n.Status == fsm.StatusError {
		m.Status = Failed
	}
	in := n.Of
	if in == nil {
		return m, true
	}
	m.Parent, m.CreatedAt = in.Parent(), in.CreatedAt().UnixMilli()
	if !kind.Numbered() {
		return m, true
	}
	m.PendingTimeouts = rawTimers(in)
	data := in.Data()
	if n.Kind == fsm.TraceStateChange || n.Kind == fsm.TraceContextChange {
		data = n.Data // as of this part: a later one may have changed it
	}
	if _, public := in.PublicMember(); public {
		f.public = data.AppendJSON(f.public[:0])
		m.PublicMember, data = f.public, in.Context()
	}
	f.context = data.AppendJSON(f.context[:0])
	m.Context = f.context
	return m, true
}
