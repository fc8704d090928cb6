package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A rawBus is a NATS server in this process with two connections to it, as a
// node has them: one for who sends, one for who receives.
type rawBus struct {
	server        *server.Server
	sender, taker *nats.Conn
}

func newRawBus() *rawBus {
	s := must(server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, MaxPayload: mesh.MaxBody}))
	s.Start()
	if !s.ReadyForConnections(5 * time.Second) {
		panic("the raw server is not ready")
	}
	dial := func() *nats.Conn { return must(nats.Connect("", nats.InProcessServer(s))) }
	return &rawBus{s, dial(), dial()}
}

func (r *rawBus) stop() {
	r.sender.Close()
	r.taker.Close()
	r.server.Shutdown()
	r.server.WaitForShutdown()
}

// window is how many notices may be on their way: more would be left out by who
// is slower.
const window = 20_000

// carries is the side that carries n notices in messages of so many, each
// notice of size bytes, and waits until all were received.
func (r *rawBus) carries(name string, size, perMessage int) side {
	subject := fmt.Sprintf("raw.%d", perMessage)
	var got atomic.Int64
	more := make(chan struct{}, 1)
	sub := must(r.taker.Subscribe(subject, func(*nats.Msg) {
		if got.Add(1)%256 == 0 || perMessage > 1 {
			select {
			case more <- struct{}{}:
			default:
			}
		}
	}))
	check(sub.SetPendingLimits(-1, -1))
	check(r.taker.Flush())
	body := make([]byte, size*perMessage)
	sent := int64(0)
	ahead := int64(max(1, window/perMessage))
	return side{name, func(n int) {
		wait := func(least int64) {
			for got.Load() < least {
				select {
				case <-more:
				case <-time.After(time.Millisecond):
				}
			}
		}
		for range (n + perMessage - 1) / perMessage {
			check(r.sender.Publish(subject, body))
			if sent++; sent%max(1, ahead/4) == 0 {
				wait(sent - ahead)
			}
		}
		check(r.sender.Flush())
		wait(sent)
	}}
}

// A fleet is a runtime on a node of this process.
type fleet struct {
	node    *mesh.Node
	bus     *mesh.Bus // of the runtime
	rt      *fsm.Runtime
	ids     []string
	own     string // its runtimeId
	closers []func()
}

// newFleet makes one whose runtime keeps its instances in memory alone.
func newFleet(instances int) *fleet { return newFleetOf(fsm.Config{}, instances) }

func newFleetOf(c fsm.Config, instances int) *fleet {
	f := &fleet{node: must(mesh.Start(ctx, mesh.Config{Logger: quiet()}))}
	f.rt, f.ids = started(c, instances)
	f.bus = f.connect()
	a := must(mesh.Attach(ctx, f.rt, f.bus, mesh.AttachOptions{}))
	f.own = a.RuntimeIDs()["Bench"]
	f.closers = append(f.closers, func() { check(a.Close(ctx)) })
	return f
}

// connect returns a connection of its own.
func (f *fleet) connect() *mesh.Bus {
	b := must(f.node.Connect(mesh.BusOptions{Logger: quiet()}))
	f.closers = append(f.closers, func() { check(b.Close(ctx)) })
	return b
}

// watch returns a directory kept over a connection of its own.
func (f *fleet) watch() *mesh.View {
	v := must(mesh.Watch(ctx, f.connect(), mesh.ViewOptions{}))
	f.closers = append(f.closers, func() { check(v.Close(ctx)) })
	return v
}

func (f *fleet) stop() {
	for i := range f.closers {
		f.closers[len(f.closers)-1-i]()
	}
	check(f.rt.Stop(ctx))
	check(f.node.Stop(ctx))
}

// reaches waits until the directory has everything up to a number.
func (f *fleet) reaches(v *mesh.View, seq uint64) {
	for {
		changed := v.Changed()
		floor := int64(0)
		v.Read(func(d *mesh.Directory) { floor = d.Floor(f.own) })
		if floor >= int64(seq) {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			panic(fmt.Sprintf("the directory stays at %d, the runtime is at %d", floor, f.rt.Seq("Bench")))
		}
	}
}

// exactly waits until the directory is exact, and returns how long it took.
func (f *fleet) exactly(v *mesh.View) time.Duration {
	start := time.Now()
	for {
		exact := false
		v.Read(func(d *mesh.Directory) { exact, _ = d.Exact(f.own, time.Now()) })
		if exact {
			return time.Since(start)
		}
		if time.Since(start) > 5*time.Minute {
			panic("the directory does not become exact")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// carries is the side that sends events and waits until a directory shows what
// they led to.
func (f *fleet) carries(v *mesh.View, p map[string]any) side {
	ev := fsm.Event{Type: "NEXT", Payload: p}
	return side{"ours", func(n int) {
		order := drawn(len(f.ids))
		for i := range n {
			must(f.rt.Send(ctx, f.ids[order[i%len(order)]], ev))
			if seq := f.rt.Seq("Bench"); i%(window/4) == window/4-1 && seq > window {
				f.reaches(v, seq-window)
			}
		}
		f.reaches(v, f.rt.Seq("Bench"))
	}}
}

// noticeSize is what a notice takes in a message of ours.
func (f *fleet) noticeSize() int {
	told := must(f.bus.Notices(ctx, "Bench"))
	const n = 1000
	go func() {
		for i := range 2 * n {
			must(f.rt.Send(ctx, f.ids[i%len(f.ids)], fsm.Event{Type: "NEXT"}))
		}
	}()
	all := &mesh.Notices{RuntimeID: f.own}
	for t, err := range told {
		check(err)
		if all.Notices = append(all.Notices, t.Notice); len(all.Notices) == n {
			break
		}
	}
	return len(must(mesh.Encode(all))) / n
}

// carried measures the sides in turns, as compare does, and the CPU time of one
// notice as well: what a busy machine makes wait counts in the time only.
func (b *bench) carried(sides ...side) (wall, cpu []series) {
	n := pick(b, 100_000, 2_000)
	wall, cpu = make([]series, len(sides)), make([]series, len(sides))
	for round := range b.rounds + 1 {
		for k := range sides {
			i := (round + k) % len(sides)
			before := cpuTime()
			took := timed(sides[i].run, n)
			used := max(1, cpuTime()-before)
			if round > 0 { // the first only warms up
				wall[i] = append(wall[i], float64(took)/float64(n))
				cpu[i] = append(cpu[i], float64(used)/float64(n))
			}
		}
	}
	return wall, cpu
}

// benchNotices measures what the way from a runtime to a directory carries.
func benchNotices(b *bench) error {
	f := newFleet(1000)
	defer f.stop()
	v := f.watch()
	f.exactly(v)
	size := f.noticeSize()
	raw := newRawBus()
	defer raw.stop()
	for _, c := range carryings() {
		s, cpu := b.carried(f.carries(v, c.payload), raw.carries("one", size, 1), raw.carries("batch", size, 1000))
		ours := fmt.Sprintf("%s (%s)", perSecond(s[0].rate()), ns(s[0].mid()))
		ratio := s[1].over(s[0])
		l := b.add("runtime to directory, "+c.name, ours, fmt.Sprintf("raw, a message of %d bytes each %s", size, perSecond(s[1].rate())), ratio)
		if c.payload == nil {
			l.want(">= 0.50", ratio.mid >= 0.5)
		}
		b.add("runtime to directory, "+c.name, ours, fmt.Sprintf("raw, messages of 1000 such %s", perSecond(s[2].rate())), s[2].over(s[0]))
		b.add("– in CPU time, "+c.name, ns(cpu[0].mid()), "raw, a message each "+ns(cpu[1].mid()), cpu[1].over(cpu[0]))
	}
	var counts mesh.Counters
	v.Read(func(d *mesh.Directory) { counts = d.Counters() })
	b.note("Ours is everything: the sends by 1 caller, encoding, the bus, decoding and the directory's rows, %d instances.\nAll in one process, two connections each; at most %d notices are on their way. Repairs: %d.", len(f.ids), window, counts.Repairs)
	return nil
}
