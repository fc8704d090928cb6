package mesh

import (
	"fmt"
	"time"
)

// A script is a directory that is told of one runtime, message by message. It
// keeps the first thing that is not as it should be.
type script struct {
	d      *Directory
	now    time.Time
	id     Identity
	broken string
}

func newScript(off rules, c DirectoryConfig) *script {
	s := &script{d: NewDirectory(c), now: simStart, id: Identity{RuntimeID: "r1", Component: "C", Name: "A", Epoch: 1, Log: "log"}}
	s.d.off = off
	return s
}

func (s *script) wrong(format string, args ...any) {
	if s.broken == "" {
		s.broken = fmt.Sprintf(format, args...)
	}
}

func (s *script) tell(m Message) { s.d.Apply(m, s.now) }

// announce says that the runtime is there, with the number it has got to.
func (s *script) announce(seq uint64) {
	s.tell(&Announce{Identity: s.id, Protocol: 1, Seq: &seq})
}

// read has the directory read the runtime, which has the rows.
func (s *script) read(asOf uint64, rows ...Row) {
	s.wait(0)
	s.page("", "", asOf, asOf, rows...)
}

func (s *script) page(cursor, next string, asOf, seq uint64, rows ...Row) {
	s.tell(&PageReply{Identity: s.id, Cursor: cursor, Next: next, AsOf: asOf, Seq: seq, Rows: rows})
}

// wait lets time pass and returns what is asked then.
func (s *script) wait(d time.Duration) []Ask {
	s.now = s.now.Add(d)
	return s.d.Tick(s.now)
}

func (s *script) notice(k Kind, id, state string, version, seq uint64) {
	s.tell(&Notices{RuntimeID: s.id.RuntimeID, Notices: []Notice{{Kind: k, Instance: id, Machine: "M", State: state, Version: version, Seq: seq}}})
}

func live(id, state string, version, seq uint64) Row {
	return Row{ID: id, Machine: "M", State: state, Status: Active, Version: version, Seq: seq}
}

// want checks how an instance is shown.
func (s *script) want(id string, status Status, state string, version, seq uint64) {
	in, ok := s.d.Get(s.id.Name, s.id.Component, id)
	got := Row{ID: in.ID, Machine: in.Machine, State: in.State, Status: in.Status, Version: in.Version, Seq: in.Seq}
	want := Row{ID: id, Machine: "M", State: state, Status: status, Version: version, Seq: seq}
	if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		s.wrong("got %+v, want %+v", got, want)
	}
}

// wantNone checks that there is no live instance of the id.
func (s *script) wantNone(id string) {
	if in, ok := s.d.Get(s.id.Name, s.id.Component, id); ok && in.Status.live() {
		s.wrong("%s is live: %+v", id, in.Row)
	}
}

func (s *script) wantExact(want bool) {
	if got := s.d.Exactness(s.id.RuntimeID, s.now); got.Exact != want {
		s.wrong("exact: got %+v, want %v", got, want)
	}
}

// traces are what went wrong in earlier versions of the protocol, and what
// random runs meet too seldom. Each returns what does not hold, "" if all does.
var traces = []struct {
	name string
	play func(rules) string
}{
	{"an id ends and is used again with version 1", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		s.announce(0)
		s.read(0)
		s.notice(KindCreated, "a", "S0", 1, 1)
		s.notice(KindStateChange, "a", "S1", 2, 2)
		s.notice(KindCompleted, "a", "F", 3, 3)
		s.notice(KindCreated, "a", "S0", 1, 4)
		s.want("a", Active, "S0", 1, 4)
		s.notice(KindCompleted, "a", "F", 3, 3)
		s.want("a", Active, "S0", 1, 4)
		s.wantExact(true)
		return s.broken
	}},
	{"a transition into a final state and its end in two notices", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		s.announce(0)
		s.read(0)
		s.notice(KindCreated, "a", "S0", 1, 1)
		s.notice(KindStateChange, "a", "F", 2, 2)
		s.want("a", Active, "F", 2, 2)
		s.wantExact(true)
		s.notice(KindCompleted, "a", "F", 2, 3)
		s.want("a", Completed, "F", 2, 3)
		s.notice(KindCreated, "b", "S0", 1, 4)
		s.notice(KindCompleted, "b", "F", 2, 6)
		s.notice(KindStateChange, "b", "F", 2, 5)
		s.want("b", Completed, "F", 2, 6)
		s.wantExact(true)
		return s.broken
	}},
	{"an ended row while a reading completes", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		s.announce(2)
		s.wait(0)
		s.page("", "1.0", 2, 2, live("a", "S0", 1, 1))
		s.notice(KindStateChange, "b", "F", 2, 3)
		s.notice(KindCompleted, "b", "F", 2, 4)
		s.page("1.0", "", 4, 4)
		s.want("b", Completed, "F", 2, 4)
		s.want("a", Active, "S0", 1, 1)
		s.wantExact(true)
		s.tell(&Reread{RuntimeID: "r1"})
		s.wait(time.Second)
		s.page("", "", 4, 4, live("a", "S0", 1, 1))
		s.want("b", Completed, "F", 2, 4)
		return s.broken
	}},
	{"an end that overtakes its creation after eviction", func(off rules) string {
		s := newScript(off, DirectoryConfig{EndedPerMachine: 1})
		s.announce(0)
		s.read(0)
		s.notice(KindCompleted, "a", "F", 2, 2)
		s.notice(KindCompleted, "b", "F", 2, 4)
		s.notice(KindCreated, "b", "S0", 1, 3)
		s.notice(KindCreated, "a", "S0", 1, 1)
		s.wantNone("a")
		s.wantNone("b")
		s.wantExact(true)
		return s.broken
	}},
	{"a chunk of an abandoned reading arriving late", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		s.announce(1)
		s.wait(0)
		s.page("", "1.0", 1, 1, live("a", "S0", 1, 1))
		s.tell(&Reread{RuntimeID: "r1"})
		s.wait(time.Second)
		s.notice(KindCreated, "b", "S0", 1, 2)
		s.page("", "1.0", 2, 2, live("a", "S0", 1, 1))
		s.page("1.0", "", 1, 1) // from before b
		s.want("b", Active, "S0", 1, 2)
		s.wantExact(false)
		s.page("1.0", "", 2, 2, live("b", "S0", 1, 2))
		s.want("b", Active, "S0", 1, 2)
		s.wantExact(true)
		return s.broken
	}},
	{"a row that runs ahead of known", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		s.announce(2)
		s.wait(0)
		// Read after b had moved on, with a's change still on its way.
		s.page("", "", 2, 4, live("a", "S0", 1, 1), live("b", "S1", 2, 4))
		s.wantExact(false)
		s.notice(KindStateChange, "a", "S1", 2, 3)
		s.want("a", Active, "S1", 2, 3)
		s.wantExact(true)
		// The same in a repair: the row is of 7, what 6 told is missing.
		s.notice(KindStateChange, "b", "S0", 3, 5)
		s.tell(&RepairReply{Identity: s.id, Covered: Ranges{{5, 5}}, Rows: []Row{live("b", "S1", 4, 7)}, Seq: 7})
		s.wantExact(false)
		return s.broken
	}},
	{"a restart without a durable store", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		s.announce(2)
		s.read(2, live("a", "S0", 1, 1), live("b", "S0", 1, 2))
		old := s.id
		s.id = Identity{RuntimeID: "r2", Component: "C", Name: "A", Epoch: 2, Log: "another"}
		s.announce(1)
		s.wait(2 * time.Second)
		s.page("", "", 1, 1, live("a", "S1", 1, 1))
		s.wantExact(true)
		s.want("a", Active, "S1", 1, 1) // by name, it is that of the new one
		if n := len(s.d.Find("a")); n != 2 {
			s.wrong("a is shown %d times, want it under both runtimes", n)
		}
		for range 61 {
			s.tell(&Beacon{Runtimes: []BeaconEntry{{s.id, 1}}})
			s.wait(time.Second)
		}
		if r, _ := s.d.Runtime(old.RuntimeID, s.now); r.Status != Lost || r.Rows != 2 {
			s.wrong("the old one is %s with %d rows, want it lost with 2", r.Status, r.Rows)
		}
		if in, ok := s.d.Get("A", "C", "b"); !ok || !in.Stale {
			s.wrong("b is not shown as stale")
		}
		return s.broken
	}},
	{"a creation that comes after a repair found the instance gone, while a reading runs", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		s.announce(0)
		s.wait(0)
		s.page("", "1.0", 0, 0)
		s.tell(&Beacon{Runtimes: []BeaconEntry{{s.id, 2}}})
		s.wait(50 * time.Millisecond)
		s.wait(200 * time.Millisecond)
		s.tell(&RepairReply{Identity: s.id, Covered: Ranges{{1, 2}}, Gone: []Gone{{"a", 2}}, Seq: 2})
		s.notice(KindCreated, "a", "S0", 1, 1)
		s.page("1.0", "", 2, 2)
		s.wantNone("a")
		s.wantExact(true)
		return s.broken
	}},
	{"what is lost during a reading is repaired beside it", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		s.announce(0)
		s.wait(0)
		s.page("", "1.0", 0, 0)
		s.tell(&Beacon{Runtimes: []BeaconEntry{{s.id, 2}}})
		s.wait(50 * time.Millisecond)
		repairs := 0
		for _, a := range s.wait(200 * time.Millisecond) {
			if _, ok := a.Message.(*RepairRequest); ok {
				repairs++
			}
		}
		if repairs != 1 {
			s.wrong("got %d repairs, want 1", repairs)
		}
		return s.broken
	}},
	{"readings after many takeovers do not all begin at once", func(off rules) string {
		s := newScript(off, DirectoryConfig{})
		const n = 30
		for epoch := uint64(1); epoch <= 2; epoch++ {
			for i := range n {
				s.id = Identity{RuntimeID: fmt.Sprint("r", i, ".", epoch), Component: "C", Name: fmt.Sprint("A", i), Epoch: epoch, Log: "log"}
				s.announce(0)
			}
			if asks := len(s.wait(0)); epoch == 1 && asks != n || epoch == 2 && asks > n/5 {
				s.wrong("epoch %d: %d readings begin at once", epoch, asks)
			}
		}
		if s.wait(500 * time.Millisecond); len(s.wait(501*time.Millisecond)) == 0 {
			s.wrong("no reading begins in the second half of a second")
		}
		return s.broken
	}},
}
