package jetstream

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"pgregory.net/rapid"
)

// A world is what a reader makes of a restore: each instance whole, with its data,
// their Go types, its timers and its key.
type world struct {
	instances map[string]*fsm.Snapshot
	open      map[fsm.EffectID]bool
}

func read(t *rapid.T, l fsm.Log) world {
	w := world{map[string]*fsm.Snapshot{}, map[fsm.EffectID]bool{}}
	for x, err := range l.Restore(t.Context()) {
		switch {
		case err != nil:
			t.Fatal(err)
		case x.Snapshot != nil:
			w.instances[x.Snapshot.Instance] = x.Snapshot
		case x.Done != nil:
			delete(w.open, *x.Done)
		case x.Record != nil:
			r := x.Record
			if r.Effect != nil {
				delete(w.open, *r.Effect)
			}
			for i := range r.Effects {
				for k := range max(1, len(r.Effects[i].Targets)) {
					w.open[fsm.EffectID{Record: r.ID(), N: r.Effects[i].N, Target: k}] = true
				}
			}
			before, version := w.instances[r.Instance], uint64(0)
			if before != nil {
				version = before.Version
			}
			switch {
			case r.Version == version+1:
				w.instances[r.Instance] = after(before, r)
			case r.Version > version:
				t.Fatalf("%s follows on version %d", r.ID(), version)
			}
		}
	}
	return w
}

// after is an instance after a record: nil before its creation.
func after(before *fsm.Snapshot, r *fsm.Record) *fsm.Snapshot {
	s := &fsm.Snapshot{Instance: r.Instance, CreatedAt: r.Time}
	if before != nil {
		*s = *before
	}
	if r.Origin != nil {
		s.Origin = *r.Origin
	}
	s.Version, s.Component, s.Machine, s.State, s.Status = r.Version, r.Component, r.Machine, r.After, r.Status
	s.Timers, s.Data, s.Context, s.UpdatedAt = r.Timers, r.Data, r.Context, r.Time
	if r.EndData != nil {
		s.Data = *r.EndData
	}
	if r.EndContext != nil {
		s.Context = r.EndContext
	}
	return s
}

// A tables source is a runtime that has instances as their records have left them.
// Who has ended is not in it.
type tables map[string]*fsm.Snapshot

func (s tables) Snapshots(_ context.Context, ids []string) ([]*fsm.Snapshot, error) {
	var out []*fsm.Snapshot
	for _, id := range ids {
		if in := s[id]; in != nil && in.Status == fsm.StatusActive {
			out = append(out, in)
		}
	}
	return out, nil
}

func (tables) Remembers(fsm.RemoteID) bool { return true }

// filling gives a record data, timers and, to the first, an origin of its own.
func filling(t *rapid.T, r *fsm.Record) {
	data, context := dataGen(), rapid.Custom(func(t *rapid.T) *fsm.Data { return maybe(t, dataGen()) })
	r.Data, r.Context, r.EndData, r.EndContext = data.Draw(t, "data"), context.Draw(t, "context"), context.Draw(t, "end data"), context.Draw(t, "end context")
	r.Event.ID = rapid.SampledFrom([]string{"", "e"}).Draw(t, "event id")
	for k := range rapid.IntRange(0, 2).Draw(t, "timers") {
		r.Timers = append(r.Timers, fsm.RecordTimer{Transition: k, Event: "LATE", To: "Gone", Due: rapid.Int64().Draw(t, "due")})
	}
	if r.Version == 1 {
		*r.Origin = fsm.RecordOrigin{
			Order: rapid.Uint64().Draw(t, "order"), Key: rapid.SampledFrom([]string{"", "order:1", "ä *>"}).Draw(t, "key"),
			Generation: rapid.Uint64().Draw(t, "generation"), Parent: rapid.SampledFrom([]string{"", "p"}).Draw(t, "parent"),
		}
	}
}

// Random batches, checkpoints, takeovers and crashes: a restore from checkpoints
// gives what the memory store gives, which replays all from the first record.
func TestPropertyRestoreEqualsReplay(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(root, "store")
		if err != nil {
			rt.Fatal(err)
		}
		// With small parts a checkpoint has several.
		size := rapid.SampledFrom([]int{maxPart, 40}).Draw(rt, "size of parts")
		open := func() *Store {
			s, err := OpenFolder(t.Context(), dir, Options{Sync: SyncNone, Reserve: -1, CheckpointEvery: time.Hour, partSize: size})
			if err != nil {
				rt.Fatal(err)
			}
			return s
		}
		s, memory := open(), fsm.NewMemoryStore()
		defer func() { s.Close() }()
		source := tables{}
		var logs [2]fsm.Log // the store's, the memory store's
		claim := func() {
			for i, st := range []fsm.Store{s, memory} {
				l, err := st.Open(t.Context(), "x")
				if err != nil {
					rt.Fatal(err)
				}
				for _, err := range l.Restore(t.Context()) {
					if err != nil {
						rt.Fatal(err)
					}
				}
				if _, err := l.Claim(t.Context(), "test"); err != nil {
					rt.Fatal(err)
				}
				logs[i] = l
			}
			logs[0].(*log).Checkpoint(source)
		}
		claim()
		var pending []fsm.EffectID
		compare := func() {
			var got [2]world
			for i, st := range []fsm.Store{s, memory} {
				l, err := st.Open(t.Context(), "x")
				if err != nil {
					rt.Fatal(err)
				}
				got[i] = read(rt, l)
			}
			if !reflect.DeepEqual(got[0], got[1]) {
				for id, want := range got[1].instances {
					if in := got[0].instances[id]; !reflect.DeepEqual(in, want) {
						rt.Errorf("%s:\nrestored %#v\nreplayed %#v", id, in, want)
					}
				}
				rt.Fatalf("%d instances, open %v restored; %d, %v replayed", len(got[0].instances), got[0].open, len(got[1].instances), got[1].open)
			}
			for id, want := range source {
				if in := got[1].instances[id]; !reflect.DeepEqual(in, want) {
					rt.Fatalf("%s:\nreplayed %#v\nit was %#v", id, in, want)
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				var b fsm.Batch
				for range rapid.IntRange(1, 6).Draw(rt, "records") {
					id := fmt.Sprintf("i%d", rapid.IntRange(0, 9).Draw(rt, "id"))
					last := source[id]
					if last != nil && last.Status != fsm.StatusActive {
						continue
					}
					version := uint64(1)
					if last != nil {
						version = last.Version + 1
					}
					r := step(id, version)
					filling(rt, r)
					r.After = fmt.Sprintf("S%d", rapid.IntRange(0, 3).Draw(rt, "state"))
					if rapid.IntRange(0, 9).Draw(rt, "end") == 0 {
						r.Status = fsm.StatusCompleted
					}
					if rapid.IntRange(0, 3).Draw(rt, "send") == 0 {
						r.Effects = []fsm.Effect{{Kind: fsm.EffectDeliver, Targets: []string{"p", "q"}}}
						for k := range 2 {
							pending = append(pending, fsm.EffectID{Record: r.ID(), Target: k})
						}
					} else if len(pending) > 0 && rapid.Bool().Draw(rt, "outcome") {
						r.Effect = &pending[0]
						pending = pending[1:]
					}
					source[id] = after(last, r)
					if r.Status != fsm.StatusActive || version%3 == 0 {
						r.Snapshot = source[id] // as runtimes do, now and then and at the end
					}
					b.Records = append(b.Records, r)
				}
				if len(pending) > 3 {
					b.Done = append(b.Done, pending[0])
					pending = pending[1:]
				}
				for _, l := range logs {
					if err := l.Append(t.Context(), b); err != nil {
						rt.Fatal(err)
					}
				}
			},
			"checkpoint": func(rt *rapid.T) {
				if err := logs[0].(*log).Flush(t.Context()); err != nil {
					rt.Fatal(err)
				}
			},
			"some checkpoints": func(rt *rapid.T) {
				c := &logs[0].(*log).checkpoints
				from := 0
				for range 3 {
					from = c.turn(from) % buckets
				}
				c.turn(buckets)
			},
			"takeover": func(rt *rapid.T) { claim() },
			"restart": func(rt *rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = open()
				claim()
			},
			"compare": func(rt *rapid.T) { compare() },
		})
		compare()
		if v, err := Verify(t.Context(), s); err != nil || len(v.Problems) > 0 {
			rt.Fatalf("verify: %v, %v", v.Problems, err)
		}
	})
}
