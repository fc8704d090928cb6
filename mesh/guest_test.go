package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// list is a Source of instances that only grow.
type list struct {
	mu   sync.Mutex // guards rows
	rows []Row
}

type listRow Row

func (r listRow) Row() (Row, error) { return Row(r), nil }

func (l *list) add(id string) Notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Row{ID: id, Machine: "M", State: "S", Context: json.RawMessage("{}"), Seq: uint64(len(l.rows) + 1)}
	l.rows = append(l.rows, r)
	return Notice{Kind: KindCreated, Instance: id, Machine: "M", State: "S", Context: r.Context, Seq: r.Seq}
}

func (l *list) Seq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.rows))
}

func (l *list) Changed(seqs Ranges, most int) (out []Changed, tooOld bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.rows {
		if n := uint64(i + 1); len(out) < most && seqs.Contains(n) {
			out = append(out, Changed{n, l.rows[i].ID})
		}
	}
	return out, false
}

func (l *list) Look(ids []string) (out []Found) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		f := Found{Seq: uint64(len(l.rows))}
		for i := range l.rows {
			if l.rows[i].ID == id {
				f = Found{listRow(l.rows[i]), l.rows[i].Seq}
			}
		}
		out = append(out, f)
	}
	return out
}

func (l *list) Shards() int { return 1 }

func (l *list) Piece(_, slot, most int) Piece {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := Piece{AsOf: uint64(len(l.rows)), Next: -1}
	for i := slot; i < len(l.rows); i++ {
		p.Slots = append(p.Slots, Slot{i, listRow(l.rows[i])})
	}
	return p
}

// TestGuest hosts a guest: a view knows its instances, also those that it was not
// told of, commands reach it, and a goodbye is one.
func TestGuest(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Logger: quiet()})
	a, b := connect(t, n, BusOptions{}), connect(t, n, BusOptions{})
	v, err := Watch(t.Context(), b, ViewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(context.Background()) })
	source := &list{}
	source.add("before")
	id := Identity{RuntimeID: "g1", Component: "C", Name: "guest"}
	if _, err := a.Host(t.Context(), GuestOptions{Identity: Identity{RuntimeID: "g\n"}, Source: source}); err == nil {
		t.Error("a guest without a component, of a bad id, is hosted")
	}
	g, err := a.Host(t.Context(), GuestOptions{
		Identity: id, Source: source, Announce: Announce{Host: "far", Definition: json.RawMessage(`{"name":"C"}`)},
		Command: func(_ context.Context, c *Command) *Outcome {
			if c.Do == DoLocate {
				return &Outcome{OK: c.Instance == "before", NotMine: c.Instance != "before"}
			}
			return &Outcome{Code: fsm.CodeEventIgnored, Message: "not today"}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Leave)
	g.Tell([]Notice{source.add("told")})
	source.add("untold")
	wait := func(what string, f func(RuntimeInfo) bool) {
		t.Helper()
		deadline := time.Now().Add(60 * time.Second)
		for {
			var info RuntimeInfo
			v.Read(func(d *Directory) { info, _ = d.Runtime("g1", time.Now()) })
			if f(info) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, info)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	wait("not exact with three instances", func(i RuntimeInfo) bool { return i.Exactness.Exact && i.Rows == 3 && i.Host == "far" })
	client := NewClient(b, ClientOptions{})
	if _, err := client.Send(t.Context(), Target{ID: "before"}, fsm.Event{Type: "X"}, SendOptions{}); !errors.Is(err, fsm.ErrEventIgnored) {
		t.Errorf("a command: %v, want that it is ignored", err)
	}
	if out, err := client.Do(t.Context(), "g1", &Command{Do: DoLocate, Instance: "before"}); err != nil || out.RuntimeID != "g1" {
		t.Errorf("a command to the runtime: %+v, %v", out, err)
	}
	g.Describe(Announce{Host: "farther"})
	wait("not described anew", func(i RuntimeInfo) bool { return i.Host == "farther" })
	g.Close()
	wait("not stopped", func(i RuntimeInfo) bool { return i.Status == Stopped })
}

// TestGuestEnds ends guests of which somebody asks and which are described anew
// meanwhile: nothing of them is told after the goodbye, and nothing begins that nobody
// waits for.
func TestGuestEnds(t *testing.T) {
	t.Parallel()
	bus, err := Connect(t.Context(), "memory:"+t.Name(), BusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	var over, late atomic.Bool
	g, err := bus.Host(t.Context(), GuestOptions{
		Identity: Identity{RuntimeID: "g", Component: "C", Name: "g"}, Source: &list{},
		Command: func(context.Context, *Command) *Outcome {
			late.Store(late.Load() || over.Load())
			return &Outcome{OK: true}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	heard, err := bus.nc.SubscribeSync(bus.subjects.announce())
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	g.Wait()
	over.Store(true)
	g.Describe(Announce{Host: "elsewhere"})
	// The library may be about to hand over what came before the end.
	body, err := json.Marshal(&Command{Do: DoGet, Instance: "i"})
	if err != nil {
		t.Fatal(err)
	}
	g.command(t.Context(), make(chan struct{}, 1), &nats.Msg{Reply: "nobody", Data: body})
	g.Wait()
	if err := bus.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m, err := heard.NextMsg(10 * time.Millisecond); err == nil {
		t.Errorf("after the goodbye it is announced: %s", m.Data)
	}
	if late.Load() {
		t.Error("a command begins after the end")
	}
}
