package jetstream

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/natsserver"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Before the disk is full batches are refused with an error that says what to
// do, and once there is room all goes on. The free space is told by a hook.
func TestFullDiskRefusesBatches(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(1 << 40)
	dir := t.TempDir()
	_, l := testLog(t, dir, Options{Reserve: 1 << 20, freeSpace: func(string) (uint64, bool) { return free.Load(), true }})
	add(t, l, step("a", 1))
	free.Store(100)
	deadline := time.Now().Add(60 * time.Second)
	version := uint64(2)
	for {
		err := l.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{step("a", version)}})
		if full := (*FullError)(nil); errors.As(err, &full) && errors.Is(err, ErrStoreFull) && strings.Contains(err.Error(), "make room") {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("append on a full disk: %v", err)
		}
		version++
	}
	free.Store(1 << 40)
	for {
		err := l.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{step("a", version)}})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrStoreFull) || time.Now().After(deadline) {
			t.Fatalf("append with room again: %v", err)
		}
	}
	n := uint64(0)
	for r, err := range l.History(t.Context(), "a", 0) {
		if n++; err != nil || r.Version != n {
			t.Fatal(r, err)
		}
	}
	if n != version {
		t.Errorf("history of %d records, want %d", n, version)
	}
}

// Where there is no room for batches any more there is some for what retention writes:
// it drops more than that.
func TestFullDiskIsGivenBack(t *testing.T) {
	t.Parallel()
	const reserve = 1 << 20
	var free atomic.Uint64
	free.Store(1 << 40)
	s, l := testLog(t, t.TempDir(), Options{Reserve: reserve, CheckpointEvery: time.Hour, freeSpace: func(string) (uint64, bool) { return free.Load(), true }})
	source := lastVersions{}
	l.Checkpoint(source)
	for v := range uint64(5) {
		source["a"] = step("a", v+1)
		add(t, l, source["a"])
	}
	free.Store(reserve * 2 / 5)
	for {
		if err := l.store.room(0); err != nil {
			break
		}
		time.Sleep(time.Millisecond) // it is looked at now and then
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Errorf("checkpoints: %v", err)
	}
	if err := l.Retain(t.Context(), old); err != nil {
		t.Errorf("retention: %v", err)
	}
	info, err := s.link.log.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.FirstSeq != l.at.position {
		t.Errorf("the log begins at %d, want at the last frame, %d", info.State.FirstSeq, l.at.position)
	}
	free.Store(reserve / 5)
	if err := l.Flush(t.Context()); !errors.Is(err, ErrStoreFull) {
		t.Errorf("what checkpoints cover, at the very end of the disk: %v, want that it is full", err)
	}
}

// A server that gave its JetStream up is started again inside the process;
// commits fail meanwhile, and go on by themselves.
func TestServerThatGaveUpComesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, l := testLog(t, dir, Options{Reserve: 1 << 20, Timeout: time.Second})
	add(t, l, step("a", 1))
	// What it does when a write fails for want of room.
	running := func() *server.Server {
		s.folder.mu.Lock()
		defer s.folder.mu.Unlock()
		return s.folder.server
	}
	old := running()
	if err := old.ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := l.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{step("a", 2)}})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not come back: %v", err)
		}
	}
	// Whether an append failed meanwhile depends on who was quicker.
	if running() == old {
		t.Error("the server that gave up is in use")
	}
	add(t, l, step("a", 3))
	// Reads have a connection of their own, which may take a moment longer.
	for {
		n, err := countHistory(t, l, "a")
		if err == nil && n == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("history of %d records, %v; want 3", n, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := os.Stat(dir + "/" + reserveFile); err != nil {
		t.Errorf("the reserve was not made again: %v", err)
	}
}

// Room that is made later is of use without a restart: the server has no limit of its
// own, which it would take from what is free at its start.
func TestServerHasNoLimitOfItsOwn(t *testing.T) {
	t.Parallel()
	s, _ := testLog(t, t.TempDir(), Options{})
	s.folder.mu.Lock()
	defer s.folder.mu.Unlock()
	if most := s.folder.server.JetStreamConfig().MaxStore; most != noLimit {
		t.Errorf("the server stores %d bytes at most, want %d", most, int64(noLimit))
	}
}

// limited returns a log on somebody else's server that stores no more than 1 MB.
// ballast fills that, until room is called.
func limited(t *testing.T) (l *log, ballast func() (room func())) {
	t.Helper()
	o := natsserver.Base(t.TempDir())
	o.JetStreamMaxStore, o.SyncAlways = 1<<20, false
	server, err := natsserver.Run(t.Context(), o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { natsserver.End(server) })
	nc, err := nats.Connect("", nats.InProcessServer(server))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), js, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	opened, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Claim(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	return opened.(*leasedLog).log, func() func() {
		t.Helper()
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BALLAST"}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := js.Publish(t.Context(), "BALLAST", make([]byte, 600<<10)); err != nil {
				t.Fatal(err)
			}
		}
		return func() {
			t.Helper()
			if err := js.DeleteStream(t.Context(), "BALLAST"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Somebody else's server may have a limit. What it refuses for that is not stored, and
// callers are told so at once; when it takes writes again so does the store.
func TestServerThatStoresNoMore(t *testing.T) {
	t.Parallel()
	l, ballast := limited(t)
	add(t, l, step("a", 1))
	room := ballast()
	for range 2 {
		err := l.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{step("a", 2)}})
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, fsm.ErrUnknownOutcome) {
			t.Fatalf("append to a server that stores no more: %v, want ErrUnavailable", err)
		}
	}
	room()
	add(t, l, step("a", 2))
}

// What somebody else's server shows and did not acknowledge counts as stored once the
// server takes another write behind it, and not before.
func TestWhatIsShownIsConfirmed(t *testing.T) {
	t.Parallel()
	l, ballast := limited(t)
	add(t, l, step("a", 1))
	for round := range uint64(2) { // in the second the answer to that write gets lost, too
		b := fsm.Batch{Records: []*fsm.Record{step("a", 2+round)}}
		l.mu.RLock()
		l.versions(b.Records)
		l.mu.RUnlock()
		a := &attempt{frameHeader: l.header(l.claim, 1), packed: l.encoded.frame(l, b), batch: b}
		l.encoded.keep()
		position, err := l.publish(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		l.pending = a
		room := ballast()
		for range 2 {
			if err := l.Append(t.Context(), b); !errors.Is(err, fsm.ErrUnknownOutcome) {
				t.Fatalf("what is shown, while the server takes no writes: %v, want that the outcome is not known", err)
			}
		}
		room()
		if round == 1 {
			behind := &attempt{frameHeader: frameHeader{log: l.id, claim: l.claim, number: a.number + 1, records: a.records}}
			if _, err := l.publishAfter(t.Context(), behind, position); err != nil {
				t.Fatal(err)
			}
		}
		add(t, l, b.Records...)
	}
	add(t, l, step("a", 4))
	if n, err := countHistory(t, l, "a"); err != nil || n != 4 {
		t.Errorf("history of %d records, %v; want 4", n, err)
	}
	opened, err := openLog(t.Context(), l.store, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.end()
	for _, err := range opened.Restore(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if p, _ := opened.index.get("a"); p.last() != 4 {
		t.Errorf("version %d after a restore, want 4", p.last())
	}
}

// countHistory counts the records of an instance, which must be in their order.
func countHistory(t *testing.T, l fsm.Log, instance string) (n int, err error) {
	t.Helper()
	for r, err := range l.History(t.Context(), instance, 0) {
		if err != nil {
			return n, err
		}
		if n++; r.Version != uint64(n) {
			t.Fatalf("version %d at place %d", r.Version, n)
		}
	}
	return n, nil
}
