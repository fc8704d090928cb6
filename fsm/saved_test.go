package fsm

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// A savingStore keeps checkpoints over a MemoryStore, in a few buckets, as a
// store on disk would.
type savingStore struct {
	*MemoryStore
	delay time.Duration

	mu      sync.Mutex // guards all below
	records []*Record
	buckets [8]savedBucket
	of      CheckpointSource
	flushed int
	errs    []string
}

// A savedBucket is a checkpoint: instances as of a number of records.
type savedBucket struct {
	upTo  int
	snaps []*Snapshot
}

type savingLog struct {
	Log
	s *savingStore
}

func (s *savingStore) Open(ctx context.Context, name string) (Log, error) {
	l, err := s.MemoryStore.Open(ctx, name)
	return &savingLog{l, s}, err
}

func (l *savingLog) Waits() bool { return l.s.delay > 0 }

func (l *savingLog) Append(ctx context.Context, b Batch) error {
	if l.s.delay > 0 {
		time.Sleep(l.s.delay)
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if err := l.Log.Append(ctx, b); err != nil {
		return err
	}
	l.s.records = append(l.s.records, b.Records...)
	return nil
}

func (l *savingLog) Checkpoint(of CheckpointSource) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.of = of
}

func (l *savingLog) Flush(ctx context.Context) error {
	l.s.mu.Lock()
	l.s.flushed++
	l.s.mu.Unlock()
	for i := range l.s.buckets {
		if err := l.s.save(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func bucketOf(id string) int { return int(eventHash(id)[0]) % 8 }

// save takes one checkpoint and checks that it has all that was appended.
func (s *savingStore) save(ctx context.Context, bucket int) error {
	s.mu.Lock()
	last := map[string]*Record{}
	for _, r := range s.records {
		if bucketOf(r.Instance) == bucket {
			last[r.Instance] = r
		}
	}
	upTo, of := len(s.records), s.of
	s.mu.Unlock()
	snaps, err := of.Snapshots(ctx, slices.Collect(maps.Keys(last)))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, snap := range snaps {
		if snap.Version < last[snap.Instance].Version {
			s.errs = append(s.errs, fmt.Sprintf("%s at version %d, appended before was %d", snap.Instance, snap.Version, last[snap.Instance].Version))
		}
		delete(last, snap.Instance)
	}
	for id, r := range last {
		if r.Status == StatusActive && !s.endedSince(id, upTo) {
			s.errs = append(s.errs, fmt.Sprintf("%s lacks, appended with version %d", id, r.Version))
		}
	}
	s.buckets[bucket] = savedBucket{upTo, snaps}
	return nil
}

func (s *savingStore) endedSince(id string, from int) bool {
	return slices.ContainsFunc(s.records[from:], func(r *Record) bool { return r.Instance == id && r.Status != StatusActive })
}

// Restore yields the checkpoints, then the records since the oldest of them.
func (l *savingLog) Restore(ctx context.Context) iter.Seq2[Restored, error] {
	return func(yield func(Restored, error) bool) {
		// The log is to be claimed at its end.
		for range l.Log.Restore(ctx) {
			continue
		}
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		from := len(l.s.records)
		for _, b := range l.s.buckets {
			from = min(from, b.upTo)
			for _, snap := range b.snaps {
				if !yield(Restored{Snapshot: snap}, nil) {
					return
				}
			}
		}
		ended := map[string]bool{} // when its bucket was written
		for i, r := range l.s.records {
			if b := l.s.buckets[bucketOf(r.Instance)]; r.Version == 1 && i < b.upTo {
				ended[r.Instance] = !slices.ContainsFunc(b.snaps, func(s *Snapshot) bool { return s.Instance == r.Instance })
			}
		}
		for _, r := range l.s.records[from:] {
			if ended[r.Instance] {
				continue
			}
			if !yield(Restored{Record: r}, nil) {
				return
			}
		}
	}
}

// A restore from checkpoints that were taken at random moments under load gives
// what replaying all records gives.
func TestRestoreFromCheckpointsEqualsReplay(t *testing.T) {
	t.Parallel()
	for round, delay := range []time.Duration{0, 200 * time.Microsecond, time.Millisecond} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			t.Parallel()
			store := &savingStore{MemoryStore: NewMemoryStore(), delay: delay}
			comp := componentOf("C",
				fsmOf("M", on("A", "GO", "B", timeout(60_000)), on("B", "GO", "A"), on("A", "SPAWN", "A", func(t *Transition) {
					t.Type, t.TargetMachine = "inter_machine", "N"
				}), on("A", "STOP", "End")),
				fsmOf("N", on("A", "GO", "A"), on("A", "STOP", "End")))
			cfg := Config{Name: "c", Components: []*Component{comp}, Store: store, NoSnapshots: round == 1, Shards: 4}
			rt := started(t, cfg)
			var wg sync.WaitGroup
			ctx, stop := context.WithCancel(t.Context())
			for worker := range 4 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(worker), uint64(round)))
					var ids []string
					for i := 0; ctx.Err() == nil; i++ {
						if len(ids) < 20 || rnd.IntN(20) == 0 {
							in, err := rt.Create(ctx, "M", map[string]any{"n": i, "nested": map[string]any{"list": []any{i, nil}}})
							if err != nil {
								continue
							}
							ids = append(ids, in.ID())
						}
						event := []string{"GO", "GO", "GO", "SPAWN", "STOP"}[rnd.IntN(5)]
						id := ids[rnd.IntN(len(ids))]
						rt.Send(ctx, id, Event{Type: event, Payload: map[string]any{"x": i, "worker": worker}}, WithEventID(fmt.Sprint(worker, "-", i)))
					}
				})
			}
			saves := 0
			for end := time.Now().Add(600 * time.Millisecond); time.Now().Before(end); saves++ {
				if err := store.save(t.Context(), saves%8); err != nil {
					t.Fatal(err)
				}
			}
			stop()
			wg.Wait()
			settle(t, rt)
			want := tableOf(t, rt)
			buckets := store.buckets
			stopRuntime(t, rt)
			if store.flushed != 1 {
				t.Errorf("flushed %d times at the end, want once", store.flushed)
			}
			store.buckets = buckets // as after a crash
			for _, e := range store.errs[:min(5, len(store.errs))] {
				t.Error(e)
			}
			t.Logf("%d records, %d checkpoints, %d instances", len(store.records), saves, len(want))

			cfg.Store = store
			sameTables(t, "from checkpoints", tableOf(t, started(t, cfg)), want)
			cfg.Store = store.MemoryStore
			sameTables(t, "by replay", tableOf(t, started(t, cfg)), want)
		})
	}
}

// tableOf writes down all that an instance is, with the Go types of its values.
func tableOf(t *testing.T, rt *Runtime) map[string]string {
	t.Helper()
	out := map[string]string{}
	for in := range rt.Instances(Filter{}) {
		snaps, err := checkpointSource{rt}.Snapshots(t.Context(), []string{in.ID()})
		if err != nil || len(snaps) != 1 {
			t.Fatalf("snapshot of %s: %v, %v", in.ID(), snaps, err)
		}
		s := snaps[0]
		out[in.ID()] = fmt.Sprintf("%s %s v%d %v %#v %v %v %v %+v %d", s.Machine, s.State, s.Version, s.Status, s.Data.Map(), s.Timers, s.CreatedAt, s.EventIDs, s.Origin, s.UpdatedAt)
	}
	return out
}

func sameTables(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d instances, want %d", what, len(got), len(want))
	}
	shown := 0
	for id, w := range want {
		if got[id] != w && shown < 3 {
			shown++
			t.Errorf("%s: %s\n got %s\nwant %s", what, id, got[id], w)
		}
	}
}

// What was appended before the call is in the snapshots, though its commit has
// not returned yet: the instance's next version, and what it created in another
// shard.
func TestSnapshotsWaitForTheCommit(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		store := &savingStore{MemoryStore: NewMemoryStore()}
		var rt *Runtime
		var snaps chan []*Snapshot
		scripted := &scriptedStore{Store: store, waits: waits, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
			err := write(ctx, b)
			if snaps != nil && len(b.Records) == 2 {
				var ids []string
				for _, r := range b.Records {
					ids = append(ids, r.Instance)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					got, _ := checkpointSource{rt}.Snapshots(context.Background(), ids)
					snaps <- got
				}()
				// Too early an answer comes at once.
				select {
				case <-done:
				case <-time.After(20 * time.Millisecond):
				}
			}
			return err
		}}
		rt = started(t, Config{Shards: 8, Store: scripted, Components: []*Component{componentOf("C",
			fsmOf("M", on("A", "SPAWN", "A", func(t *Transition) { t.Type, t.TargetMachine = "inter_machine", "N" })),
			fsmOf("N", on("A", "X", "A")))}})
		id := mustCreate(t, rt, "M", nil)
		snaps = make(chan []*Snapshot, 1)
		for range 12 { // the child is in another shard, mostly
			v := mustSend(t, rt, id, "SPAWN").Version
			got := <-snaps
			if len(got) != 2 || max(got[0].Version, got[1].Version) != v {
				t.Errorf("waits %v: %d snapshots at version %d", waits, len(got), v)
			}
		}
	}
}
