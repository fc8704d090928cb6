package fsmtest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

func (s *storeSuite) claims(t *testing.T) {
	s.run(t, "a new log has an id and no claim", func(t *testing.T, st fsm.Store, name string) {
		a, b, other := opened(t, st, name), opened(t, st, name), opened(t, st, name+"2")
		if a.ID() == "" || a.ID() != b.ID() {
			t.Errorf("ids of one log: %q and %q", a.ID(), b.ID())
		}
		if a.ID() == other.ID() {
			t.Errorf("two logs share the id %q", a.ID())
		}
		if c := a.LastClaim(); c.Epoch != 0 {
			t.Errorf("an unclaimed log has the claim %+v", c)
		}
		if got := restore(t, a); len(got) != 0 {
			t.Errorf("a new log yields %d things", len(got))
		}
	})
	s.run(t, "a claim is seen by later openers", func(t *testing.T, st fsm.Store, name string) {
		a := opened(t, st, name)
		restore(t, a)
		start := time.Now().Add(-time.Minute).UnixMilli()
		c, err := a.Claim(t.Context(), "host 7")
		if err != nil {
			t.Fatal(err)
		}
		if c.By != "host 7" || c.At < start || c.Epoch < uint64(start) {
			t.Errorf("claim %+v, want by host 7, and time and epoch not before %d", c, start)
		}
		if got := a.LastClaim(); got.Epoch != 0 {
			t.Errorf("LastClaim %+v, want the one in force at opening", got)
		}
		if got := opened(t, st, name).LastClaim(); got != c {
			t.Errorf("a later opener sees %+v, want %+v", got, c)
		}
		if again := claim(t, a); again.Epoch <= c.Epoch {
			t.Errorf("epoch %d after %d", again.Epoch, c.Epoch)
		}
	})
	s.run(t, "nothing is appended without a claim", func(t *testing.T, st fsm.Store, name string) {
		a := opened(t, st, name)
		restore(t, a)
		err := a.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{newLife(t, "x").create()}})
		if !errors.Is(err, fsm.ErrFenced) {
			t.Errorf("append without a claim: %v, want ErrFenced", err)
		}
		readAgain(t, st, name).is(t)
	})
	s.run(t, "a later claim fences the one before", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		a := claimed(t, st, name)
		add(t, a, x.create())
		b := claimed(t, st, name)
		late := *x.last
		late.Instance = "late"
		for range 2 {
			if err := a.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{&late}}); !errors.Is(err, fsm.ErrFenced) {
				t.Errorf("append of the fenced: %v, want ErrFenced", err)
			}
		}
		add(t, b, x.next())
		readAgain(t, st, name).is(t, x)
		claim(t, a)
		add(t, a, x.next())
		if err := b.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{&late}}); !errors.Is(err, fsm.ErrFenced) {
			t.Errorf("append after the other claimed again: %v, want ErrFenced", err)
		}
		readAgain(t, st, name).is(t, x)
	})
	s.run(t, "a claim needs the claim before it to have been read", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		a := claimed(t, st, name)
		b := opened(t, st, name)
		if _, err := b.Claim(t.Context(), "b"); !errors.Is(err, fsm.ErrConflict) {
			t.Errorf("claim before reading: %v, want ErrConflict", err)
		}
		restore(t, b)
		claim(t, opened(t, st, name))
		if _, err := b.Claim(t.Context(), "b"); !errors.Is(err, fsm.ErrConflict) {
			t.Errorf("claim after somebody else's: %v, want ErrConflict", err)
		}
		if err := a.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{x.create()}}); !errors.Is(err, fsm.ErrFenced) {
			t.Errorf("append of the fenced: %v, want ErrFenced", err)
		}
	})
	s.run(t, "a claim takes the end of a log that moves on", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		a := claimed(t, st, name)
		add(t, a, x.create())
		b := opened(t, st, name)
		replay(t, restore(t, b)).is(t, x)
		more := []*fsm.Record{x.next(), y.create()}
		add(t, a, more...)
		if _, err := b.Claim(t.Context(), "b"); err != nil {
			t.Fatalf("claim of a log that moved on: %v", err)
		}
		late := *y.last
		late.Instance = "late"
		if err := a.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{&late}}); !errors.Is(err, fsm.ErrFenced) {
			t.Errorf("append of the fenced: %v, want ErrFenced", err)
		}
		next := y.next()
		if err := b.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{next}}); !errors.Is(err, fsm.ErrConflict) {
			t.Errorf("append before the rest was read: %v, want ErrConflict", err)
		}
		var got []*fsm.Record
		for _, r := range restore(t, b) {
			if r.Record == nil {
				t.Errorf("reading on yields %+v", r)
				continue
			}
			got = append(got, r.Record)
		}
		sameRecords(t, "reading on", got, more)
		add(t, b, next)
		readAgain(t, st, name).is(t, x, y)
	})
	s.run(t, "a sequence left early does not count as read", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		add(t, claimed(t, st, name), x.create(), y.create(), x.next())
		b := opened(t, st, name)
		for range b.Restore(t.Context()) {
			break
		}
		if _, err := b.Claim(t.Context(), "b"); !errors.Is(err, fsm.ErrConflict) {
			t.Errorf("claim after reading one record: %v, want ErrConflict", err)
		}
		replay(t, restore(t, b)).is(t, x, y)
	})
	s.run(t, "of many who claim at once one may append", func(t *testing.T, st fsm.Store, name string) {
		const n = 8
		logs := make([]fsm.Log, n)
		epochs := make([]uint64, n)
		var wg sync.WaitGroup
		for i := range logs {
			logs[i] = opened(t, st, name)
			wg.Go(func() { epochs[i] = raceToClaim(t, logs[i]) })
		}
		wg.Wait()
		last := slices.Max(epochs)
		for i, log := range logs {
			r := newLife(t, "x").create()
			switch err := log.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{r}}); {
			case epochs[i] == last && err != nil:
				t.Errorf("append of the last to claim: %v", err)
			case epochs[i] < last && !errors.Is(err, fsm.ErrFenced):
				t.Errorf("append under epoch %d, while %d is in force: %v, want ErrFenced", epochs[i], last, err)
			}
		}
		slices.Sort(epochs)
		if got := len(slices.Compact(epochs)); got != n {
			t.Errorf("%d claims got %d different epochs", n, got)
		}
	})
}

// raceToClaim claims from a goroutine of its own, which may not end the test.
func raceToClaim(t *testing.T, log fsm.Log) uint64 {
	for range 1000 {
		if !raceToRead(t, log) {
			return 0
		}
		c, err := log.Claim(t.Context(), "racer")
		if err == nil {
			raceToRead(t, log)
			return c.Epoch
		}
		if !errors.Is(err, fsm.ErrConflict) {
			t.Errorf("claim: %v", err)
			return 0
		}
	}
	t.Error("the log moved on 1000 times")
	return 0
}

func raceToRead(t *testing.T, log fsm.Log) bool {
	for _, err := range log.Restore(t.Context()) {
		if err != nil {
			t.Errorf("restore: %v", err)
			return false
		}
	}
	return true
}
