package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

var simStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// simDelay is how long the simulated bus holds a message at most.
const simDelay = 2 * time.Second

// A simConfig is what a run keeps from its beginning to its end.
type simConfig struct {
	off        rules
	bad        simBad
	ring       int  // notices that a runtime remembers
	piece      int  // rows of a piece at most
	replyBytes int  // of a reply at most
	cap        int  // ended rows that stay
	ranges     int  // that are kept
	tombs      int  // tombstones that are kept
	remembers  bool // the runtimes remember how instances ended
}

// An op is what one step does. What a, b and c mean depends on it; every step
// means something in every state, so any may be left out.
type op uint8

const (
	opCommit   op = iota // runtime a commits about id b something c, published as one message or several
	opSilent             // the same, and its notices get lost
	opDeliver            // message a, the oldest if b is small, arrives; c says what happens while it is answered
	opLose               // message a is lost
	opDouble             // message a is doubled
	opTick               // time passes, by a; the directory ticks
	opCut                // all that is on the way is lost, and all that is sent for a while
	opRestart            // runtime a restarts in manner b
	opTakeover           // runtime a is taken over and goes on for a while
	opBeat               // runtime a sends a heartbeat or announces itself
	opReread             // the directory is told to read runtime a anew
	opRun                // everything arrives in order for a while
	ops
)

var opNames = [...]string{"Commit", "Silent", "Deliver", "Lose", "Double", "Tick", "Cut", "Restart", "Takeover", "Beat", "Reread", "Run"}

type step struct {
	op      op
	a, b, c uint8
}

func (s step) String() string { return fmt.Sprintf("{op%s, %d, %d, %d}", opNames[s.op], s.a, s.b, s.c) }

// A flight is a message on the bus; to is a runtimeId, or "" for the directory.
type flight struct {
	m    Message
	to   string
	sent time.Time
}

// A world is two runtimes, a bus and a directory.
type world struct {
	cfg    simConfig
	now    time.Time
	dir    *Directory
	procs  []*simProc // all that ever were
	byID   map[string]*simProc
	groups [2]*simProc // what runs now under each name, or ran last
	bus    []flight
	cut    time.Time // nothing gets onto the bus until then
	inside uint8     // what happens while a request is answered: a bit per call
	epoch  uint64
	shown  map[simKey]simShown
	ended  []simEnd
	calm   bool
	broken string // the first invariant that does not hold
	loud   func(format string, args ...any)
}

func newWorld(c simConfig) *world {
	w := &world{cfg: c, now: simStart, byID: map[string]*simProc{}, shown: map[simKey]simShown{}}
	w.dir = NewDirectory(DirectoryConfig{
		Seed: 1, KeepEnded: 30 * time.Second, KeepRuntime: 5 * time.Minute, EndedPerMachine: c.cap,
		Limits: Limits{Ranges: c.ranges, Tombstones: c.tombs},
	})
	w.dir.off = c.off
	for g := range w.groups {
		w.start(g, "log", nil)
	}
	return w
}

// start starts a runtime under a name. It has the instances that live in the
// table given.
func (w *world) start(g int, log string, table *[len(simIDs)]simRow) {
	w.epoch++
	name := [...]string{"A", "B"}[g]
	p := &simProc{
		w: w, alive: true, beacon: w.now, floor: -1, exactAt: -1,
		id: Identity{RuntimeID: fmt.Sprintf("%s%d", name, w.epoch), Component: "C", Name: name, Epoch: w.epoch, Log: log},
	}
	if table != nil {
		for i, r := range table {
			if r.there {
				r.seq = 0
				p.put(i, r)
			}
		}
	}
	p.base, p.truth = p.table, p.table
	w.groups[g] = p
	w.procs = append(w.procs, p)
	w.byID[p.id.RuntimeID] = p
	w.send(&Announce{Identity: p.id, Protocol: 1, Seq: &[]uint64{0}[0]}, "")
}

func (w *world) send(m Message, to string) {
	if w.now.Before(w.cut) {
		return
	}
	if len(w.bus) < 40 {
		w.bus = append(w.bus, flight{m, to, w.now})
	}
}

// publish sends the notices of a commit, in one message or one each.
func (w *world) publish(p *simProc, ns []Notice, apart bool) {
	if !apart && len(ns) > 0 {
		w.send(&Notices{RuntimeID: p.id.RuntimeID, Notices: ns}, "")
		return
	}
	for i := range ns {
		w.send(&Notices{RuntimeID: p.id.RuntimeID, Notices: ns[i : i+1]}, "")
	}
}

// meanwhile lets a commit happen between two looks of a request.
func (w *world) meanwhile(p *simProc) {
	x := w.inside
	w.inside >>= 1
	if x&1 == 1 && w.groups[w.group(p)] == p {
		w.publish(p, p.commit(int(x>>1)%len(simIDs), x>>2), x&64 != 0)
	}
}

func (w *world) group(p *simProc) int { return int(p.id.Name[0] - 'A') }

// do takes one step.
func (w *world) do(s step) {
	g := int(s.a) % len(w.groups)
	p := w.groups[g]
	switch s.op {
	case opCommit, opSilent:
		if !p.alive {
			return
		}
		ns := p.commit(int(s.b)%len(simIDs), s.c)
		if s.op == opCommit {
			w.publish(p, ns, s.c&128 != 0)
		}
	case opDeliver:
		if len(w.bus) > 0 {
			i := 0
			if s.b >= 100 {
				i = int(s.a) % len(w.bus)
			}
			w.deliver(i, s.c)
		}
	case opLose:
		if len(w.bus) > 0 {
			i := int(s.a) % len(w.bus)
			w.bus = slices.Delete(w.bus, i, i+1)
		}
	case opDouble:
		if len(w.bus) > 0 && len(w.bus) < 40 {
			w.bus = append(w.bus, w.bus[int(s.a)%len(w.bus)])
		}
	case opTick:
		w.pass([...]time.Duration{10, 60, 110, 210, 300, 600, 1100, 3500}[s.a%8] * time.Millisecond)
		if s.b > 250 {
			w.pass(70 * time.Second)
		}
		w.tick()
	case opCut:
		w.bus = w.bus[:0]
		w.cut = w.now.Add(time.Duration(s.b%8) * 500 * time.Millisecond)
	case opRestart:
		w.restart(g, s.b)
	case opTakeover:
		w.start(g, p.id.Log, &p.table)
	case opBeat:
		if p.alive {
			seq := p.seq
			if s.b%2 == 0 {
				w.send(&Heartbeat{Identity: p.id, Seq: &seq}, "")
			} else {
				w.send(&Announce{Identity: p.id, Protocol: 1, Seq: &seq}, "")
			}
		}
	case opReread:
		w.apply(&Reread{RuntimeID: p.id.RuntimeID})
	case opRun:
		for range int(s.b) % 8 {
			w.pass(60 * time.Millisecond)
			w.tick()
			for n := len(w.bus); n > 0; n-- {
				w.deliver(0, 0)
			}
		}
	}
}

// restart ends what runs under a name, in one of several ways, and starts it
// again.
func (w *world) restart(g int, how uint8) {
	p := w.groups[g]
	table := p.table
	log := p.id.Log
	if p.alive && how%5 == 0 {
		seq := p.seq
		w.send(&Goodbye{Identity: p.id, Seq: &seq}, "")
	}
	for _, q := range w.procs { // also what goes on after a takeover
		if q.id.Name == p.id.Name {
			q.alive = false
		}
	}
	switch how % 5 {
	case 3: // the store has lost the last notice's commit
		if p.seq > 0 {
			table = p.tableAt(int64(p.seq) - 1)
		}
	case 4: // no durable store: another log, nothing kept
		log = fmt.Sprintf("log%d", w.epoch)
		table = [len(simIDs)]simRow{}
	}
	if how >= 250 {
		return // it stays away
	}
	w.start(g, log, &table)
}

// tableAt returns the table after a notice.
func (p *simProc) tableAt(n int64) [len(simIDs)]simRow {
	t, at := p.truth, p.truthAt
	if n < at {
		t, at = p.base, 0
	}
	for _, c := range p.log[at:n] {
		t[c.i] = c.row
	}
	return t
}

// pass lets time pass; beacons are sent, and what the bus holds too long is
// lost.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.bus = slices.DeleteFunc(w.bus, func(f flight) bool { return w.now.Sub(f.sent) > simDelay })
	for _, p := range w.procs {
		if p.alive && w.now.Sub(p.beacon) >= time.Second {
			if p.beacon = w.now; w.cfg.bad.NoBeacon {
				continue
			}
			w.send(&Beacon{Runtimes: []BeaconEntry{{p.id, p.seq}}}, "")
		}
	}
	w.check()
}

func (w *world) tick() {
	if w.broken != "" {
		return
	}
	open := map[string]int{}
	for _, a := range w.dir.Tick(w.now) {
		if w.loud != nil {
			w.loud("      ask %s %s again=%v", a.To, show(a.Message), a.Again)
		}
		if q, ok := a.Message.(*RepairRequest); ok {
			if first := w.byID[a.To].knownAt[q.Missing[0].From-1]; !a.Again && w.now.Sub(first) < lagBefore {
				w.fail("I5: %s is asked for %v, which is known for %v only", a.To, q.Missing, w.now.Sub(first))
			}
			open[a.To+" repair"]++
		} else {
			open[a.To+fmt.Sprintf(" %T", a.Message)]++
		}
		w.send(a.Message, a.To)
	}
	for what, n := range open {
		if n > 1 {
			w.fail("I5: %d of %s asked at once", n, what)
		}
	}
	w.check()
}

// deliver brings a message where it goes.
func (w *world) deliver(i int, inside uint8) {
	f := w.bus[i]
	w.bus = slices.Delete(w.bus, i, i+1)
	if f.to == "" {
		w.apply(f.m)
		switch f.m.(type) {
		case *PageReply, *RepairReply:
			w.tick()
		}
		return
	}
	p := w.byID[f.to]
	if p == nil || !p.alive {
		return
	}
	if !w.calm {
		w.inside = inside
	}
	switch q := f.m.(type) {
	case *RepairRequest:
		r, err := AnswerRepair(p, p.id, q, w.cfg.replyBytes)
		if err != nil {
			w.fail("answer: %v", err)
			return
		}
		if n := uint64(len(r.Rows) + len(r.Gone)); n > q.Missing.Count() {
			w.fail("I5: %d rows for %d missing notices", n, q.Missing.Count())
		}
		w.send(r, "")
	case *PageRequest:
		r, err := AnswerPage(p, p.id, q, w.cfg.replyBytes)
		if err != nil {
			w.fail("answer: %v", err)
			return
		}
		w.send(r, "")
	case *Discover:
		seq := p.seq
		w.send(&Announce{Identity: p.id, Protocol: 1, Seq: &seq}, "")
	}
	w.inside = 0
}

func (w *world) apply(m Message) {
	if w.loud != nil {
		w.loud("      apply %s", show(m))
	}
	w.dir.Apply(m, w.now)
	w.check()
}

func (w *world) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

// A run is a configuration and steps, both of a seed.
type run struct {
	seed  uint64
	cfg   simConfig
	steps []step
}

// opWeights says how often each op is chosen.
var opWeights = [ops]int{opCommit: 26, opSilent: 6, opDeliver: 50, opLose: 7, opDouble: 6, opTick: 22, opCut: 1, opRestart: 2, opTakeover: 1, opBeat: 3, opReread: 1, opRun: 6}

func newRun(seed uint64, off rules, bad simBad) run {
	rng := rand.New(rand.NewPCG(seed, 7))
	pick := func(xs ...int) int { return xs[rng.IntN(len(xs))] }
	r := run{seed: seed, cfg: simConfig{
		off: off, bad: bad, ring: pick(2, 5, 1000), piece: pick(1, 2, 512), replyBytes: pick(1, envelope+800, 0),
		cap: pick(1, 1, 2, 100), ranges: pick(0, 0, 2), tombs: pick(0, 0, 1), remembers: pick(0, 1) == 1,
	}}
	total := 0
	for _, n := range opWeights {
		total += n
	}
	n := 15 + rng.IntN(70)
	for range n {
		x := rng.IntN(total)
		var o op
		for x >= opWeights[o] {
			x -= opWeights[o]
			o++
		}
		bits := rng.Uint32()
		r.steps = append(r.steps, step{o, uint8(bits), uint8(bits >> 8), uint8(bits >> 16)})
	}
	return r
}

// play takes all steps, then lets the faults stop. It returns what does not
// hold, "" if all does.
func (r run) play(loud func(string, ...any)) (broken string) {
	broken, _ = r.played(loud)
	return broken
}

// played returns the directory's counters too.
func (r run) played(loud func(string, ...any)) (broken string, counts Counters) {
	w := newWorld(r.cfg)
	w.loud = loud
	for _, s := range r.steps {
		if loud != nil {
			loud("%v  t=%v", s, w.now.Sub(simStart))
		}
		w.do(s)
		if w.broken != "" {
			return w.broken, w.dir.counts
		}
	}
	w.settle()
	return w.broken, w.dir.counts
}
