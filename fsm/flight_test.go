package fsm

import (
	"context"
	"encoding/json"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
)

// A borrowing store says that it has done with plain records once they are
// stored, and keeps track of what becomes of all it was given.
type borrowingStore struct {
	Store
	mu     sync.Mutex // guards the fields below
	kept   []*Record  // that are not plain
	copies []Record
	seen   map[*Record]int
}

type borrowingLog struct {
	Log
	s *borrowingStore
}

func (s *borrowingStore) Open(ctx context.Context, name string) (Log, error) {
	l, err := s.Store.Open(ctx, name)
	return &borrowingLog{l, s}, err
}

func (l *borrowingLog) Waits() bool   { return true }
func (l *borrowingLog) Borrows() bool { return true }

func (l *borrowingLog) Append(ctx context.Context, b Batch) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	var own Batch
	own.Done, own.Chosen = b.Done, b.Chosen
	for _, r := range b.Records {
		c := *r
		own.Records = append(own.Records, &c)
		l.s.seen[r]++
		if r.Origin != nil || r.Status != StatusActive || len(r.Effects) > 0 {
			l.s.kept = append(l.s.kept, r)
			l.s.copies = append(l.s.copies, c)
		}
	}
	return l.Log.Append(ctx, own)
}

// The memory of plain steps is used again, and nothing else is: what creates, ends
// or leads further stays as the store was given it, and what callers and histories
// show is what was stored.
func TestFlightsAreUsedAgain(t *testing.T) {
	t.Parallel()
	s := &borrowingStore{Store: NewMemoryStore(), seen: map[*Record]int{}}
	source := cascading(fsmOf("Source", on("A", "GO", "B"), on("B", "GO", "A")), "B", CascadingRule{TargetMachine: "M", TargetState: "A", Event: "TICK"})
	m := fsmOf("M", on("A", "TICK", "A"), on("A", "END", "End"))
	rt := started(t, Config{Components: []*Component{componentOf("C", source, m)}, Store: s, Shards: 2})
	id, from := mustCreate(t, rt, "M", nil), mustCreate(t, rt, "Source", nil)
	const n = 300
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range n {
				if r, err := rt.Send(t.Context(), id, Event{Type: "TICK", Payload: map[string]any{"a": 1}}); err != nil || r.Instance.ID() != id || r.State != "A" {
					t.Errorf("Send: %+v, %v", r, err)
					return
				}
			}
		})
	}
	for range 10 {
		mustSend(t, rt, from, "GO")
	}
	wg.Wait()
	settle(t, rt)
	mustSend(t, rt, id, "END")
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.kept {
		if !reflect.DeepEqual(*r, s.copies[i]) {
			t.Errorf("%s was changed after it was stored: %+v, was %+v", s.copies[i].ID(), *r, s.copies[i])
		}
	}
	reused := 0
	for _, times := range s.seen {
		reused += times - 1
	}
	if reused == 0 {
		t.Error("no record's memory was used again")
	}
	if got := mustGet(t, rt, id).Version(); got < 4*n+2 {
		t.Errorf("version %d, want %d at least", got, 4*n+2)
	}
}

// While a commit is on its way the turns of a shard gather in one batch, up to
// their bound.
func TestTurnsGatherWhileACommitIsOnItsWay(t *testing.T) {
	t.Parallel()
	g := &gate{}
	store := &scriptedStore{Store: NewMemoryStore(), waits: true, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		g.pass(ctx)
		return write(ctx, b)
	}}
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "TICK", "A")))}, Store: store, Shards: 1})
	sh := rt.shards[0]
	var wg sync.WaitGroup
	ids := make([]string, maxTurns+9)
	for i := range ids {
		ids[i] = mustCreate(t, rt, "M", nil)
	}
	g.close()
	state := func() (batches, turns int) {
		done := make(chan struct{})
		sh.post(item{f: func() { batches, turns = sh.inFlight, sh.turns; close(done) }})
		<-done
		return batches, turns
	}
	for i, id := range ids {
		wg.Go(func() { rt.Send(t.Context(), id, Event{Type: "TICK"}) })
		if i == 0 {
			eventually(t, "the first is on its way", func() bool { return g.waiting.Load() == 1 })
		}
		eventually(t, "it has been taken up, or waits in the inbox", func() bool {
			_, turns := state()
			// Two that wait at the same time would be taken up in one turn.
			return turns == min(i+1, maxTurns) && turns+len(sh.inbox) == i+1
		})
	}
	if batches, turns := state(); batches != 2 || turns != maxTurns || len(sh.inbox) != len(ids)-maxTurns {
		t.Errorf("%d batches of %d turns, %d events in the inbox; want 2, %d and %d", batches, turns, len(sh.inbox), maxTurns, len(ids)-maxTurns)
	}
	g.open()
	wg.Wait()
	if batches, turns := state(); batches != 0 || turns != 0 {
		t.Errorf("%d batches of %d turns in the end", batches, turns)
	}
}

// An encodingLog wants plain records as JSON, and gives its store whole ones.
type encodingLog struct {
	*borrowingLog
	t *testing.T
}

type encodingStore struct {
	*borrowingStore
	t       *testing.T
	encoded atomic.Int64
}

func (s *encodingStore) Open(ctx context.Context, name string) (Log, error) {
	l, err := s.Store.Open(ctx, name)
	return &struct {
		encodingLog
		*countingEncoder
	}{encodingLog{&borrowingLog{l, s.borrowingStore}, s.t}, &countingEncoder{&s.encoded}}, err
}

type countingEncoder struct{ n *atomic.Int64 }

func (e *countingEncoder) Encode(b []byte, r *Record) []byte {
	e.n.Add(1)
	j, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return append(b, j...)
}

func (l *encodingLog) Append(ctx context.Context, b Batch) error {
	own := Batch{Done: b.Done, Chosen: b.Chosen}
	for _, r := range b.Records {
		if r.Encoded != nil {
			var whole Record
			if err := json.Unmarshal(r.Encoded, &whole); err != nil || whole.ID() != r.ID() || whole.Machine != r.Machine || whole.Component != r.Component {
				l.t.Errorf("record %s of %s/%s is encoded as %s, %v", r.ID(), r.Component, r.Machine, r.Encoded, err)
			}
			r = &whole
		}
		own.Records = append(own.Records, r)
	}
	return l.Log.Append(ctx, own)
}

// A log that wants plain records encoded gets each whole, whatever becomes of the
// memory that it was made in.
func TestPlainRecordsAreEncoded(t *testing.T) {
	t.Parallel()
	s := &encodingStore{borrowingStore: &borrowingStore{Store: NewMemoryStore(), seen: map[*Record]int{}}, t: t}
	m := fsmOf("M", on("A", "TICK", "A"), on("A", "END", "End"))
	rt := started(t, Config{Components: []*Component{componentOf("C", m)}, Store: s, Shards: 2})
	const instances, n = 8, 60
	var wg sync.WaitGroup
	var ids []string
	for range instances {
		id := mustCreate(t, rt, "M", map[string]any{"a": -1})
		ids = append(ids, id)
		wg.Go(func() {
			for i := range n {
				if _, err := rt.Send(t.Context(), id, Event{Type: "TICK", Payload: map[string]any{"a": i, "of": id}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		mustSend(t, rt, id, "END")
		version := uint64(0)
		for r, err := range rt.log.History(t.Context(), id, 0) {
			if version++; err != nil || r.Version != version {
				t.Fatalf("version %d of %s: %+v, %v", version, id, r, err)
			}
			if version == 1 || version > n+1 {
				continue
			}
			a, _ := r.Data.Get("a")
			of, _ := r.Event.Payload.Get("of")
			if a != float64(version-2) || of != id || r.Event.Type != "TICK" || r.Before != "A" || r.After != "A" || r.Kind != KindTransition {
				t.Errorf("version %d of %s is stored as %+v", version, id, r)
			}
		}
		if version != n+2 {
			t.Errorf("%d records of %s, want %d", version, id, n+2)
		}
	}
	if got := s.encoded.Load(); got != instances*n {
		t.Errorf("%d records were encoded, want %d: the plain ones", got, instances*n)
	}
}
