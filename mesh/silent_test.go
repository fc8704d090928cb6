package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// deafTo takes some of an attachment's subscriptions away.
func deafTo(t *testing.T, a *Attachment, subject func(string) bool) {
	t.Helper()
	for _, s := range a.subs {
		if subject(s.Subject) {
			if err := s.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.bus.nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// A runtime that does not answer who is there is known by its neighbours: what
// it has is not said to be nobody's, its keys are not given away, and it is
// named. One that was killed is named too, until it is back or a minute has
// passed; one that said goodbye is not.
func TestSilentRuntimeIsKnown(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	attach(t, startRuntime(t, "one", nil), b)
	store := fsm.NewMemoryStore()
	two := startRuntime(t, "two", store)
	mute := attach(t, two, b)
	in, err := two.Create(t.Context(), "Order", nil, fsm.WithKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	deafTo(t, mute, func(s string) bool { return s == b.subjects.discover() })
	c := NewClient(b, ClientOptions{})
	if out, err := c.Send(t.Context(), Target{ID: in.ID()}, fsm.Event{Type: "PLACE"}, SendOptions{}); err != nil || out.State != "Placed" {
		t.Errorf("to one that does not answer a discovery: %+v, %v", out, err)
	}
	if out, err := c.Create(t.Context(), "Shop", "Order", nil, CreateOptions{Key: "k", OrGet: true}); err != nil || out.Instance != in.ID() {
		t.Errorf("its key: %+v, %v", out, err)
	}
	abandon(two, mute)
	named := func(err error) bool {
		m, ok := errors.AsType[*MissingError](err)
		return ok && slices.Equal(m.Runtimes, []string{"two/Shop"})
	}
	begin := time.Now()
	fresh := NewClient(b, ClientOptions{Timeout: 2 * time.Minute})
	if _, err := fresh.Get(t.Context(), Target{ID: in.ID()}); !named(err) {
		t.Errorf("an instance of one that was killed: %v", err)
	}
	if _, err := fresh.Create(t.Context(), "Shop", "Order", nil, CreateOptions{Key: "k", OrGet: true}); !named(err) {
		t.Errorf("a key of one that was killed: %v", err)
	}
	if page, err := fresh.Query(t.Context(), Query{}); err != nil || !slices.Equal(page.Missing, []string{"two/Shop"}) {
		t.Errorf("query: %+v, %v", page, err)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("that took %v", took)
	}
	begin = time.Now()
	_, err = fresh.Get(t.Context(), Target{ID: in.ID(), RuntimeID: mute.RuntimeIDs()["Shop"]})
	if !errors.Is(err, fsm.ErrUnknownInstance) || !errors.Is(err, ErrGone) || time.Since(begin) > time.Minute {
		t.Errorf("of a runtime by its id, that is gone: %v after %v", err, time.Since(begin))
	}
	two = startRuntime(t, "two", store)
	back := attach(t, two, b)
	if out, err := fresh.Get(t.Context(), Target{ID: in.ID()}); err != nil || out.State != "Placed" {
		t.Errorf("after it is back: %+v, %v", out, err)
	}
	if err := back.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		_, err = fresh.Get(t.Context(), Target{ID: in.ID()})
		return errors.Is(err, fsm.ErrUnknownInstance)
	})
}

// A runtime that came a moment ago is asked, too, though the client has a list of
// who was there before.
func TestNewRuntimeIsAsked(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	attach(t, startRuntime(t, "one", nil), b)
	c := NewClient(b, ClientOptions{})
	for i := range 5 {
		if _, err := c.Get(t.Context(), Target{ID: "nobody's"}); !errors.Is(err, fsm.ErrUnknownInstance) {
			t.Fatal(err)
		}
		rt := startRuntime(t, fmt.Sprint("new-", i), nil)
		attach(t, rt, b)
		in, err := rt.Create(t.Context(), "Order", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), Target{ID: in.ID()}); err != nil {
			t.Errorf("of a runtime that has just come: %v", err)
		}
	}
}

// Announces and questions come on subjects of their own, which are read beside
// each other. Who answers a question has heard of all that came before, all the
// same.
func TestLocateAfterAnnounce(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	one := attach(t, startRuntime(t, "one", nil), b)
	deafTo(t, one, func(s string) bool { return strings.HasSuffix(s, "announce") || strings.HasSuffix(s, "beacon") })
	c := NewClient(b, ClientOptions{})
	if _, err := c.Get(t.Context(), Target{ID: "nobody's"}); !errors.Is(err, fsm.ErrUnknownInstance) {
		t.Fatal(err)
	}
	two := attach(t, startRuntime(t, "two", nil), b)
	// The list of the client is from before: only what is known to the first
	// tells it that there are others.
	deafTo(t, two, func(s string) bool { return strings.HasSuffix(s, "locate") })
	_, err := c.Get(t.Context(), Target{ID: "nobody's"})
	if missing, ok := errors.AsType[*MissingError](err); !ok || len(missing.Runtimes) != 1 {
		t.Errorf("with one that does not answer: %v", err)
	}
}

// A creation with an id is repeated where it was done, also if the runtimes that
// have come since would be chosen today.
func TestCreationIsRepeatedWhereItWasDone(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	first := startRuntime(t, "first", nil)
	attach(t, first, b)
	runtimes := []*fsm.Runtime{first}
	again := func(o CreateOptions) *Outcome {
		t.Helper()
		out, err := NewClient(b, ClientOptions{}).Create(t.Context(), "Shop", "Order", nil, o)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	kinds := []CreateOptions{{EventID: "e1"}, {EventID: "e2", Key: "k"}, {EventID: "e3", ID: "o-3"}}
	var made []string
	for _, o := range kinds {
		made = append(made, again(o).Instance)
	}
	for i := range 5 {
		runtimes = append(runtimes, startRuntime(t, fmt.Sprint("later-", i), nil))
		attach(t, runtimes[i+1], b)
	}
	for i, o := range kinds {
		if out := again(o); !out.Repeated || out.Instance != made[i] {
			t.Errorf("%+v: %+v, want %s again", o, out, made[i])
		}
	}
	n := 0
	for _, rt := range runtimes {
		n += count(rt, fsm.Filter{})
	}
	if n != len(kinds) {
		t.Errorf("%d instances, want %d", n, len(kinds))
	}
}

// answer has something else answer on a subject.
func answer(t *testing.T, b *Bus, subject string, body []byte) {
	t.Helper()
	sub, err := b.nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(body) })
	if err == nil {
		err = b.nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
}

// Where nothing answers for an id there is a typed error within 5 s: with nobody
// on the mesh, with a runtime that has the instance and says nothing, and with
// one that is overloaded or has stopped, which is not taken for not having it.
func TestNothingAnswers(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	c := NewClient(b, ClientOptions{})
	ask := func(what string, want error) {
		t.Helper()
		begin := time.Now()
		_, err := c.Send(t.Context(), Target{ID: "x"}, fsm.Event{Type: "PLACE"}, SendOptions{})
		if _, missing := errors.AsType[*MissingError](err); want == nil && !missing || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("%s: that took %v", what, took)
		}
	}
	ask("nobody is there", fsm.ErrUnknownInstance)
	if _, err := c.Create(t.Context(), "Shop", "Order", nil, CreateOptions{}); !errors.Is(err, fsm.ErrUnknownComponent) {
		t.Errorf("a creation with nobody there: %v", err)
	}
	rt := startRuntime(t, "one", nil)
	a := attach(t, rt, b)
	if _, err := rt.Create(t.Context(), "Order", nil, fsm.WithID("x")); err != nil {
		t.Fatal(err)
	}
	c = NewClient(b, ClientOptions{Timeout: time.Second})
	deafTo(t, a, func(s string) bool { return strings.HasSuffix(s, "locate") })
	ask("it says nothing", nil)
	overloaded, err := json.Marshal(&Outcome{RuntimeID: a.RuntimeIDs()["Shop"], Component: "Shop", Code: fsm.CodeOverloaded})
	if err != nil {
		t.Fatal(err)
	}
	answer(t, b, b.subjects.on("locate"), overloaded)
	ask("it has too much to do", fsm.ErrOverloaded)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Send(canceled, Target{ID: "x"}, fsm.Event{Type: "PLACE"}, SendOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask("the bus is closed", ErrNotConnected)
}
