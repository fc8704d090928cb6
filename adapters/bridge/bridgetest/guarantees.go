package bridgetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
)

// listener gathers bodies of one subscription.
type listener struct {
	mu  sync.Mutex // guards got
	got []string
}

func (l *listener) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.got...)
}

func (l *listener) listen(t testing.TB, b bridge.Broker, s bridge.Subscription, done func(n int) error) {
	t.Helper()
	err := b.Subscribe(t.Context(), s, func(m *bridge.Message) {
		l.mu.Lock()
		l.got = append(l.got, string(m.Body))
		n := len(l.got)
		l.mu.Unlock()
		m.Done(done(n))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func taken(int) error { return nil }

// guarantees checks each guarantee that the broker says it holds.
func (c Case) guarantees(t *testing.T) {
	proxy := NewProxy(t, c.Server.Addr)
	a, b := c.open(t, c.Server.URL), c.open(t, c.Server.Through(proxy))
	g := b.Guarantees()
	t.Logf("%+v", g)
	if a.Identity() != b.Identity() || a.Identity() == "" {
		t.Errorf("the same server is %q and %q", a.Identity(), b.Identity())
	}
	t.Run("Order", func(t *testing.T) {
		var l listener
		l.listen(t, b, bridge.Subscription{Channels: []string{"fsmesh:test:order"}}, taken)
		var frames []bridge.Frame
		for i := range 2000 {
			frames = append(frames, bridge.Frame{Channel: "fsmesh:test:order", Body: fmt.Append(nil, i)})
		}
		if n, err := a.Publish(t.Context(), frames); n != len(frames) || err != nil {
			t.Fatalf("published %d, %v", n, err)
		}
		eventually(t, func() string {
			if got := l.all(); len(got) != len(frames) {
				return fmt.Sprintf("%d of %d came", len(got), len(frames))
			}
			return ""
		})
		for i, body := range l.all() {
			if body != fmt.Sprint(i) {
				t.Fatalf("%s came as number %d", body, i)
			}
		}
	})
	t.Run("Delay", func(t *testing.T) {
		var l listener
		l.listen(t, b, bridge.Subscription{Channels: []string{"fsmesh:test:delay"}}, taken)
		proxy.Delay(50 * time.Millisecond)
		defer proxy.Delay(0)
		begin := time.Now()
		want := make([]string, 0, 100)
		for len(want) < cap(want) {
			var frames []bridge.Frame
			for range 20 {
				want = append(want, fmt.Sprint(len(want)))
				frames = append(frames, bridge.Frame{Channel: "fsmesh:test:delay", Body: []byte(want[len(want)-1])})
			}
			if n, err := b.Publish(t.Context(), frames); n != len(frames) || err != nil {
				t.Fatalf("published %d, %v", n, err)
			}
		}
		eventually(t, func() string {
			if got := l.all(); !slices.Equal(got, want) {
				return fmt.Sprintf("%d of %d came, in the order %v", len(got), len(want), got)
			}
			return ""
		})
		if took := time.Since(begin); took < 100*time.Millisecond { // there and back
			t.Errorf("it took %v: nothing was held up", took)
		}
	})
	if g.Confirmed {
		t.Run("Confirmed", func(t *testing.T) { confirmed(t, proxy, a, b) })
	}
	for name, fault := range map[string]func(){
		"Cut": proxy.Cut, "Down": func() { proxy.Down(); time.AfterFunc(300*time.Millisecond, proxy.Up) },
		"Stall": func() { proxy.Stall(); time.AfterFunc(9*time.Second, proxy.Resume) },
	} {
		t.Run("Lost/"+name, func(t *testing.T) {
			var l listener
			ch := "fsmesh:test:lost:" + name
			l.listen(t, b, bridge.Subscription{Channels: []string{ch}}, taken)
			for len(b.Lost()) > 0 {
				<-b.Lost()
			}
			fault()
			select {
			case loss := <-b.Lost():
				t.Logf("told: %s", loss.Reason)
			case <-time.After(20 * time.Second):
				t.Fatal("no loss is told")
			}
			eventually(t, func() string {
				if _, err := a.Publish(t.Context(), []bridge.Frame{{Channel: ch, Body: []byte("again")}}); err != nil {
					return err.Error()
				}
				if len(l.all()) == 0 {
					return "nothing comes after the connection is back"
				}
				return ""
			})
		})
	}
	t.Run("Unheard", func(t *testing.T) {
		count := func() uint64 { n := a.Counters(); return n["published_unheard"] + n["returned"] }
		before := count()
		if _, err := a.Publish(t.Context(), []bridge.Frame{{Channel: "fsmesh:test:nobody", Body: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() string {
			if n := count() - before; n != 1 {
				return fmt.Sprintf("%d messages are counted that nobody listens for, want 1", n)
			}
			return ""
		})
	})
	if g.Redelivered {
		t.Run("Redelivered", func(t *testing.T) {
			var l listener
			l.listen(t, b, bridge.Subscription{Channels: []string{"fsmesh:test:again"}}, func(n int) error {
				if n == 1 {
					return errors.New("not now")
				}
				return nil
			})
			if _, err := a.Publish(t.Context(), []bridge.Frame{{Channel: "fsmesh:test:again", Body: []byte("x")}}); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() string {
				if got := l.all(); len(got) != 2 {
					return fmt.Sprintf("%d deliveries, want 2", len(got))
				}
				return ""
			})
		})
	}
	if g.Shared {
		t.Run("Shared", func(t *testing.T) { shared(t, a, b) })
	}
	if claimer, ok := b.(bridge.Claimer); ok {
		first, err := claimer.Claim(t.Context(), t.Name())
		second, err2 := a.(bridge.Claimer).Claim(t.Context(), t.Name())
		if !first || second || err != nil || err2 != nil {
			t.Errorf("claimed: %v, %v and %v, %v; want once", first, err, second, err2)
		}
	}
}

// confirmed breaks the connection of who publishes, again and again: what is said to
// be taken has come, in the end.
func confirmed(t *testing.T, proxy *Proxy, a, b bridge.Broker) {
	var l listener
	l.listen(t, a, bridge.Subscription{Channels: []string{"fsmesh:test:confirmed"}}, taken)
	proxy.Delay(time.Millisecond) // so that it breaks in between
	defer proxy.Delay(0)
	const rounds, each = 3, 200
	said := 0
	publish := func(many int) {
		t.Helper()
		var frames []bridge.Frame
		for i := range many {
			frames = append(frames, bridge.Frame{Channel: "fsmesh:test:confirmed", Body: fmt.Append(nil, said+i)})
		}
		for deadline := time.Now().Add(within); len(frames) > 0; {
			n, err := b.Publish(t.Context(), frames)
			said += n
			if frames = frames[n:]; err != nil && time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	for range rounds {
		cut := make(chan struct{})
		time.AfterFunc(5*time.Millisecond, func() {
			defer close(cut)
			proxy.Cut()
		})
		publish(each)
		<-cut
		publish(1) // over a connection that is there again
	}
	eventually(t, func() string {
		there := map[string]bool{}
		for _, body := range l.all() {
			there[body] = true
		}
		if len(there) != said {
			return fmt.Sprintf("%d of %d came that are said to be taken", len(there), said)
		}
		return ""
	})
}

func shared(t *testing.T, a, b bridge.Broker) {
	var l1, l2 listener
	s := bridge.Subscription{Channels: []string{"fsmesh:test:shared"}, Shared: "test.shared"}
	l1.listen(t, a, s, taken)
	l2.listen(t, b, s, taken)
	var frames []bridge.Frame
	for i := range 200 {
		frames = append(frames, bridge.Frame{Channel: "fsmesh:test:shared", Body: fmt.Append(nil, i)})
	}
	if _, err := a.Publish(t.Context(), frames); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if n := len(l1.all()) + len(l2.all()); n != len(frames) {
			return fmt.Sprintf("%d of %d came", n, len(frames))
		}
		return ""
	})
	if len(l1.all()) == 0 || len(l2.all()) == 0 {
		t.Errorf("%d and %d: they are not shared", len(l1.all()), len(l2.all()))
	}
}
