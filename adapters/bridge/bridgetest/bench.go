package bridgetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/mesh"
)

// A Raw is the client library by itself: Publish returns when the server has the
// bodies, Subscribe calls f for each that comes, and does for it what a broker
// would.
type Raw struct {
	Publish   func(channel string, bodies [][]byte) error
	Subscribe func(channel string, f func([]byte)) error
}

// benchNotices is how many notices a rate is measured with, benchRounds how often.
const (
	benchNotices = 50_000
	benchRounds  = 3
)

// Bench measures the way of notices from a mesh over the bridge to a subscriber on
// the broker, in one dialect, against the raw client of the same run: the rate, and
// the latency at half of it.
func (c Case) Bench(b *testing.B, raw func(testing.TB) Raw) {
	for b.Loop() {
		c.bench(b, raw(b))
	}
}

func (c Case) bench(b *testing.B, raw Raw) {
	bus := bus(b)
	conf := c.config(bus, c.Server.URL)
	conf.Off[bridge.Package] = true
	active(b, start(b, conf))
	guest, err := bus.Host(b.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "bench", Component: "Bench", Name: "bench"},
		Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Bench"}`)}, Source: nothing{}, Logger: quiet(),
		Command: func(context.Context, *mesh.Command) *mesh.Outcome { return &mesh.Outcome{} },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer guest.Close()
	var came, got atomic.Int64
	var timed atomic.Bool
	var sample atomic.Pointer[[]byte]
	times := make(chan time.Duration, benchNotices)
	const channel, bare = "xcomponent:state_change", "fsmesh:bench"
	take := func(n *atomic.Int64) func([]byte) {
		return func(body []byte) {
			n.Add(1)
			if !timed.Load() {
				sample.Store(&body)
				return
			}
			if at := sentAt(body); at != 0 {
				select {
				case times <- time.Since(time.UnixMicro(at)):
				default:
				}
			}
		}
	}
	if err := errors.Join(raw.Subscribe(channel, take(&came)), raw.Subscribe(bare, take(&got))); err != nil {
		b.Fatal(err)
	}
	wait := func(n *atomic.Int64, want int64) {
		deadline := time.Now().Add(time.Minute)
		for n.Load() < want {
			if time.Now().After(deadline) {
				b.Fatalf("%d of %d came", n.Load(), want)
			}
			time.Sleep(time.Millisecond)
		}
	}
	eventually(b, func() string {
		guest.Tell(notices(0, 1, 0))
		time.Sleep(20 * time.Millisecond)
		if came.Load() == 0 {
			return "no notice comes"
		}
		return ""
	})
	var told [][]mesh.Notice
	for i := 0; i < benchNotices; i += 500 {
		told = append(told, notices(i, 500, 0))
	}
	bodies := slices.Repeat([][]byte{*sample.Load()}, 500)
	// In turns, and the best of each: others use the machine as well.
	bridged, rawly := measured{}, measured{}
	for range benchRounds {
		came.Store(0)
		bridged.best(func() {
			for _, n := range told {
				guest.Tell(n)
			}
			wait(&came, benchNotices)
		})
		got.Store(0)
		rawly.best(func() {
			for range benchNotices / 500 {
				if err := raw.Publish(bare, bodies); err != nil {
					b.Fatal(err)
				}
			}
			wait(&got, benchNotices)
		})
	}

	timed.Store(true)
	piece := max(1, int(bridged.rate/2/500))
	// latencies sends pieces every 2 ms, at half of the bridge's rate.
	latencies := func(send func(i int, at int64)) (p50, p99 float64) {
		for len(times) > 0 {
			<-times
		}
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := range 1000 {
			<-tick.C
			send(i, time.Now().UnixMicro())
		}
		eventually(b, func() string {
			if len(times) < min(1000*piece, benchNotices)*9/10 {
				return fmt.Sprintf("%d latencies", len(times))
			}
			return ""
		})
		var all []time.Duration
		for len(times) > 0 {
			all = append(all, <-times)
		}
		slices.Sort(all)
		return float64(all[len(all)/2].Microseconds()), float64(all[len(all)*99/100].Microseconds())
	}
	p50, p99 := latencies(func(i int, at int64) { guest.Tell(notices(i*piece, piece, at)) })
	like := *sample.Load()
	raw50, raw99 := latencies(func(_ int, at int64) {
		body := fmt.Appendf(nil, `{"data":{"context":{"At":%d}},"rest":%q}`, at, like[:len(like)-60])
		if err := raw.Publish(bare, slices.Repeat([][]byte{body}, piece)); err != nil {
			b.Error(err)
		}
	})
	b.ReportMetric(bridged.rate, "notices/s")
	b.ReportMetric(rawly.rate, "raw/s")
	b.ReportMetric(100*bridged.rate/rawly.rate, "%of-raw")
	b.ReportMetric(bridged.cpu, "cpu-µs")
	b.ReportMetric(rawly.cpu, "raw-cpu-µs")
	b.ReportMetric(p50, "p50-µs")
	b.ReportMetric(p99, "p99-µs")
	b.ReportMetric(raw50, "raw-p50-µs")
	b.ReportMetric(raw99, "raw-p99-µs")
	b.ReportMetric(p99-raw99, "added-p99-µs")
}

// sentAt reads when a notice was told, 0 if it does not say. It does not decode all
// of it: that would take the processor that the bridge is measured on.
func sentAt(body []byte) (at int64) {
	_, rest, _ := bytes.Cut(body, []byte(`"At":`))
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		at, rest = at*10+int64(rest[0]-'0'), rest[1:]
	}
	return at
}

// measured is the best of some rounds: how many notices a second, and how much of
// the processors this process takes for one.
type measured struct{ rate, cpu float64 }

func (m *measured) best(f func()) {
	used, begin := processTime(), time.Now()
	f()
	rate, cpu := benchNotices/time.Since(begin).Seconds(), float64((processTime()-used).Nanoseconds())/1000/benchNotices
	m.rate = max(m.rate, rate)
	if m.cpu == 0 || cpu < m.cpu {
		m.cpu = cpu
	}
}

func processTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for no such who only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// notices are changes of many instances.
func notices(from, n int, at int64) []mesh.Notice {
	out := make([]mesh.Notice, n)
	for i := range out {
		k := from + i
		out[i] = mesh.Notice{
			Kind: mesh.KindStateChange, Instance: fmt.Sprintf("0197f0a5-0000-7000-8000-%012d", k%1000), Machine: "Order", State: "Paid", Previous: "Placed",
			Event:   &mesh.Event{Type: "PAY", Payload: json.RawMessage(`{"method":"card"}`)},
			Context: fmt.Appendf(nil, `{"orderId":"ORD-%d","amount":120.5,"channel":"web","customer":"somebody","At":%d}`, k, at),
			Version: 3, Seq: uint64(k + 1), Timestamp: time.Now().UnixMilli(),
		}
	}
	return out
}

// nothing is a source without instances.
type nothing struct{}

func (nothing) Seq() uint64                                           { return 0 }
func (nothing) Changed(mesh.Ranges, int) (c []mesh.Changed, old bool) { return nil, false }
func (nothing) Look(ids []string) []mesh.Found                        { return make([]mesh.Found, len(ids)) }
func (nothing) Shards() int                                           { return 1 }
func (nothing) Piece(int, int, int) mesh.Piece                        { return mesh.Piece{Next: -1} }
