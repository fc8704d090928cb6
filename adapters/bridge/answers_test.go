package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// A gated broker takes nothing until its gate is open.
type gated struct {
	Broker
	gate chan struct{}

	mu     sync.Mutex // guards frames
	frames []Frame
}

func (*gated) Guarantees() Guarantees { return Guarantees{Order: true} }

func (g *gated) Publish(ctx context.Context, f []Frame) (int, error) {
	select {
	case <-g.gate:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frames = append(g.frames, f...)
	return len(f), nil
}

// on returns what was published on a channel.
func (g *gated) on(channel string) (out [][]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.frames {
		if f.Channel == channel {
			out = append(out, f.Body)
		}
	}
	return out
}

// answering is a session that answers for one runtime of the mesh with so many
// instances of a size, to a broker that takes nothing yet and for which so many
// bytes may wait.
func answering(t *testing.T, instances, size, most int) (*session, *gated) {
	t.Helper()
	bus := memoryBus(t)
	rows := newTable(time.Now(), nil)
	for i := range instances {
		rows.apply(&mesh.Notice{Kind: mesh.KindCreated, Instance: fmt.Sprint("i", i), Machine: "M", State: "S", Context: text(size)}, 0)
	}
	id := mesh.Identity{RuntimeID: "r", Component: "C", Name: "c"}
	guest, err := bus.Host(t.Context(), mesh.GuestOptions{
		Identity: id, Announce: mesh.Announce{Definition: text(1)}, Source: rows, Logger: quiet(),
		Command: func(context.Context, *mesh.Command) *mesh.Outcome { return &mesh.Outcome{NotMine: true} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guest.Close)
	s, g := sessionOn(t, bus, heldBytes), &gated{gate: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx, s.cancel, s.broker = ctx, cancel, g
	s.outer = map[string]*outer{"r": {info: mesh.RuntimeInfo{Identity: id, Status: mesh.Live}, shown: true, hops: 1}}
	s.outbox = newOutbox(s.b, g, s.tellAnew)
	s.outbox.most = most
	s.wg.Go(func() { s.outbox.run(ctx) })
	t.Cleanup(s.stop)
	soon(t, func() string {
		n, floor := 0, int64(-1)
		s.view.Read(func(d *mesh.Directory) {
			n, floor = d.Count(mesh.Filter{RuntimeID: "r", Live: true}).Active, d.Floor("r")
		})
		if n != instances || floor < 0 {
			return fmt.Sprintf("the mesh shows %d instances as of %d, want %d", n, floor, instances)
		}
		return ""
	})
	return s, g
}

// soon waits until f returns "".
func soon(t *testing.T, f func() string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		wrong := f()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(wrong)
		}
	}
}

// TestLargeAnswer has more to answer than may wait, and a broker that takes nothing
// for a while: the answer waits and arrives whole.
func TestLargeAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const instances = 60
		var rows []mesh.Instance
		for i := range instances {
			rows = append(rows, mesh.Instance{Row: mesh.Row{ID: fmt.Sprint("i", i), Machine: "M", State: "S", Context: text(100 << 10)}})
		}
		ctx, cancel := context.WithCancel(t.Context())
		b, g := &Bridge{id: "b", counts: newCounts()}, &gated{gate: make(chan struct{})}
		s := &session{b: b, c: &b.c, ctx: ctx, outbox: newOutbox(b, g, func() {})}
		s.outbox.most = 4 << 20
		s.wg.Go(func() { s.outbox.run(ctx) })
		answered := false
		s.wg.Go(func() {
			s.answerWith(&outer{info: mesh.RuntimeInfo{Identity: mesh.Identity{RuntimeID: "r", Component: "C"}}}, rows, 1, []string{""})
			answered = true
		})
		synctest.Wait()
		if full := b.counts.n[countFull].Load(); answered || full != 0 {
			t.Errorf("answered %v, and %d frames had no room; want it to wait", answered, full)
		}
		s.outbox.push(Frame{"c", make([]byte, 1<<20)}) // there is room for what cannot wait
		close(g.gate)
		synctest.Wait()
		n := 0
		got := g.on("xcomponent:query_response")
		for i, raw := range got {
			var b Body
			if err := json.Unmarshal(raw, &b); err != nil {
				t.Fatal(err)
			}
			if n += len(*b.Instances); b.Chunk != i+1 || b.Last != (i == len(got)-1) {
				t.Errorf("piece %d of %d is number %d, last %v", i+1, len(got), b.Chunk, b.Last)
			}
		}
		if full := b.counts.n[countFull].Load(); !answered || n != instances || full != 0 {
			t.Errorf("answered %v with %d of %d instances, and %d frames had no room", answered, n, instances, full)
		}
		cancel()
		s.wg.Wait()
	})
}

// TestAnswerWaits has an answer wait for the broker: nothing else does.
func TestAnswerWaits(t *testing.T) {
	t.Parallel()
	s, g := answering(t, 3, 10, 4<<20)
	s.outbox.push(Frame{"c", make([]byte, 3<<20)})
	replied := make(chan struct{})
	go func() {
		defer close(replied)
		s.asked(&Body{}, true)
		s.reply(time.Now())
		s.asked(&Body{}, false)
		s.reply(time.Now().Add(queryEvery)) // who is there is said meanwhile
	}()
	select {
	case <-replied:
	case <-time.After(60 * time.Second):
		t.Fatal("who answers waits for the broker")
	}
	close(g.gate)
	soon(t, func() string {
		if a, r, m := len(g.on("xcomponent:announce")), len(g.on("xcomponent:query_response")), len(g.on("fsm:responses:query")); a != 2 || r != 1 || m != 1 {
			return fmt.Sprintf("%d announces, %d answers and %d merged ones came; want 2, 1 and 1", a, r, m)
		}
		return ""
	})
}

// TestCorrelations has many ask at once: so many are answered by their correlationId,
// once each, all others together, which is counted.
func TestCorrelations(t *testing.T) {
	t.Parallel()
	s, g := answering(t, 3, 10, outboxBytes)
	close(g.gate)
	const others = 5
	for i := range correlationsMost + others {
		for range 2 {
			s.asked(&Body{CorrelationID: fmt.Sprint("q", i)}, true)
		}
	}
	s.reply(time.Now())
	soon(t, func() string {
		if len(g.on("fsm:responses:query")) == 0 { // it is the last
			return "the queries are not answered"
		}
		return ""
	})
	answers, ids := map[string]int{}, map[string]bool{}
	for _, raw := range g.on("xcomponent:query_response") {
		var b Body
		if err := json.Unmarshal(raw, &b); err != nil {
			t.Fatal(err)
		}
		if len(*b.Instances) != 3 {
			t.Errorf("%s is answered with %d instances, want 3", b.CorrelationID, len(*b.Instances))
		}
		answers[b.CorrelationID]++
		ids[b.ID] = true
	}
	for i := range correlationsMost {
		if id := fmt.Sprint("q", i); answers[id] != 1 {
			t.Errorf("%s is answered %d times, want once", id, answers[id])
		}
	}
	if len(answers) != correlationsMost+1 || answers[""] != 1 || len(ids) != len(answers) {
		t.Errorf("the answers are %v with %d ids, want one for each of %d and one for all others", answers, len(ids), correlationsMost)
	}
	if n := s.b.counts.n[countTogether].Load(); n != 2*others {
		t.Errorf("%d queries were answered without their correlationId, want %d", n, 2*others)
	}
}
