package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

func text(n int) json.RawMessage {
	return json.RawMessage(`{"x":"` + string(bytes.Repeat([]byte("y"), n)) + `"}`)
}

// TestTableRoom gives tables more than there is room for: the share of each is what
// it holds, what is refused is counted, and all is given back.
func TestTableRoom(t *testing.T) {
	t.Parallel()
	room := newBudget(1 << 20)
	now := time.UnixMilli(1_795_000_000_000)
	never := func(string, string) mesh.Status { return "" }
	one, two := newTable(now, room), newTable(now, room)
	tell := func(tab *table, k mesh.Kind, id string, size int) bool {
		return tab.apply(&mesh.Notice{Kind: k, Instance: id, Machine: "M", State: "S", Context: text(size)}, 0)
	}
	// More ended instances than have room: the last are known.
	for i := range 100 {
		tell(one, mesh.KindCreated, fmt.Sprint("ended-", i), 40<<10)
		if !tell(one, mesh.KindCompleted, fmt.Sprint("ended-", i), 40<<10) {
			t.Fatalf("the end of instance %d is no news", i)
		}
	}
	if one.get("ended-99") == nil || one.get("ended-0") != nil {
		t.Error("not the last ended ones are known")
	}
	one.release()
	if n := room.used.Load(); n != 0 {
		t.Fatalf("%d bytes are held when all is released", n)
	}
	one = newTable(now, room)
	held := 0
	for i := range 100 {
		if tell(one, mesh.KindCreated, fmt.Sprint("live-", i), 40<<10) {
			held++
		}
	}
	if held < 20 || held > 25 || one.refused.Load() != uint64(100-held) || !one.short.Load() || len(one.byID) != held {
		t.Errorf("%d of 100 are held, %d refused, short %v", held, one.refused.Load(), one.short.Load())
	}
	if tell(two, mesh.KindCreated, "other", 40<<10) {
		t.Error("another table has room")
	}
	if !tell(one, mesh.KindStateChange, "live-0", 10) || !tell(two, mesh.KindCreated, "other", 10) {
		t.Error("what is less than before finds no room, or what that gave back is not used")
	}
	seq := one.Seq()
	for range 100_000 {
		tell(one, mesh.KindStateChange, "live-0", 10)
	}
	if n := room.used.Load(); n > room.most {
		t.Errorf("%d bytes are held, %d may be", n, room.most)
	}
	if one.Seq() != seq+100_000 {
		t.Error("a notice has no number where there is no room to remember it")
	}
	if changed, tooOld := one.Changed(mesh.Ranges{{From: one.Seq(), To: one.Seq()}}, 10); !tooOld && (len(changed) != 1 || changed[0].ID != "live-0") {
		t.Errorf("the last number is of %v", changed)
	}
	// An answer with others makes room for them.
	var rows []Row
	for i := range 15 {
		rows = append(rows, Row{ID: fmt.Sprint("new-", i), Machine: "M", State: "S", Context: text(40 << 10)})
	}
	one.reconcile(rows, 1, nil, true, never)
	if one.short.Load() || len(one.byID) != len(rows) {
		t.Errorf("of an answer with %d instances %d are held, short %v", len(rows), len(one.byID), one.short.Load())
	}
	one.rebase(now)
	one.reconcile(nil, 1, nil, true, never)
	one.release()
	two.release()
	if n := room.used.Load(); n != 0 {
		t.Errorf("%d bytes are held when all is released", n)
	}
}

// TestNoRoom has runtimes on the broker announce and tell more than there is room
// for: it is counted, and what is not there as a whole is not said to be exact.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	s := sessionOn(t, memoryBus(t), 1<<20)
	b, view := s.b, s.view
	announce := func(id string, size int) {
		s.host(&Body{RuntimeID: id, Component: "C", Definition: text(size), Protocol: 1}, time.Now())
	}
	announce("big", 1<<20)
	announce("r", 1000)
	r := s.behind["r"]
	if len(s.behind) != 1 || r == nil || b.counts.n[countNoRoom].Load() != 1 {
		t.Fatalf("%d runtimes are there, %d had no room; want one each", len(s.behind), b.counts.n[countNoRoom].Load())
	}
	followed := func(want bool) {
		t.Helper()
		deadline := time.Now().Add(60 * time.Second)
		for {
			var info mesh.RuntimeInfo
			var ok bool
			changed := view.Changed()
			view.Read(func(d *mesh.Directory) { info, ok = d.Runtime("r", time.Now()) })
			if ok && info.Followed == want {
				return
			}
			select {
			case <-changed:
			case <-time.After(time.Until(deadline)):
				t.Fatalf("followed: %v, known %v; want %v", info.Followed, ok, want)
			}
		}
	}
	answer := func(chunk int, last bool, size int) bool {
		rows := []Row{{ID: fmt.Sprint("i", chunk), Machine: "M", State: "S", Context: text(size)}}
		return r.take(&Body{RuntimeID: "r", Instances: &rows, Chunk: chunk, Last: last, CorrelationID: "q"}, time.Now())
	}
	followed(false)
	if answer(1, false, 400<<10) || answer(2, false, 400<<10) || answer(3, false, 400<<10) || b.counts.n[countNoRoom].Load() != 2 {
		t.Errorf("the pieces of an answer have room, or it is counted %d times that they have not, want 2", b.counts.n[countNoRoom].Load())
	}
	if n := s.held.used.Load(); n > 10_000 {
		t.Errorf("%d bytes are held of an answer that is dropped", n)
	}
	if answer(1, true, 2<<20) || !r.status().AsOf.IsZero() || b.counts.n[countNoRoom].Load() != 3 {
		t.Error("an answer with an instance for which there is no room is taken for whole")
	}
	followed(true)
	if answer(1, false, 10) || !answer(2, true, 10) || r.status().AsOf.IsZero() || r.status().Instances != 2 {
		t.Errorf("an answer that has room is not taken: %+v", r.status())
	}
	followed(false)
	s.stop()
	if n := s.held.used.Load(); n != 0 {
		t.Errorf("%d bytes are held when the session is over", n)
	}
}

// TestNoDefinition has a runtime announced without a definition: it is on the mesh
// like others, and nobody waits for its definition.
func TestNoDefinition(t *testing.T) {
	t.Parallel()
	b, err := Decode(Announce, []byte(`{"runtimeId": "r", "componentName": "C", "component": "broken"}`))
	if err != nil {
		t.Fatal(err)
	}
	if a := toAnnounce(b, true); string(a.Definition) != "{}" {
		t.Errorf("it is announced with the definition %q, want {}: one without is waited for", a.Definition)
	}
}

// TestNotWhole gives answers that are not whole, as there is too much for one: the
// runtime is not said to be exact until one is.
func TestNotWhole(t *testing.T) {
	t.Parallel()
	s := sessionOn(t, memoryBus(t), heldBytes)
	t.Cleanup(s.stop)
	s.host(&Body{RuntimeID: "r", Component: "C", Definition: text(10), Protocol: 1}, time.Now())
	r := s.behind["r"]
	answer := func(b Body, n int) bool {
		rows := make([]Row, n)
		for i := range rows {
			rows[i] = Row{ID: fmt.Sprint(i), Machine: "M", State: "S"}
		}
		b.RuntimeID, b.Instances = "r", &rows
		return r.take(&b, time.Now())
	}
	exact := func(want bool) {
		t.Helper()
		if got := r.status().Numbered; got != want {
			t.Errorf("it is said to be exact: %v, want %v", got, want)
		}
	}
	whole := func() {
		t.Helper()
		if !answer(Body{Chunk: 1, Last: true}, 1) {
			t.Error("a whole answer is not taken for one")
		}
		exact(true)
	}
	whole()
	if answer(Body{Merged: true, LeftOut: 1}, 1) {
		t.Error("an answer with instances left out is taken for whole")
	}
	exact(false)
	whole()
	if answer(Body{Chunk: 1}, 10) || answer(Body{Chunk: 2, Last: true}, maxRows) {
		t.Error("an answer with more instances than are allowed is taken for whole")
	}
	exact(false)
	whole()
	if answer(Body{Chunk: 1}, 1) || answer(Body{Chunk: 3, Last: true}, 1) {
		t.Error("an answer with a piece missing is taken for whole")
	}
	exact(true) // the next one comes
	s.held.most = 1
	if answer(Body{Chunk: 1}, 10) {
		t.Error("a piece is taken for whole")
	}
	exact(false)
}

// TestBudgetWait has many wait for room that one gives back bit by bit.
func TestBudgetWait(t *testing.T) {
	t.Parallel()
	b := newBudget(10)
	if !b.wait(t.Context(), 10) {
		t.Fatal("there is no room from the start")
	}
	got := make(chan bool)
	for range 5 {
		go func() { got <- b.wait(t.Context(), 4) }()
	}
	for range 5 {
		b.give(4)
		select {
		case ok := <-got:
			if !ok {
				t.Fatal("the wait ended without room")
			}
		case <-time.After(60 * time.Second):
			t.Fatal("nobody got what was given back")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b.wait(ctx, 4) {
		t.Error("there is room beyond all")
	}
}

// TestBudgetRefused has somebody ask for more than there is again and again: what has
// room beside it is not refused. Else two who wait could have each other wait for ever.
func TestBudgetRefused(t *testing.T) {
	t.Parallel()
	b := newBudget(10)
	ctx, cancel := context.WithCancel(t.Context())
	var greedy sync.WaitGroup
	for range 4 {
		greedy.Go(func() {
			for ctx.Err() == nil {
				if b.take(11) {
					t.Error("there is room for more than all")
				}
			}
		})
	}
	refused := 0
	for range 200_000 {
		if b.take(6) {
			b.give(6)
		} else {
			refused++
		}
	}
	cancel()
	greedy.Wait()
	if refused > 0 || b.used.Load() != 0 {
		t.Errorf("what has room was refused %d times; %d bytes are in use", refused, b.used.Load())
	}
}

// TestBudgetNext has two wait for room of which there is enough for both: the first
// that is woken wakes the next.
func TestBudgetNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		b.take(10)
		ctx, cancel := context.WithCancel(t.Context())
		var got atomic.Int32
		for range 2 {
			go func() {
				if b.wait(ctx, 4) {
					got.Add(1)
				}
			}()
			synctest.Wait()
		}
		b.give(10)
		synctest.Wait()
		if n := got.Load(); n != 2 {
			t.Errorf("%d of two have what there is room for", n)
		}
		cancel()
	})
}

// TestCommandRoom has commands wait that together have more bytes than there is room
// for: the broker has to wait, until one is done.
func TestCommandRoom(t *testing.T) {
	t.Parallel()
	b := &Bridge{counts: newCounts()}
	ctx, cancel := context.WithCancel(t.Context())
	s := &session{b: b, c: &b.c, ctx: ctx, broker: &redelivering{}, commands: newBudget(1000)}
	for range laneCount { // nobody does them
		s.lanes = append(s.lanes, make(chan func(), laneRoom))
	}
	done := make(chan error, 3)
	give := func() *Message {
		m := &Message{Frame: Frame{Body: make([]byte, 600)}, Done: func(err error) { done <- err }}
		s.command(TriggerEvent, &Body{Instance: "i"}, m)
		return m
	}
	first := give()
	first.Done(nil)
	<-done
	give()
	go give()
	cancel()
	if err := <-done; err != errStopped {
		t.Errorf("the command that has no room ended with %v, want %v", err, errStopped)
	}
	waiting := 0
	for _, lane := range s.lanes {
		waiting += len(lane)
	}
	if waiting != 2 || s.commands.used.Load() != 600 {
		t.Errorf("%d commands wait, with %d bytes that are not done; want 2 and 600", waiting, s.commands.used.Load())
	}
}

// TestMergedBytes merges instances that are large: what is sent can be taken.
func TestMergedBytes(t *testing.T) {
	t.Parallel()
	var rows []mesh.Instance
	for i := range 100 {
		rows = append(rows, mesh.Instance{Row: mesh.Row{ID: fmt.Sprint(i), Machine: "M", State: "S", Context: text(100 << 10)}, RuntimeID: "r"})
	}
	b := mergedAnswer(&mesh.RuntimeInfo{}, rows, []Answering{{RuntimeID: "r"}})
	raw, err := b.Encode()
	if err != nil || len(raw) > mergedBytes+1<<10 || len(*b.Instances) < 35 || b.LeftOut+len(*b.Instances) != len(rows) || b.Runtimes[0].LeftOut != b.LeftOut {
		t.Errorf("%d bytes, %v, with %d rows, %d left out", len(raw), err, len(*b.Instances), b.LeftOut)
	}
}
