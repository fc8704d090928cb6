package mesh

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

var scale = flag.Int("mesh.scale", defaultScale, "size of the tests over a real bus, in percent of the full one")

// scaled is a size at the scale of this run.
func scaled(full int) int { return max(1, full**scale/100) }

// dial connects over the network, or a proxy.
func dial(t *testing.T, url string, o BusOptions) *Bus {
	t.Helper()
	o.Logger = quiet()
	b, err := Connect(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

// A proxy stands between a connection and a node. It can hold what it carries,
// and cut it.
type proxy struct {
	l  net.Listener
	to string
	wg sync.WaitGroup

	mu    sync.Mutex // guards all below
	conns map[net.Conn]bool
	held  chan struct{} // closed when it carries again; nil if it does
	shut  bool          // connections are refused
	mute  bool          // what comes from the node is lost, until the next cut
	pause time.Duration // after each small piece of what comes from the node
}

func newProxy(t *testing.T, nodeURL string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: strings.TrimPrefix(nodeURL, "nats://"), conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.cut(true)
		p.hold(false)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		p.mu.Lock()
		if err != nil || p.shut {
			in.Close()
			if err == nil {
				out.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.carry(in, out, false) })
		p.wg.Go(func() { p.carry(out, in, true) })
	}
}

func (p *proxy) carry(from, to net.Conn, back bool) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		p.mu.Lock()
		pause := p.pause
		p.mu.Unlock()
		piece := b
		if back && pause > 0 {
			time.Sleep(pause) // that is how thin the line is
			piece = b[:thinPiece]
		}
		n, err := from.Read(piece)
		p.mu.Lock()
		held := p.held
		if p.mute && back {
			n = 0
		}
		p.mu.Unlock()
		if held != nil {
			<-held
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold has the proxy carry nothing, and lose nothing, until it is let go.
func (p *proxy) hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.held == nil:
		p.held = make(chan struct{})
	case !on && p.held != nil:
		close(p.held)
		p.held = nil
	}
}

// thinPiece is what a thin line carries at once, in bytes.
const thinPiece = 32 << 10

// thin has the proxy pause after each piece of what comes from the node.
func (p *proxy) thin(pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = pause
}

// cut breaks all connections; with shut it takes no new ones.
func (p *proxy) cut(shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut, p.mute = shut, false
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// swallow has all be lost that comes from the node, until the next cut.
func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = true
}

func (p *proxy) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = false
}

// A relay carries one mesh over to another name, which is how a test comes to
// lose, double, delay and swap what directories are told and answered.
type relay struct {
	nc       *nats.Conn
	from, to subjects
	subs     []*nats.Subscription
	carried  atomic.Int64
	lost     atomic.Int64

	mu      sync.Mutex // guards all below
	wg      sync.WaitGroup
	rng     *rand.Rand
	faults  bool
	deaf    bool // notices are lost, all of them
	replies map[string]string
	swapped func()
}

func newRelay(t *testing.T, n *Node, from, to string) *relay {
	t.Helper()
	nc, err := n.connect()
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{nc: nc, from: newSubjects(from), to: newSubjects(to), rng: rand.New(rand.NewPCG(1, 2)), replies: map[string]string{}}
	inbox := nc.NewInbox()
	on := func(subject string, f func(*nats.Msg)) {
		s, err := nc.Subscribe(subject, f)
		if err != nil {
			t.Fatal(err)
		}
		r.subs = append(r.subs, s)
	}
	for _, s := range []string{r.from.announce(), r.from.heartbeat(), r.from.shutdown(), r.from.beacon(), r.from.allNotices()} {
		on(s, func(m *nats.Msg) { r.carry(r.over(m.Subject, r.from, r.to), "", m) })
	}
	ask := func(m *nats.Msg) {
		reply := ""
		if m.Reply != "" {
			r.mu.Lock()
			reply = inbox + "." + nc.NewRespInbox()[len("_INBOX."):]
			reply = strings.ReplaceAll(reply[len(inbox)+1:], ".", "-")
			r.replies[inbox+"."+reply] = m.Reply
			reply = inbox + "." + reply
			r.mu.Unlock()
		}
		r.carry(r.over(m.Subject, r.to, r.from), reply, m)
	}
	on(r.to.discover(), ask)
	on(r.to.on("runtime")+".>", ask)
	on(inbox+".*", func(m *nats.Msg) {
		r.mu.Lock()
		to := r.replies[m.Subject]
		r.mu.Unlock()
		if to != "" && len(m.Data) > 0 {
			r.carry(to, "", m)
		}
	})
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range r.subs {
			_ = s.Unsubscribe()
		}
		r.mu.Lock()
		r.faults = false
		r.mu.Unlock()
		r.wg.Wait()
		nc.Close()
	})
	return r
}

func (r *relay) over(subject string, from, to subjects) string {
	return to.mesh + strings.TrimPrefix(subject, from.mesh)
}

func (r *relay) set(faults, deaf bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults, r.deaf = faults, deaf
	if !faults && r.swapped != nil {
		r.swapped()
		r.swapped = nil
	}
}

// carry publishes a message, or does what a bad bus does.
func (r *relay) carry(subject, reply string, m *nats.Msg) {
	r.carried.Add(1)
	send := func() { _ = r.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: m.Data}) }
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deaf && strings.Contains(subject, ".notices.") {
		r.lost.Add(1)
		return
	}
	if !r.faults {
		send()
		return
	}
	switch r.rng.IntN(12) {
	case 0, 1:
		r.lost.Add(1)
	case 2:
		send()
		send()
	case 3, 4:
		late := time.Duration(r.rng.IntN(400)) * time.Millisecond
		r.wg.Go(func() {
			time.Sleep(late) // it is late, that is all
			send()
		})
	case 5:
		if r.swapped != nil {
			r.swapped()
		}
		r.swapped = send
		return
	default:
		send()
	}
	if r.swapped != nil {
		r.swapped()
		r.swapped = nil
	}
}

// stream sends events to a runtime until it is stopped, and counts them.
type stream struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
	sent atomic.Int64
}

// startStream moves some instances around, from two goroutines. pause lies
// between two events.
func startStream(t *testing.T, rt *fsm.Runtime, instances int, pause time.Duration) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{stop: cancel}
	for w := range 2 {
		s.wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			var ids []string
			tick := time.NewTicker(max(pause, 1))
			defer tick.Stop()
			for ctx.Err() == nil {
				if pause > 0 {
					<-tick.C
				}
				var err error
				if len(ids) < instances {
					var in *fsm.Instance
					if in, err = rt.Create(context.Background(), "Order", map[string]any{"n": len(ids)}); err == nil {
						ids = append(ids, in.ID())
					}
				} else {
					event := []string{"PLACE", "PAY", "RETURN"}[rng.IntN(3)]
					_, err = rt.Send(context.Background(), ids[rng.IntN(len(ids))], fsm.Event{Type: event})
				}
				if errors.Is(err, fsm.ErrNotRunning) {
					return
				}
				if err != nil && !errors.Is(err, fsm.ErrEventIgnored) {
					t.Error(err)
					return
				}
				s.sent.Add(1)
			}
		})
	}
	t.Cleanup(s.end)
	return s
}

func (s *stream) end() {
	s.stop()
	s.wg.Wait()
}

// rate is the highest number of events a second in some windows.
func (s *stream) rate(d time.Duration) float64 {
	best := 0.0
	const window = 200 * time.Millisecond
	for end := time.Now().Add(d); time.Now().Before(end); {
		begin, n := time.Now(), s.sent.Load()
		<-time.After(window)
		best = max(best, float64(s.sent.Load()-n)/time.Since(begin).Seconds())
	}
	return best
}

// lagSlack is what the bus and a busy machine may add to the three seconds after
// which a directory must have noticed.
const lagSlack = 1500 * time.Millisecond

// honest watches a view: that it never says that it is exact while something is
// missing for longer than it may. Exact and complete means so.
func honest(t *testing.T, name string, v *View, rt *fsm.Runtime, id string) (stop func()) {
	t.Helper()
	type moment struct {
		at  time.Time
		seq uint64
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var past []moment
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now := time.Now()
			past = append(past, moment{now, rt.Seq("Shop")})
			var exact bool
			var floor int64
			v.Read(func(d *Directory) {
				exact, _ = d.Exact(id, now)
				floor = d.Floor(id)
			})
			for len(past) > 1 && now.Sub(past[1].at) > tellWithin+lagSlack {
				past = past[1:]
			}
			if now.Sub(past[0].at) > tellWithin+lagSlack && exact && floor < int64(past[0].seq) {
				t.Errorf("%s says it is exact at %d, %v after %d had been told", name, floor, now.Sub(past[0].at), past[0].seq)
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// A suffered view is to be exact again in the promised time.
type suffered struct {
	v        *View
	promised time.Duration
}

// exactWithin waits until views are exact at the runtime's last number, no
// longer than promised, and compares the tables.
func exactWithin(t *testing.T, rt *fsm.Runtime, id string, views map[string]suffered) {
	t.Helper()
	begin := time.Now()
	took := map[string]time.Duration{}
	t.Cleanup(func() {
		if t.Failed() {
			for name, s := range views {
				s.v.Read(func(d *Directory) {
					t.Logf("%s, at last: %+v, floor %d of %d", name, d.Exactness(id, time.Now()), d.Floor(id), rt.Seq("Shop"))
				})
			}
		}
	})
	waitFor(t, func() bool {
		for name, s := range views {
			s.v.Read(func(d *Directory) {
				exact, _ := d.Exact(id, time.Now())
				if _, done := took[name]; !done && exact && d.Floor(id) == int64(rt.Seq("Shop")) {
					took[name] = time.Since(begin)
				}
			})
		}
		return len(took) == len(views)
	})
	for name, s := range views {
		t.Logf("%s: exact after %v, promised %v", name, took[name].Round(time.Millisecond), s.promised)
		if took[name] > s.promised*slowdown {
			t.Errorf("%s: exact after %v, promised %v", name, took[name], s.promised)
		}
		exactly(t, s.v, rt, id)
	}
}

// lags reports whether a view says that it does not know a runtime exactly.
func lags(v *View, id string) bool {
	exact := true
	v.Read(func(d *Directory) { exact, _ = d.Exact(id, time.Now()) })
	return !exact
}

// inUse is what is in use after a collection.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
