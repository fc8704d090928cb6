package mesh

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func (s *script) check(t *testing.T) {
	t.Helper()
	if s.broken != "" {
		t.Error(s.broken)
	}
	if bad := unsound(s.d); bad != "" {
		t.Error(bad)
	}
}

func (s *script) runtime() RuntimeInfo {
	r, _ := s.d.Runtime(s.id.RuntimeID, s.now)
	return r
}

// TestBadMessages gives a directory what must change nothing but a counter.
func TestBadMessages(t *testing.T) {
	t.Parallel()
	good := Identity{RuntimeID: "r1", Component: "C", Name: "A", Epoch: 1, Log: "log"}
	other := func(change func(*Identity)) Identity {
		id := good
		change(&id)
		return id
	}
	huge := uint64(MaxSeq + 1)
	long := strings.Repeat("x", maxName+1)
	notice := func(change func(*Notice)) Message {
		n := Notice{Kind: KindStateChange, Instance: "b", Machine: "M", State: "S0", Version: 1, Seq: 4}
		change(&n)
		return &Notices{RuntimeID: "r1", Notices: []Notice{n}}
	}
	for _, c := range []struct {
		name  string
		m     Message
		count func(Counters) uint64
	}{
		{"no runtimeId", &Heartbeat{Identity: other(func(i *Identity) { i.RuntimeID = "" })}, func(c Counters) uint64 { return c.Invalid }},
		{"a runtimeId with a newline", &Announce{Identity: other(func(i *Identity) { i.RuntimeID = "a\nb" })}, func(c Counters) uint64 { return c.Invalid }},
		{"a long name", &Announce{Identity: other(func(i *Identity) { i.RuntimeID, i.Name = "r9", long })}, func(c Counters) uint64 { return c.Invalid }},
		{"a name that is no UTF-8", &Announce{Identity: other(func(i *Identity) { i.RuntimeID, i.Name = "r9", "\xff" })}, func(c Counters) uint64 { return c.Invalid }},
		{"a seq that cannot be", &Heartbeat{Identity: good, Seq: &huge}, func(c Counters) uint64 { return c.Invalid }},
		{"another component", &Announce{Identity: other(func(i *Identity) { i.Component = "D" })}, func(c Counters) uint64 { return c.Misfit }},
		{"another name", &Heartbeat{Identity: other(func(i *Identity) { i.Name = "B" })}, func(c Counters) uint64 { return c.Misfit }},
		{"another epoch", &Heartbeat{Identity: other(func(i *Identity) { i.Epoch = 7 })}, func(c Counters) uint64 { return c.Misfit }},
		{"another log", &Goodbye{Identity: other(func(i *Identity) { i.Log = "x" })}, func(c Counters) uint64 { return c.Misfit }},
		{"a second runtime of the same claim", &Announce{Identity: other(func(i *Identity) { i.RuntimeID = "r2" })}, func(c Counters) uint64 { return c.Misfit }},
		{"an unknown runtime without a name", &Heartbeat{Identity: Identity{RuntimeID: "r3"}}, func(c Counters) uint64 { return c.Unknown }},
		{"an unknown runtime's goodbye", &Goodbye{Identity: other(func(i *Identity) { i.RuntimeID = "r4" })}, func(c Counters) uint64 { return c.Unknown }},
		{"an unknown runtime's notices", &Notices{RuntimeID: "r5", Notices: []Notice{{Kind: KindCreated, Instance: "i", Machine: "M", State: "S", Seq: 1}}}, func(c Counters) uint64 { return c.Unknown }},
		{"a notice without an instance", notice(func(n *Notice) { n.Instance = "" }), func(c Counters) uint64 { return c.Invalid }},
		{"a notice without a state", notice(func(n *Notice) { n.State = "" }), func(c Counters) uint64 { return c.Invalid }},
		{"an id with a newline", notice(func(n *Notice) { n.Instance = "a\nb" }), func(c Counters) uint64 { return c.Invalid }},
		{"a numbered notice without a seq", notice(func(n *Notice) { n.Seq = 0 }), func(c Counters) uint64 { return c.Invalid }},
		{"a seq on what changes no row", notice(func(n *Notice) { n.Kind = KindIgnored }), func(c Counters) uint64 { return c.Invalid }},
		{"an unknown kind with a seq", notice(func(n *Notice) { n.Kind = "reboot" }), func(c Counters) uint64 { return c.Invalid }},
		{"a seq far ahead", notice(func(n *Notice) { n.Seq = maxAhead + 10 }), func(c Counters) uint64 { return c.Ahead }},
		{"a seq that cannot be, in a notice", notice(func(n *Notice) { n.Seq = 1 << 63 }), func(c Counters) uint64 { return c.Invalid }},
		{"a seq going back", notice(func(n *Notice) { n.Instance, n.Seq = "a", 1 }), func(c Counters) uint64 { return c.Old }},
		{"a context that is too large", notice(func(n *Notice) { n.Context = json.RawMessage(`"` + strings.Repeat("x", 5<<20) + `"`) }), func(c Counters) uint64 { return c.Invalid }},
		{"a page nobody asked for", &PageReply{Identity: good, Rows: []Row{live("c", "S0", 1, 3)}, AsOf: 3, Seq: 3}, func(c Counters) uint64 { return c.Late }},
		{"ranges that are none", &RepairReply{Identity: good, Covered: Ranges{{5, 4}}, Seq: 3}, func(c Counters) uint64 { return c.Invalid }},
		{"ranges beyond the runtime", &RepairReply{Identity: good, Covered: Ranges{{4, 9}}, Seq: 3}, func(c Counters) uint64 { return c.Invalid }},
		{"an end without an id", &RepairReply{Identity: good, Gone: []Gone{{"", 3}}, Seq: 3}, func(c Counters) uint64 { return c.Invalid }},
		{"a request", &PageRequest{RuntimeID: "r1"}, func(c Counters) uint64 { return c.Invalid }},
		{"a beacon of too many", &Beacon{Runtimes: make([]BeaconEntry, maxEntries+1)}, func(c Counters) uint64 { return c.Invalid }},
		{"nothing", nil, func(c Counters) uint64 { return c.Invalid }},
	} {
		s := newScript(rules{}, DirectoryConfig{})
		s.announce(3)
		s.read(3, live("a", "S0", 1, 3))
		s.wantExact(true)
		before := s.d.Counters()
		s.tell(c.m)
		if got, want := c.count(s.d.Counters()), c.count(before)+1; got != want {
			t.Errorf("%s: got %d counted, want %d: %+v", c.name, got, want, s.d.Counters())
		}
		s.want("a", Active, "S0", 1, 3)
		if n := len(s.d.Runtimes(s.now)); n != 1 {
			t.Errorf("%s: got %d runtimes, want 1", c.name, n)
		}
		if n := s.d.Count(Filter{}).Active; n != 1 {
			t.Errorf("%s: got %d instances, want 1", c.name, n)
		}
		s.check(t)
	}
}

// TestOddTimes: times from outside are shown if they can be true, and order
// nothing.
func TestOddTimes(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(0)
	s.read(0)
	now := s.now.UnixMilli()
	for i, c := range []struct{ sent, want int64 }{
		{now - 5000, now - 5000}, {now / 1000, now}, {-1, now}, {0, now}, {now * 1000, now}, {now + 1000, now + 1000},
	} {
		s.tell(&Notices{RuntimeID: "r1", Notices: []Notice{{Kind: KindStateChange, Instance: "a", Machine: "M", State: fmt.Sprint("S", i), Seq: uint64(i + 1), Timestamp: c.sent}}})
		in, _ := s.d.Get("A", "C", "a")
		if in.UpdatedAt != c.want || in.State != fmt.Sprint("S", i) {
			t.Errorf("time %d: got %d in %s, want %d", c.sent, in.UpdatedAt, in.State, c.want)
		}
	}
	s.check(t)
}

func TestDiscoverOnce(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	for range 5 {
		s.notice(KindCreated, "a", "S0", 1, 1)
	}
	asks := s.wait(0)
	if len(asks) != 1 || asks[0].To != "r1" {
		t.Fatalf("got %+v, want one discover", asks)
	}
	if _, ok := asks[0].Message.(*Discover); !ok {
		t.Fatalf("got %+v, want a discover", asks[0].Message)
	}
	s.notice(KindCreated, "a", "S0", 1, 1)
	if asks := s.wait(time.Second); len(asks) != 0 {
		t.Errorf("got %+v, want nothing so soon", asks)
	}
	s.wait(callAgain)
	s.notice(KindCreated, "a", "S0", 1, 1)
	if asks := s.wait(0); len(asks) != 1 {
		t.Errorf("got %+v, want a discover again", asks)
	}
}

// TestLife follows a runtime from its announce to where it is forgotten.
func TestLife(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(1)
	if r := s.runtime(); r.Status != Live || r.Exactness.Reason != ReasonUnread {
		t.Errorf("got %+v, want live and unread", r)
	}
	s.read(1, live("a", "S0", 1, 1))
	s.wantExact(true)
	s.wait(3100 * time.Millisecond)
	if r := s.runtime(); r.Exactness.Reason != ReasonSilent || !r.Exactness.Since.Equal(simStart) {
		t.Errorf("got %+v, want silent since the start", r.Exactness)
	}
	s.wait(57 * time.Second)
	if r := s.runtime(); r.Status != Lost || r.Exactness.Reason != ReasonLost {
		t.Errorf("got %+v, want lost", r)
	}
	if c := s.d.Count(Filter{}); c != (Count{Stale: 1}) {
		t.Errorf("got %+v, want one stale", c)
	}
	s.announce(1)
	s.wantExact(true)
	if c := s.d.Count(Filter{}); c != (Count{Active: 1}) {
		t.Errorf("got %+v, want one active", c)
	}
	seq := uint64(2)
	s.tell(&Goodbye{Identity: s.id, Seq: &seq})
	s.tell(&Heartbeat{Identity: s.id}) // was on its way
	if r := s.runtime(); r.Status != Stopped || r.Exactness.Reason != ReasonStopped || r.Exactness.Missing != 1 {
		t.Errorf("got %+v, want stopped with one notice missing", r)
	}
	s.notice(KindStateChange, "a", "S1", 2, 2)
	s.want("a", Active, "S1", 2, 2)
	if asks := s.wait(time.Minute); len(asks) != 0 {
		t.Errorf("a stopped runtime is asked %+v", asks)
	}
	s.wait(14 * time.Minute)
	s.want("a", Active, "S1", 2, 2)
	s.wait(time.Minute)
	if n := len(s.d.Runtimes(s.now)); n != 0 {
		t.Errorf("got %d runtimes, want none", n)
	}
	if s.d.bytes != 0 {
		t.Errorf("got %d bytes of nothing", s.d.bytes)
	}
	s.check(t)
}

// TestTakeover: the rows pass on, stale until they are told anew.
func TestTakeover(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(5)
	s.read(5, live("a", "S0", 4, 4), live("b", "S0", 5, 5), live("c", "S0", 1, 0))
	old := s.id
	s.id.RuntimeID, s.id.Epoch = "r2", 2
	s.announce(0)
	if in, _ := s.d.Get("A", "C", "a"); !in.Stale || in.RuntimeID != "r2" || in.Version != 4 {
		t.Errorf("got %+v, want it stale under r2", in)
	}
	s.tell(&Notices{RuntimeID: old.RuntimeID, Notices: []Notice{{Kind: KindCompleted, Instance: "a", Machine: "M", State: "F", Seq: 6}}})
	s.notice(KindStateChange, "b", "S1", 6, 1)
	s.want("b", Active, "S1", 6, 1)
	if asks := s.wait(time.Second); len(asks) != 1 {
		t.Errorf("got %+v, want one reading", asks)
	}
	s.page("", "", 1, 1, live("a", "S0", 4, 0), live("b", "S1", 6, 1))
	s.want("a", Active, "S0", 4, 0)
	s.wantNone("c")
	s.wantExact(true)
	if in, _ := s.d.Get("A", "C", "c"); in.Status != Vanished {
		t.Errorf("got %+v, want it gone", in)
	}
	// An announce of the old one that comes late changes nothing, even if it
	// is the first of it.
	s.tell(&Announce{Identity: Identity{RuntimeID: "r0", Component: "C", Name: "A", Epoch: 1, Log: "log"}})
	for id, want := range map[string]RuntimeStatus{"r0": Superseded, "r1": Superseded, "r2": Live} {
		if r, _ := s.d.Runtime(id, s.now); r.Status != want {
			t.Errorf("%s: got %s, want %s", id, r.Status, want)
		}
	}
	s.check(t)
}

// TestNeverOverwritten: two runtimes of one component have the same id.
func TestNeverOverwritten(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(1)
	s.read(1, live("a", "S0", 1, 1))
	s.id = Identity{RuntimeID: "r2", Component: "C", Name: "B", Epoch: 9, Log: "log"}
	s.announce(1)
	s.read(1, live("a", "S1", 1, 1), live("b", "S1", 1, 0))
	for name, state := range map[string]string{"A": "S0", "B": "S1"} {
		if in, ok := s.d.Get(name, "", "a"); !ok || in.State != state {
			t.Errorf("%s: got %+v, want it in %s", name, in, state)
		}
	}
	c, ok := s.d.Component("C")
	if !ok || c.Count != (Count{Active: 3}) || len(c.Runtimes) != 2 || len(c.Machines) != 1 || len(c.Machines[0].States) != 2 {
		t.Errorf("got %+v", c)
	}
	if all := s.d.Components(); len(all) != 1 || all[0].Count != c.Count {
		t.Errorf("got %+v", all)
	}
	s.check(t)
}

// TestEndedStay: for their time, and only so many.
func TestEndedStay(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{EndedPerMachine: 3, KeepEnded: time.Minute})
	s.announce(0)
	s.read(0)
	for i := range uint64(5) {
		s.notice(KindCompleted, fmt.Sprint("i", i), "F", 1, i+1)
	}
	if c := s.d.Count(Filter{State: "F"}); c != (Count{Ended: 3}) {
		t.Errorf("got %+v, want 3 ended", c)
	}
	if at, ok := s.d.Ended("r1", "i4"); !ok || !at.Equal(s.now) {
		t.Errorf("got %v, %v, want %v", at, ok, s.now)
	}
	s.notice(KindCreated, "i3", "S0", 1, 6)
	s.wantExact(true)
	for range 61 {
		s.announce(6)
		s.wait(time.Second)
	}
	if c := s.d.Count(Filter{}); c != (Count{Active: 1}) {
		t.Errorf("got %+v, want 1 active", c)
	}
	if _, ok := s.d.Ended("r1", "i3"); ok {
		t.Error("i3 lives and is said to have ended")
	}
	s.check(t)
}

// TestQuarantinedStay: those that are quarantined stay however long and however
// many, and are counted, until their runtime tells something else of them.
func TestQuarantinedStay(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{EndedPerMachine: 2, KeepEnded: time.Minute})
	s.announce(0)
	s.read(0)
	for i := range uint64(5) {
		s.notice(KindQuarantined, fmt.Sprint("q", i), "S0", 1, i+1)
	}
	s.notice(KindCompleted, "done", "F", 1, 6)
	wantHeld := func(when string, held, ended int) {
		t.Helper()
		if r := s.runtime(); r.Quarantined != held || r.Ended != ended {
			t.Errorf("%s: %d are quarantined, %d ended, want %d and %d", when, r.Quarantined, r.Ended, held, ended)
		}
		if c := s.d.Count(Filter{}); c.Quarantined != held || c.Ended != ended {
			t.Errorf("%s: the count is %+v, want %d quarantined and %d ended", when, c, held, ended)
		}
		if got := s.d.Select(Selection{Quarantined: true, Limit: 10}); got.Total != held {
			t.Errorf("%s: %d are selected as quarantined, want %d", when, got.Total, held)
		}
	}
	wantHeld("at first", 5, 1)
	for range 61 {
		s.announce(6)
		s.wait(time.Second)
	}
	wantHeld("later", 5, 0)
	s.wantNone("done")
	if at, ok := s.d.Ended("r1", "q0"); ok {
		t.Errorf("one that is quarantined is said to have ended, at %v", at)
	}
	s.notice(KindStateChange, "q0", "S1", 2, 7)
	s.want("q0", Active, "S1", 2, 7)
	s.notice(KindCompleted, "q1", "F", 2, 8)
	wantHeld("when one goes on and one ends", 3, 1)
	// Its next start reads the definition again: of those that its first reading
	// names some go on, and one that it does not name is gone.
	s.id = Identity{RuntimeID: "r2", Component: "C", Name: "A", Epoch: 2, Log: s.id.Log}
	s.announce(0)
	still := live("q4", "S0", 1, 0)
	still.Status = Quarantined
	s.wait(2 * time.Second)
	s.page("", "", 0, 0, live("q0", "S1", 2, 0), live("q2", "S0", 1, 0), still)
	wantHeld("after a restart", 1, 2)
	s.want("q2", Active, "S0", 1, 0)
	s.want("q3", Vanished, "S0", 1, 0)
	for range 61 {
		s.announce(0)
		s.wait(time.Second)
	}
	wantHeld("in the end", 1, 0)
	s.check(t)
}

// TestLimits: what does not fit is left out, and the directory says that it is
// not exact.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]Limits{
		"instances": {Instances: 3}, "machines": {Machines: 3}, "states": {States: 3}, "bytes": {Bytes: 4 * 400},
	} {
		s := newScript(rules{}, DirectoryConfig{Limits: l})
		s.announce(0)
		s.read(0)
		for i := range uint64(6) {
			r := live(fmt.Sprint("i", i), "S", 1, i+1)
			if name == "machines" {
				r.Machine = fmt.Sprint("M", i)
			}
			if name == "states" {
				r.State = fmt.Sprint("S", i)
			}
			s.tell(&Notices{RuntimeID: "r1", Notices: []Notice{{Kind: KindCreated, Instance: r.ID, Machine: r.Machine, State: r.State, Seq: r.Seq, Context: make(json.RawMessage, 100)}}})
		}
		if n := s.d.Count(Filter{}).Active; n > 4 || n < 3 {
			t.Errorf("%s: got %d instances", name, n)
		}
		if r := s.runtime(); r.Exactness.Reason != ReasonRefused {
			t.Errorf("%s: got %+v, want refused", name, r.Exactness)
		}
		if s.d.Counters().Refused == 0 {
			t.Errorf("%s: nothing counted", name)
		}
		s.check(t)
	}
	s := newScript(rules{}, DirectoryConfig{Limits: Limits{Runtimes: 2}})
	for _, id := range []string{"r1", "r2", "r3"} {
		s.id.RuntimeID, s.id.Name = id, id
		s.announce(0)
	}
	if n := len(s.d.Runtimes(s.now)); n != 2 || s.d.Counters().Refused != 1 {
		t.Errorf("got %d runtimes, %+v", n, s.d.Counters())
	}
	s.id.RuntimeID, s.id.Name = "r1", "r1"
	s.tell(&Goodbye{Identity: s.id})
	s.id.RuntimeID, s.id.Name = "r3", "r3"
	s.announce(0)
	if n := len(s.d.Runtimes(s.now)); n != 2 || s.runtime().Status != Live {
		t.Errorf("got %d runtimes, r3 is %q", n, s.runtime().Status)
	}
}

// TestUnanswered: a request is repeated after 250 ms, doubling to 2 s.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(0)
	var at []time.Duration
	for range 700 {
		for _, a := range s.wait(10 * time.Millisecond) {
			if _, ok := a.Message.(*PageRequest); ok {
				at = append(at, s.now.Sub(simStart))
			}
		}
	}
	var gaps []int64
	for i := 1; i < len(at); i++ {
		gaps = append(gaps, (at[i] - at[i-1]).Milliseconds())
	}
	if got, want := fmt.Sprint(gaps), "[250 500 1000 2000 2000]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{Limits: Limits{Definition: 100}})
	def := json.RawMessage(`{"name":"C","stateMachines":7}`) // broken, but kept
	s.tell(&Announce{Identity: s.id, Definition: def, Host: "h", Port: 80})
	if r := s.runtime(); string(r.Definition) != string(def) || r.Host != "h" || r.Port != 80 {
		t.Errorf("got %+v", r)
	}
	s.tell(&Announce{Identity: s.id, Definition: json.RawMessage("null"), Host: "h", Port: 80})
	s.tell(&Announce{Identity: s.id, Definition: make(json.RawMessage, 101), Host: "bad\nhost", Port: 99999})
	if r := s.runtime(); string(r.Definition) != string(def) || r.Host != "h" || s.d.Counters().Refused != 1 {
		t.Errorf("got %+v", r)
	}
	s.check(t)
}

// TestReadingsAtOnce: only so many runtimes are read at once, but one that does
// not answer holds up no other for long.
func TestReadingsAtOnce(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{Limits: Limits{Readings: 3}})
	for i := range 10 {
		s.id.RuntimeID, s.id.Name = fmt.Sprint("r", i), fmt.Sprint("A", i)
		s.announce(0)
	}
	asked := map[string]bool{}
	count := func(asks []Ask) int {
		for _, a := range asks {
			asked[a.To] = true
		}
		return len(asked)
	}
	if n := count(s.wait(0)); n != 3 {
		t.Errorf("got %d readings, want 3", n)
	}
	s.id.RuntimeID, s.id.Name = "r0", "A0"
	s.page("", "", 0, 0)
	if n := count(s.wait(0)); n != 4 {
		t.Errorf("got %d readings, want 4", n)
	}
	for range 100 {
		count(s.wait(50 * time.Millisecond))
	}
	if len(asked) != 10 {
		t.Errorf("got %d readings, want all 10 after a while", len(asked))
	}
	s.check(t)
}

// TestRefusedIsCheckedAgain: a row that cannot be held makes a directory
// inexact until a reading finds it gone.
func TestRefusedIsCheckedAgain(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(0)
	s.read(0)
	s.notice(KindCreated, "a\nb", "S0", 1, 1)
	if r := s.runtime(); r.Exactness.Reason != ReasonRefused || r.Floor != 1 {
		t.Errorf("got %+v, want refused", r)
	}
	for range 601 {
		s.announce(1)
		s.wait(time.Second)
	}
	s.page("", "", 1, 1)
	s.wantExact(true)
	s.check(t)
}

// TestSince: exactness has a beginning, which news do not move.
func TestSince(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	since := func(want time.Duration, exact bool) {
		t.Helper()
		ok, at := s.d.Exact("r1", s.now)
		if got := at.Sub(simStart); ok != exact || got != want {
			t.Errorf("after %v: got %v since %v, want %v since %v", s.now.Sub(simStart), ok, got, exact, want)
		}
	}
	s.announce(0)
	since(0, false)
	s.wait(time.Second)
	s.page("", "", 0, 0)
	since(time.Second, true)
	for i := range uint64(3) {
		s.wait(time.Second)
		s.notice(KindCreated, fmt.Sprint("i", i), "S0", 1, i+1)
		since(time.Second, true)
	}
	s.notice(KindCreated, "j", "S0", 1, 5)
	since(4*time.Second, false)
	s.wait(50 * time.Millisecond)
	s.notice(KindCreated, "k", "S0", 1, 4)
	since(4050*time.Millisecond, true)
	s.wait(4 * time.Second)
	since(4050*time.Millisecond, false)
	s.announce(5)
	since(8050*time.Millisecond, true)
}

// TestBridges: a bridge is known from what it says of itself until it ends or is
// silent, and a runtime that is followed is so as of what its bridge says.
func TestBridges(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_000_000)
	d := NewDirectory(DirectoryConfig{})
	id := Identity{RuntimeID: "r", Component: "C", Name: "r"}
	d.Apply(&Announce{Identity: id, Followed: true}, at)
	one := &BridgeStatus{ID: "b", Broker: "redis://h", Active: true, Behind: 1, Counters: map[string]uint64{"received": 1}, Followed: []Followed{{"r", 999_000}}}
	d.Apply(one, at)
	d.Apply(&BridgeStatus{ID: "c", Broker: "redis://h"}, at.Add(time.Second))
	two := *one
	two.Counters = map[string]uint64{"received": 7}
	before := d.Revision()
	d.Apply(&two, at.Add(4*time.Second))
	if d.Revision() == before {
		t.Error("nobody learns of new counters")
	}
	got := d.Bridges(at.Add(5 * time.Second))
	if len(got) != 2 || got[0].Counters["received"] != 7 || !got[0].First.Equal(at) || got[0].Silent || !got[1].Silent {
		t.Errorf("bridges %+v", got)
	}
	if r, _ := d.Runtime("r", at); !r.Followed || r.AsOf.UnixMilli() != 999_000 {
		t.Errorf("runtime %+v, want followed as of 999000", r)
	}
	for name, bad := range map[string]*BridgeStatus{
		"no id": {Broker: "x"}, "a control": {ID: "b\n"}, "less than none": {ID: "x", Queued: -1}, "counters": {ID: "x", Counters: map[string]uint64{"": 1}},
	} {
		invalid := d.Counters().Invalid
		if d.Apply(bad, at); d.Counters().Invalid != invalid+1 || len(d.Bridges(at)) != 2 {
			t.Errorf("%s: taken in", name)
		}
	}
	d.Apply(&BridgeStatus{ID: "b", Left: true}, at.Add(5*time.Second))
	d.Tick(at.Add(10 * time.Second))
	if got = d.Bridges(at); len(got) != 1 || got[0].ID != "c" {
		t.Errorf("bridges %+v, want the one that has not left", got)
	}
	d.Apply(&Heartbeat{Identity: id}, at.Add(90*time.Second))
	d.Tick(at.Add(90 * time.Second))
	if got = d.Bridges(at); len(got) != 0 {
		t.Errorf("bridges %+v, want none after a minute of silence", got)
	}
}
