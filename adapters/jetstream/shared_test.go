package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
	"github.com/fsmesh/fsmesh/internal/natsserver"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// shared returns a JetStream that several stores may reach.
func shared(t *testing.T) natsjs.JetStream {
	t.Helper()
	_, js := sharedServer(t)
	return js
}

func sharedServer(t *testing.T) (*server.Server, natsjs.JetStream) {
	t.Helper()
	o := natsserver.Base(t.TempDir())
	o.MaxPayload, o.SyncAlways = natsserver.StorePayload, false
	s, err := natsserver.Run(t.Context(), o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { natsserver.End(s) })
	return s, connected(t, s)
}

// connected is a connection of its own to a server's JetStream.
func connected(t *testing.T, s nats.InProcessConnProvider) natsjs.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func storeOn(t *testing.T, js natsjs.JetStream) *jetstream.Store {
	t.Helper()
	s, err := jetstream.New(t.Context(), js, jetstream.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// The suite with all logs on one stream, and leases.
func TestSharedStore(t *testing.T) {
	js := shared(t)
	// The logs of one stream hold each other's beginning back, so nothing is
	// purged here.
	fsmtest.TestStore(t, func(t *testing.T) fsm.Store { return storeOn(t, js) }, fsmtest.StoreOptions{
		Reopen: func(t *testing.T, s fsm.Store) fsm.Store {
			if err := s.(*jetstream.Store).Close(); err != nil {
				t.Fatal(err)
			}
			return storeOn(t, js)
		},
		Lacks: []fsmtest.Guarantee{fsmtest.OldRecords},
	})
}

func TestFolderHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openFolder(t, dir, fast)
	if _, err := jetstream.OpenFolder(t.Context(), dir, fast); !errors.Is(err, jetstream.ErrDataInUse) {
		t.Errorf("second store on a folder: %v, want ErrDataInUse", err)
	}
	log, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := log.(fsm.Leaser); ok {
		t.Error("a folder's log has a lease: its lock decides")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "x"); !errors.Is(err, jetstream.ErrClosed) {
		t.Errorf("open a closed store: %v, want ErrClosed", err)
	}
	openFolder(t, dir, fast)
}

const counter = `
name: Counter
stateMachines:
  - name: Count
    initialState: On
    states: [{name: On}]
    transitions: [{from: On, to: "On", event: UP}]
`

func runtimeOn(t *testing.T, s fsm.Store) *fsm.Runtime {
	t.Helper()
	c, _, err := fsm.ParseComponent([]byte(counter))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{Name: "x", Components: []*fsm.Component{c}, Store: s, Takeover: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Stop(context.WithoutCancel(t.Context())) })
	return rt
}

// A second writer: the first one's sends are refused from then on, and what was
// acknowledged by either is there once.
func TestSecondWriterFencesTheFirst(t *testing.T) {
	t.Parallel()
	js := shared(t)
	first := runtimeOn(t, storeOn(t, js))
	const instances = 8
	var ids [instances]string
	for i := range ids {
		in, err := first.Create(t.Context(), "Count", nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = in.ID()
	}
	var mu sync.Mutex
	acked, fenced := map[string]uint64{}, 0
	enough := make(chan struct{})
	var early error // of a send before there were enough
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			for n := 0; ; n++ {
				r, err := first.Send(t.Context(), id, fsm.Event{Type: "UP"})
				mu.Lock()
				if err == nil {
					acked[id] = r.Version
				} else {
					fenced++
				}
				mu.Unlock()
				if err != nil {
					if id == ids[0] && n <= 20 {
						early = err
						close(enough)
					}
					return
				}
				if n == 20 && id == ids[0] {
					close(enough)
				}
			}
		})
	}
	<-enough
	if early != nil {
		t.Fatalf("a send before anybody else was there: %v", early)
	}
	second := runtimeOn(t, storeOn(t, js))
	wg.Wait()
	if fenced != instances {
		t.Errorf("%d callers were refused, want %d", fenced, instances)
	}
	for _, id := range ids {
		in, err := second.Get(id)
		if err != nil || in.Version() < acked[id] || in.Version() > acked[id]+1 {
			t.Errorf("instance %s: %v, %v; %d was acknowledged", id, in, err, acked[id])
		}
	}
	if _, err := second.Send(t.Context(), ids[0], fsm.Event{Type: "UP"}); err != nil {
		t.Errorf("send to the one that took over: %v", err)
	}
	s := storeOn(t, js)
	v, err := jetstream.Verify(t.Context(), s)
	if err != nil || len(v.Problems) > 0 || v.Instances != instances {
		t.Errorf("verify: %+v, %v", v, err)
	}
	info, err := jetstream.Info(t.Context(), s)
	if err != nil || len(info.Logs) != 1 || info.Logs[0].Live != instances || info.HeldBy != "x" || info.Logs[0].Records != uint64(v.Records) {
		t.Errorf("info: %+v, %v; verified %+v", info, err, v)
	}
}

// Reads go on while the log is written, and see whole histories.
func TestReadsWhileWriting(t *testing.T) {
	t.Parallel()
	rt := runtimeOn(t, openFolder(t, t.TempDir(), fast))
	in, err := rt.Create(t.Context(), "Count", nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for last := false; !last; {
				select {
				case <-done:
					last = true
				default:
				}
				n := uint64(0)
				for r, err := range rt.History(t.Context(), in.ID(), 0) {
					if n++; err != nil || r.Version != n {
						t.Errorf("history: %v at place %d, %v", r, n, err)
						return
					}
				}
			}
		})
	}
	const sends = 200
	for range sends {
		if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: "UP"}); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
}

// The stream of a server whose settings would lose records is refused.
func TestUnfitStreamIsRefused(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]natsjs.StreamConfig{
		"memory": {Storage: natsjs.MemoryStorage}, "age": {MaxAge: time.Hour}, "count": {MaxMsgs: 9},
	} {
		js := shared(t)
		c.Name, c.Subjects = "FSM_LOG", []string{"fsm.log.*"}
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := jetstream.New(t.Context(), js, jetstream.Options{}); err == nil {
			t.Error(fmt.Sprint("a log with a limit of ", title, " is taken"))
		}
	}
}
