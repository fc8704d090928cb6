package jetstream

import (
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"pgregory.net/rapid"
)

// A world is what a reader makes of a restore.
type world struct {
	versions map[string]uint64
	states   map[string]string
	open     map[fsm.EffectID]bool
}

func read(t *rapid.T, l fsm.Log) world {
	w := world{map[string]uint64{}, map[string]string{}, map[fsm.EffectID]bool{}}
	for x, err := range l.Restore(t.Context()) {
		switch {
		case err != nil:
			t.Fatal(err)
		case x.Snapshot != nil:
			w.versions[x.Snapshot.Instance], w.states[x.Snapshot.Instance] = x.Snapshot.Version, x.Snapshot.State
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
			switch v := w.versions[r.Instance]; {
			case r.Version == v+1:
				w.versions[r.Instance], w.states[r.Instance] = r.Version, r.After
			case r.Version > v:
				t.Fatalf("%s follows on version %d", r.ID(), v)
			}
		}
	}
	return w
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
		source := lastVersions{}
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
				rt.Fatalf("\nrestored %+v\nreplayed %+v", got[0], got[1])
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
					source[id] = r
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
