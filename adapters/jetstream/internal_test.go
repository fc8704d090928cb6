package jetstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"
)

// valueGen draws values of all forms that data may have.
func valueGen(depth int) *rapid.Generator[any] {
	gens := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Custom(func(t *rapid.T) any { return rapid.Bool().Draw(t, "b") }),
		rapid.Custom(func(t *rapid.T) any { return rapid.String().Draw(t, "s") }),
		rapid.Custom(func(t *rapid.T) any { return float64(rapid.Int64Range(-1<<54, 1<<54).Draw(t, "i")) }),
		rapid.Custom(func(t *rapid.T) any {
			return rapid.Float64Range(-1e300, 1e300).Draw(t, "f")
		}),
		rapid.SampledFrom([]any{json.Number("9007199254740993"), json.Number("-123456789012345678901234567890"), 0.0, 5e-324}),
	}
	if depth > 0 {
		gens = append(gens,
			rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(valueGen(depth-1), 0, 4).Draw(t, "l") }),
			rapid.Custom(func(t *rapid.T) any { return rapid.MapOfN(rapid.String(), valueGen(depth-1), 0, 4).Draw(t, "m") }))
	}
	return rapid.OneOf(gens...)
}

func dataGen() *rapid.Generator[fsm.Data] {
	return rapid.Custom(func(t *rapid.T) fsm.Data {
		d, err := fsm.NewData(rapid.MapOfN(rapid.String(), valueGen(2), 0, 5).Draw(t, "data"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func maybe[T any](t *rapid.T, g *rapid.Generator[T]) *T {
	if rapid.Bool().Draw(t, "there") {
		v := g.Draw(t, "v")
		return &v
	}
	return nil
}

func recordIDGen() *rapid.Generator[fsm.RecordID] {
	return rapid.Custom(func(t *rapid.T) fsm.RecordID {
		return fsm.RecordID{Instance: rapid.String().Draw(t, "id"), Version: rapid.Uint64().Draw(t, "version")}
	})
}

func effectIDGen() *rapid.Generator[fsm.EffectID] {
	return rapid.Custom(func(t *rapid.T) fsm.EffectID {
		return fsm.EffectID{Record: recordIDGen().Draw(t, "r"), N: rapid.IntRange(0, 99).Draw(t, "n"), Target: rapid.IntRange(0, 9).Draw(t, "k")}
	})
}

func snapshotGen() *rapid.Generator[fsm.Snapshot] {
	return rapid.Custom(func(t *rapid.T) fsm.Snapshot {
		text := func(n string) string { return rapid.String().Draw(t, n) }
		s := fsm.Snapshot{
			Instance: text("i"), Version: rapid.Uint64().Draw(t, "v"), Component: text("c"), Machine: text("m"), State: text("s"),
			Status: fsm.Status(rapid.IntRange(0, 2).Draw(t, "status")), Data: dataGen().Draw(t, "d"), Context: maybe(t, dataGen()),
			CreatedAt: rapid.Int64().Draw(t, "at"), UpdatedAt: rapid.Int64().Draw(t, "up"),
			Origin: fsm.RecordOrigin{Parent: text("p"), ParentMachine: text("pm"), ParentComponent: text("pc"), Key: text("k"),
				Generation: rapid.Uint64().Draw(t, "g"), EntryPoint: rapid.Bool().Draw(t, "e"), CreateID: text("cid"), Cause: recordIDGen().Draw(t, "cause"), Order: rapid.Uint64().Draw(t, "o")},
		}
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			s.EventIDs = append(s.EventIDs, fsm.SeenEvent{Hash: [16]byte{1, byte(len(s.EventIDs)), 255}, Version: 7, State: text("es")})
			s.Timers = append(s.Timers, fsm.RecordTimer{Transition: rapid.Int().Draw(t, "tr"), Event: text("te"), To: text("to"), Due: rapid.Int64().Draw(t, "due")})
		}
		return s
	})
}

func recordGen() *rapid.Generator[*fsm.Record] {
	return rapid.Custom(func(t *rapid.T) *fsm.Record {
		text := func(n string) string { return rapid.String().Draw(t, n) }
		r := &fsm.Record{
			Kind: fsm.RecordKind(text("kind")), Instance: text("i"), Version: rapid.Uint64().Draw(t, "v"), Component: text("c"), Machine: text("m"),
			Event:  fsm.RecordEvent{ID: text("eid"), Type: text("et"), Payload: dataGen().Draw(t, "p"), Time: rapid.Int64().Draw(t, "et")},
			Before: text("b"), After: text("a"), Status: fsm.Status(rapid.IntRange(0, 2).Draw(t, "status")), Time: rapid.Int64().Draw(t, "t"),
			Data: dataGen().Draw(t, "d"), Context: maybe(t, dataGen()), EndData: maybe(t, dataGen()), EndContext: maybe(t, dataGen()),
			CausedBy: recordIDGen().Draw(t, "by"), Effect: maybe(t, effectIDGen()), Source: text("src"), Error: text("err"),
			Snapshot: maybe(t, snapshotGen()),
		}
		if r.Snapshot != nil {
			r.Timers = r.Snapshot.Timers
			o := r.Snapshot.Origin
			r.Origin = &o
			r.Remote = &fsm.RemoteID{From: text("from"), Log: text("log"), Record: r.CausedBy, N: 3}
		}
		for n := range rapid.IntRange(0, 2).Draw(t, "effects") {
			r.Effects = append(r.Effects, fsm.Effect{
				N: n, Kind: fsm.EffectSend, Targets: rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "targets"), Component: text("ec"), Machine: text("em"),
				State: text("es"), Event: text("ee"), Payload: dataGen().Draw(t, "ep"), Hook: fsm.HookEntry, Method: text("method"), Hops: 4, Source: text("eso"),
				Rules: []fsm.MatchingRule{{EventProperty: text("r1"), InstanceProperty: text("r2"), Operator: text("r3")}},
			})
		}
		return r
	})
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	d := newDecoder()
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			recordComesBack(t, d)
		}
	})
}

func recordComesBack(t *rapid.T, d *decoder) {
	r := recordGen().Draw(t, "record")
	ln := links{previous: rapid.Uint64().Draw(t, "previous"), earlier: []uint64{900, 880, 3}}
	got, gotLinks, err := d.record(appendRecord(nil, r, ln))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) || !reflect.DeepEqual(gotLinks, ln) {
		t.Fatalf("\n got %+v\nwant %+v", got, r)
	}
	// What a shard encodes is the same, but for the links.
	if b := appendRecord(nil, &fsm.Record{Encoded: (*log)(nil).Encode(nil, r)}, ln); !bytes.Equal(b, appendRecord(nil, r, ln)) {
		t.Fatalf("encoded before: %x", b)
	}
	// A later version adds fields: they are skipped.
	b := putText(putUint(appendRecord(nil, r, ln), 999, 12), 998, "later")
	if got, _, err = d.record(b); err != nil || !reflect.DeepEqual(got, r) {
		t.Fatalf("with unknown fields: %+v, %v", got, err)
	}
}

// Whatever bytes come: no panic, and no more memory than some times the input.
func FuzzFrame(f *testing.F) {
	r := &fsm.Record{Instance: "x", Version: 1, Kind: fsm.KindCreated}
	f.Add(appendFrame(nil, fsm.Batch{Records: []*fsm.Record{r}, Done: []fsm.EffectID{{Record: r.ID()}}}, func(int) links { return links{} }))
	f.Add((&blob{bucket: 1, live: []savedInstance{{id: []byte("x"), snap: appendSnapshot(nil, &fsm.Snapshot{Instance: "x", EventIDs: []fsm.SeenEvent{{}}})}}}).encode())
	f.Add((&cover{}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		fr := &frame{packed: b}
		_ = fr.decode(newDecoder(), nil)
		d := newDecoder()
		if got, ln, err := d.record(b); err == nil {
			again, _, err := d.record(appendRecord(nil, got, ln))
			if err != nil || !bytes.Equal(appendRecord(nil, again, links{}), appendRecord(nil, got, links{})) {
				t.Errorf("what was read cannot be written and read again: %v", err)
			}
		}
		_, _ = d.blob(0, b)
		_, _ = decodeCover(b)
		_, _ = d.snapshot(b)
	})
}

func FuzzFrameHeader(f *testing.F) {
	f.Add(frameHeader{log: "l", claim: fsm.Claim{Epoch: 1, By: "host 7 / ÿ\n", At: -5}, number: 3, records: 9}.text(nil))
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseFrameHeader("x", s, nil)
		if err != nil {
			return
		}
		if again, err := parseFrameHeader("x", h.text(nil), nil); err != nil || again != h {
			t.Errorf("%q: got %+v, %v, want %+v", s, again, err, h)
		}
	})
}

// testLog opens a store of its own and claims a log.
func testLog(t *testing.T, dir string, o Options) (*Store, *log) {
	t.Helper()
	o.Logger, o.Sync = slog.New(slog.DiscardHandler), SyncNone
	if o.Reserve == 0 {
		o.Reserve = -1
	}
	s, err := OpenFolder(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, claimedLog(t, s, "x")
}

func claimedLog(t *testing.T, s *Store, name string) *log {
	t.Helper()
	opened, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	l, ok := opened.(*log)
	if !ok {
		l = opened.(*leasedLog).log
	}
	for _, err := range l.Restore(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Claim(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	return l
}

func step(id string, version uint64) *fsm.Record {
	r := &fsm.Record{Kind: fsm.KindTransition, Instance: id, Version: version, Component: "C", Machine: "M", Before: "A", After: "A", Time: int64(version) * 1000}
	if version == 1 {
		r.Kind, r.Before, r.Origin = fsm.KindCreated, "", &fsm.RecordOrigin{Order: 1}
	}
	return r
}

func add(t *testing.T, l *log, records ...*fsm.Record) {
	t.Helper()
	if err := l.Append(t.Context(), fsm.Batch{Records: records}); err != nil {
		t.Fatal(err)
	}
}

// The answer to a frame gets lost: the log finds out that it is stored. A frame
// that never came is stored once.
func TestUnknownOutcomeIsResolved(t *testing.T) {
	t.Parallel()
	_, l := testLog(t, t.TempDir(), Options{})
	add(t, l, step("a", 1))
	// It was stored, and nobody said so.
	b := fsm.Batch{Records: []*fsm.Record{step("a", 2)}}
	put := func(b fsm.Batch) *attempt {
		t.Helper()
		l.mu.RLock()
		l.versions(b.Records)
		l.mu.RUnlock()
		return &attempt{frameHeader: l.header(l.claim, len(b.Records)), packed: l.encoded.frame(l, b), batch: b}
	}
	a := put(b)
	if _, err := l.publish(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	l.pending = a
	add(t, l, b.Records...)
	if l.at.records != 2 {
		t.Errorf("%d records, want 2: it was stored once", l.at.records)
	}
	// It is still on its way, and comes after it was given up.
	late := put(fsm.Batch{Records: []*fsm.Record{step("late", 1)}})
	at := l.at.position
	l.pending = late
	if err := l.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{Subject: l.subject, Data: late.packed, Header: nats.Header{headerFrame: []string{late.text(late.packed)}}}
	if _, err := l.link.put(t.Context(), m, at); !errors.Is(err, errMoved) {
		t.Errorf("a frame that was given up: %v, want it refused", err)
	}
	add(t, l, step("a", 3))
	n := 0
	for _, err := range l.History(t.Context(), "late", 0) {
		t.Errorf("the history of what was never stored: %v", err)
	}
	for range l.History(t.Context(), "a", 0) {
		n++
	}
	if n != 3 {
		t.Errorf("history of %d records, want 3", n)
	}
}

func TestLongHistoriesAreReadByTheirPositions(t *testing.T) {
	t.Parallel()
	_, l := testLog(t, t.TempDir(), Options{})
	const n = 300
	for v := range uint64(n) {
		add(t, l, step("a", v+1), step("b", v+1))
	}
	f, err := l.frameOf(t.Context(), fsm.RecordID{Instance: "a", Version: 256})
	if err != nil || f == nil {
		t.Fatal(f, err)
	}
	if got := len(f.entries[0].links.earlier); got != earlierEvery {
		t.Errorf("version 256 carries %d positions, want %d", got, earlierEvery)
	}
	for _, after := range []uint64{0, 1, 63, 64, 65, 200, n - 1, n} {
		want := after + 1
		for r, err := range l.History(t.Context(), "a", after) {
			if err != nil || r.Version != want {
				t.Fatalf("after %d: version %d, %v, want %d", after, r.Version, err, want)
			}
			want++
		}
		if want != n+1 {
			t.Errorf("history after %d ends before version %d", after, want)
		}
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	s, l := testLog(t, t.TempDir(), Options{})
	add(t, l, step("a", 1))
	m := &nats.Msg{Subject: l.subject, Header: nats.Header{headerFrame: []string{"2 something else"}}}
	if _, err := l.link.put(t.Context(), m, anyLast); err != nil {
		t.Fatal(err)
	}
	_, err := s.Open(t.Context(), "x")
	if e, ok := errors.AsType[*FormatError](err); !ok || e.Found != 2 || e.Known != 1 {
		t.Errorf("open a log with a frame of format 2: %v, want a *FormatError", err)
	}
}
