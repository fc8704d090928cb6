package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"pgregory.net/rapid"
)

// A kept record is one of an instance's life, and whether retention may have
// dropped it.
type keptRecord struct {
	rec  *fsm.Record
	free bool
}

// A keeper is a model of a log with retention: what has to be there, and what may
// be gone.
type keeper struct {
	now   int64 // Unix ms; it may go back
	table tables
	lives map[string][]keptRecord // all records of who is not gone
	open  map[fsm.EffectID]bool
}

func (k *keeper) opens(id string) bool {
	for e := range k.open {
		if e.Record.Instance == id {
			return true
		}
	}
	return false
}

func (k *keeper) recordOpens(id fsm.RecordID) bool {
	for e := range k.open {
		if e.Record == id {
			return true
		}
	}
	return false
}

// add takes in a batch that is stored.
func (k *keeper) add(b fsm.Batch) {
	for _, r := range b.Records {
		k.lives[r.Instance] = append(k.lives[r.Instance], keptRecord{rec: r})
		if r.Effect != nil {
			delete(k.open, *r.Effect)
		}
		for i := range r.Effects {
			for n := range max(1, len(r.Effects[i].Targets)) {
				k.open[fsm.EffectID{Record: r.ID(), N: r.Effects[i].N, Target: n}] = true
			}
		}
	}
	for _, id := range b.Done {
		delete(k.open, id)
	}
}

// retain drops whom a log has to drop, and notes what it may drop.
func (k *keeper) retain(cut func(component, machine string) fsm.Cut) {
	for id, in := range k.table {
		c, life := cut(in.Component, in.Machine), k.lives[id]
		before := func(at int64, t time.Time) bool { return time.UnixMilli(at).Before(t) }
		over := in.Status != fsm.StatusActive && before(in.UpdatedAt, c.Ended)
		if over && !in.Origin.EntryPoint && !k.opens(id) {
			delete(k.table, id)
			delete(k.lives, id)
			continue
		}
		for i := range life {
			r := life[i].rec
			limit := c.Records
			if in.Status != fsm.StatusActive {
				if !over || !in.Origin.EntryPoint {
					continue
				}
				limit = c.Ended
			}
			if before(r.Time, limit) && !k.recordOpens(r.ID()) {
				life[i].free = true
			}
		}
	}
}

// A keepingRun is one run of a log against its model.
type keepingRun struct {
	t     *rapid.T
	dir   string
	s     *Store
	l     *log
	other *log // of another name in the same stream
	stale []*log
	model keeper
}

func (k *keepingRun) start(ctx context.Context) {
	s, err := OpenFolder(ctx, k.dir, Options{Sync: SyncNone, Reserve: -1, CheckpointEvery: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		k.t.Fatal(err)
	}
	k.s, k.stale = s, nil
	k.l, k.other = k.claim("x"), k.claim("y")
	k.other.Checkpoint(tables{})
}

func (k *keepingRun) claim(name string) *log {
	opened, err := k.s.Open(context.Background(), name)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, err := range opened.Restore(context.Background()) {
		if err != nil {
			k.t.Fatal(err)
		}
	}
	if _, err := opened.Claim(context.Background(), "test"); err != nil {
		k.t.Fatal(err)
	}
	l := opened.(*log)
	if name == "x" {
		l.Checkpoint(k.model.table)
	}
	return l
}

// batch draws what a runtime could commit.
func (k *keepingRun) batch(t *rapid.T) (b fsm.Batch) {
	m := &k.model
	m.now += int64(rapid.IntRange(-5, 20).Draw(t, "time"))
	for range rapid.IntRange(1, 5).Draw(t, "records") {
		id := fmt.Sprintf("i%d", rapid.IntRange(0, 11).Draw(t, "id"))
		last, version := m.table[id], uint64(1)
		if last != nil {
			if last.Status != fsm.StatusActive {
				continue
			}
			version = last.Version + 1
		}
		r := step(id, version)
		r.Time, r.After = m.now, fmt.Sprintf("S%d", rapid.IntRange(0, 3).Draw(t, "state"))
		if version == 1 {
			r.Machine = rapid.SampledFrom([]string{"A", "B", "Gone"}).Draw(t, "machine")
			*r.Origin = fsm.RecordOrigin{
				Order: rapid.Uint64().Draw(t, "order"), Key: rapid.SampledFrom([]string{"", "k"}).Draw(t, "key"),
				EntryPoint: rapid.IntRange(0, 4).Draw(t, "entry point") == 0, Parent: rapid.SampledFrom([]string{"", "p"}).Draw(t, "parent"),
			}
		} else {
			r.Machine = last.Machine
		}
		if rapid.IntRange(0, 4).Draw(t, "end") == 0 {
			r.Status = fsm.StatusCompleted
		}
		if rapid.IntRange(0, 4).Draw(t, "send") == 0 {
			r.Effects = []fsm.Effect{{Kind: fsm.EffectDeliver, Targets: []string{"p", "q"}}}
		}
		m.table[id] = after(last, r)
		s := *m.table[id]
		s.EventIDs = append(slices.Clone(s.EventIDs), fsm.SeenEvent{Hash: [16]byte{byte(version)}, Version: version})
		m.table[id] = &s
		if r.Status != fsm.StatusActive || version%3 == 0 {
			r.Snapshot = &s
		}
		b.Records = append(b.Records, r)
	}
	open := slices.SortedFunc(maps.Keys(m.open), func(a, b fsm.EffectID) int { return slices.Compare([]byte(fmt.Sprint(a)), []byte(fmt.Sprint(b))) })
	if len(open) > 0 && rapid.Bool().Draw(t, "outcome") {
		done := rapid.SampledFrom(open).Draw(t, "of")
		if len(b.Records) > 0 && rapid.Bool().Draw(t, "by a record") {
			b.Records[0].Effect = &done
		} else {
			b.Done = append(b.Done, done)
		}
	}
	return b
}

// cut draws times for each machine. The one that is gone has a time of its own.
func (k *keepingRun) cut(t *rapid.T) func(component, machine string) fsm.Cut {
	draw := func(what string) (at time.Time) {
		if d := rapid.IntRange(0, 60).Draw(t, what); d > 0 {
			at = time.UnixMilli(k.model.now - int64(d-1))
		}
		return at
	}
	of := map[string]fsm.Cut{}
	for _, m := range []string{"A", "B", "Gone"} {
		of[m] = fsm.Cut{Ended: draw("ended " + m), Records: draw("records " + m)}
	}
	return func(_, machine string) fsm.Cut { return of[machine] }
}

// compare restores the log on the side, reads who has ended and all histories.
func (k *keepingRun) compare(t *rapid.T) {
	m := &k.model
	opened, err := k.s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, opened)
	for id, want := range m.table {
		in := got.instances[id]
		if in == nil || in.Version != want.Version || in.State != want.State || in.Status != want.Status || in.Origin != want.Origin {
			t.Fatalf("%s after a restore: %+v, want %+v", id, in, want)
		}
	}
	for id, in := range got.instances {
		if m.table[id] == nil {
			t.Fatalf("%s came back after it was dropped: %+v", id, in)
		}
	}
	if !maps.Equal(got.open, m.open) {
		t.Fatalf("open effects %v, want %v", got.open, m.open)
	}
	for _, l := range []fsm.Log{k.l, opened} {
		ended := map[string]bool{}
		for s, err := range l.Ended(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			ended[s.Instance] = true
		}
		for i := range 12 {
			id := fmt.Sprintf("i%d", i)
			in, life := m.table[id], m.lives[id]
			if want := in != nil && in.Status != fsm.StatusActive; ended[id] != want {
				t.Fatalf("%s is among the ended: %v, want %v", id, ended[id], want)
			}
			var records []*fsm.Record
			for r, err := range l.History(t.Context(), id, 0) {
				if err != nil {
					t.Fatalf("history of %s: %v", id, err)
				}
				records = append(records, r)
			}
			cut := len(life) - len(records)
			if cut < 0 {
				t.Fatalf("%d records of %s, which has made %d", len(records), id, len(life))
			}
			for n, want := range life {
				switch {
				case n < cut && !want.free:
					t.Fatalf("version %d of %s is gone: its history begins with %d", n+1, id, cut+1)
				case n >= cut && (records[n-cut].Version != want.rec.Version || records[n-cut].After != want.rec.After || records[n-cut].Time != want.rec.Time):
					t.Fatalf("the history of %s has %+v, want %+v", id, records[n-cut], want.rec)
				}
			}
		}
	}
}

// killed goes on with a copy of the folder, as a process that was killed leaves it.
func (k *keepingRun) killed(t *rapid.T, root string) {
	dir, err := os.MkdirTemp(root, "store")
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(k.dir))
	}
	if err = errors.Join(err, k.s.Close()); err != nil {
		t.Fatal(err)
	}
	k.dir = dir
	k.start(t.Context())
}

// Random sends, creations, ends, effects, checkpoints, takeovers, restarts and
// kills, beside another log in the same stream; retention with random times for each
// machine: nothing that is needed or to be kept is gone, and whom retention dropped
// stays away.
func TestPropertyRetentionLeavesWhatIsNeeded(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(root, "store")
		if err != nil {
			rt.Fatal(err)
		}
		k := &keepingRun{t: rt, dir: dir, model: keeper{now: 1_000_000, table: tables{}, lives: map[string][]keptRecord{}, open: map[fsm.EffectID]bool{}}}
		k.start(t.Context())
		defer func() { k.s.Close() }()
		n := uint64(0)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				b := k.batch(rt)
				if err := k.l.Append(t.Context(), b); err != nil {
					rt.Fatal(err)
				}
				k.model.add(b)
			},
			"append to the other log": func(rt *rapid.T) {
				n++
				r := step(fmt.Sprint("other ", n), 1)
				r.Status = fsm.StatusCompleted
				if err := k.other.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{r}}); err != nil {
					rt.Fatal(err)
				}
			},
			"checkpoint": func(rt *rapid.T) {
				if err := errors.Join(k.l.Flush(t.Context()), k.other.Flush(t.Context())); err != nil {
					rt.Fatal(err)
				}
			},
			"some checkpoints": func(rt *rapid.T) {
				c, from := &k.l.checkpoints, 0
				for range rapid.IntRange(1, 5).Draw(rt, "buckets") {
					from = c.turn(from) % buckets
				}
				if rapid.Bool().Draw(rt, "cover") {
					c.turn(buckets)
				}
			},
			"retain": func(rt *rapid.T) {
				cut := k.cut(rt)
				if err := k.l.Retain(t.Context(), cut); err != nil {
					rt.Fatal(err)
				}
				k.model.retain(cut)
				if rapid.Bool().Draw(rt, "the other log, too") {
					old := func(string, string) fsm.Cut {
						return fsm.Cut{Ended: time.UnixMilli(5000), Records: time.UnixMilli(5000)}
					}
					if err := k.other.Retain(t.Context(), old); err != nil {
						rt.Fatal(err)
					}
				}
			},
			"takeover": func(rt *rapid.T) {
				k.stale = append(k.stale, k.l)
				k.l = k.claim("x")
			},
			"who was taken over goes on": func(rt *rapid.T) {
				if len(k.stale) == 0 {
					rt.Skip("nobody was")
				}
				l := rapid.SampledFrom(k.stale).Draw(rt, "who")
				_ = l.Flush(t.Context()) // it may fail, and do no harm
				if err := l.Retain(t.Context(), k.cut(rt)); !errors.Is(err, fsm.ErrFenced) {
					rt.Fatalf("retention by who was taken over: %v, want it refused", err)
				}
			},
			"restart": func(rt *rapid.T) {
				if err := k.s.Close(); err != nil {
					rt.Fatal(err)
				}
				k.start(t.Context())
			},
			"killed":  func(rt *rapid.T) { k.killed(rt, root) },
			"compare": func(rt *rapid.T) { k.compare(rt) },
		})
		k.compare(rt)
		if v, err := Verify(t.Context(), k.s); err != nil || len(v.Problems) > 0 {
			rt.Fatalf("verify: %v, %v", v.Problems, err)
		}
	})
}
