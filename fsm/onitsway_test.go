package fsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// P2 while the store is slow: what was asked for by an id, and has not been
// stored yet, may be asked for again.

// A slowCase is a runtime whose store lets nothing through while its gate is shut,
// and refuses as many appends as it is told to.
type slowCase struct {
	gate   gate
	refuse atomic.Int32
	mem    *MemoryStore
	rt     *Runtime
}

func newSlowCase(t *testing.T) *slowCase {
	c := &slowCase{mem: NewMemoryStore()}
	c.rt = started(t, Config{
		Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A"), on("A", "STOP", "End")))},
		Store: &scriptedStore{c.mem, true, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
			c.gate.pass(ctx)
			if c.refuse.Add(-1) >= 0 {
				return errDiskFull
			}
			return write(ctx, b)
		}},
		Shards: 2, Limits: Limits{Held: 20},
	})
	t.Cleanup(c.gate.open) // before the runtime is stopped
	return c
}

// leave asks for something and gives up while it is on its way.
func leave(t *testing.T, ask func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("it was not on its way: %v", err)
	}
}

// repeats waits until so many repeats of creations wait in the shards.
func (c *slowCase) repeats(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprint(want, " repeats wait"), func() bool {
		var n atomic.Int32
		if err := c.rt.visitAll(t.Context(), func(sh *shard) {
			for _, on := range sh.creating {
				n.Add(int32(len(on.repeats)))
			}
		}); err != nil {
			t.Fatal(err)
		}
		return int(n.Load()) == want
	})
}

// held waits until so many deliveries are held back from the instance.
func (c *slowCase) held(t *testing.T, id string, want int) {
	t.Helper()
	eventually(t, fmt.Sprint(want, " are held back"), func() bool {
		var n atomic.Int32
		if err := c.rt.visitAll(t.Context(), func(sh *shard) {
			if s := sh.tab.get(id); s != nil && s.held != nil {
				n.Store(int32(s.held.len()))
			}
		}); err != nil {
			t.Fatal(err)
		}
		return int(n.Load()) == want
	})
}

// createdAs are the ways to ask for an instance by an id of the request. Who asks
// for a key waits for it outside the shards.
const withKey = "with a key"

var createdAs = map[string][]CreateOption{
	"by the id of the request": {WithCreateID("x")},
	"with an id of its own":    {WithCreateID("x"), WithID("one")},
	withKey:                    {WithCreateID("x"), WithKey("k")},
}

// Ten repeats of a creation on its way wait, and get what it made; one who gives
// up does not disturb that.
func TestCreationOnItsWayIsRepeated(t *testing.T) {
	t.Parallel()
	for how, opts := range createdAs {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := newSlowCase(t)
			create := func(ctx context.Context) error {
				_, err := c.rt.Create(ctx, "M", nil, opts...)
				return err
			}
			c.gate.close()
			leave(t, create)
			leave(t, create)
			var ids [10]string
			var created atomic.Int32
			var wg sync.WaitGroup
			for i := range ids {
				wg.Go(func() {
					var made bool
					in, err := c.rt.Create(t.Context(), "M", nil, append(opts[:len(opts):len(opts)], TellCreated(&made))...)
					if err != nil {
						t.Errorf("the repeat: %v", err)
						return
					}
					ids[i] = in.ID()
					if made {
						created.Add(1)
					}
				})
			}
			if how != withKey {
				c.repeats(t, 11)
			}
			c.gate.open()
			wg.Wait()
			for _, id := range ids {
				if id != ids[0] {
					t.Errorf("the repeats got %q", ids)
					break
				}
			}
			if n := len(c.mem.Records("r")); n != 1 || created.Load() != 0 {
				t.Errorf("%d records, and %d repeats say that they made it; want 1 and 0", n, created.Load())
			}
		})
	}
}

// What the store refused is asked for again by whoever waited for it.
func TestCreationThatWasNotStoredIsRepeated(t *testing.T) {
	t.Parallel()
	for how, opts := range createdAs {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := newSlowCase(t)
			c.gate.close()
			leave(t, func(ctx context.Context) error {
				_, err := c.rt.Create(ctx, "M", nil, opts...)
				return err
			})
			c.refuse.Store(1)
			var created atomic.Int32
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					var made bool
					if _, err := c.rt.Create(t.Context(), "M", nil, append(opts[:len(opts):len(opts)], TellCreated(&made))...); err != nil {
						t.Errorf("the repeat: %v", err)
					}
					if made {
						created.Add(1)
					}
				})
			}
			if how != withKey {
				c.repeats(t, 5)
			}
			c.gate.open()
			wg.Wait()
			if n := len(c.mem.Records("r")); n != 1 || created.Load() != 1 {
				t.Errorf("%d records, and %d repeats say that they made it; want 1 and 1", n, created.Load())
			}
		})
	}
}

// An id is not given away to another request, on its way or stored, whichever
// way its instance came to it.
func TestIDOfAnotherCreation(t *testing.T) {
	t.Parallel()
	c := newSlowCase(t)
	other := map[string][]CreateOption{
		"another request": {WithID("one"), WithCreateID("y")},
		"no request":      {WithID("one")},
	}
	fail := func(when string) {
		t.Helper()
		for who, opts := range other {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := c.rt.Create(ctx, "M", nil, opts...)
			wantCode(t, who+", "+when, err, CodeIDExists)
		}
	}
	c.gate.close()
	leave(t, func(ctx context.Context) error {
		_, err := c.rt.Create(ctx, "M", nil, WithID("one"), WithCreateID("x"))
		return err
	})
	fail("on its way")
	c.gate.open()
	mustCreate(t, c.rt, "M", nil, WithID("one"), WithCreateID("x"))
	fail("stored")
	// The place of a request, taken by somebody else.
	mustCreate(t, c.rt, "M", nil, WithID(CreatedID("C", "z")))
	_, err := c.rt.Create(t.Context(), "M", nil, WithCreateID("z"))
	wantCode(t, "the id that it would have", err, CodeIDExists)
}

// A creation whose instance has ended long ago still gives its first outcome.
func TestForgottenCreationIsRepeated(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "STOP", "End")))}, Store: NewMemoryStore(),
		Limits: Limits{Ended: 1},
	}
	rt := started(t, cfg)
	opts := []CreateOption{WithID("one"), WithCreateID("x")}
	mustSend(t, rt, mustCreate(t, rt, "M", nil, opts...), "STOP")
	mustSend(t, rt, mustCreate(t, rt, "M", nil), "STOP") // and one more, for which it is forgotten
	if _, err := rt.Get("one"); ErrorCode(err) != CodeUnknownInstance {
		t.Fatalf("it is not forgotten: %v", err)
	}
	if id := mustCreate(t, rt, "M", nil, opts...); id != "one" {
		t.Errorf("the repeat gave %q", id)
	}
	_, err := rt.Create(t.Context(), "M", nil, WithID("one"), WithCreateID("y"))
	wantCode(t, "another request", err, CodeIDExists)
}

// Those that wait for one creation are bounded.
func TestManyRepeatsOfOneCreation(t *testing.T) {
	t.Parallel()
	c := newSlowCase(t)
	c.gate.close()
	create := func(ctx context.Context) error {
		_, err := c.rt.Create(ctx, "M", nil, WithCreateID("x"))
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var overloaded atomic.Int32
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			switch err := create(ctx); {
			case ErrorCode(err) == CodeOverloaded:
				overloaded.Add(1)
			case !errors.Is(err, context.DeadlineExceeded):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := overloaded.Load(); n != 9 {
		t.Errorf("%d were refused, want 9: one is on its way, and 20 wait", n)
	}
	c.gate.open()
	if err := c.rt.Idle(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context()); err != nil {
		t.Error(err)
	}
}

// The same holds for events: a repeat of one on its way waits for it, also where
// it ends the instance, and where the store refuses it.
func TestEventOnItsWayIsRepeated(t *testing.T) {
	t.Parallel()
	for _, event := range []string{"GO", "STOP"} {
		for _, refused := range []int32{0, 1} {
			t.Run(fmt.Sprint(event, " refused ", refused), func(t *testing.T) {
				t.Parallel()
				c := newSlowCase(t)
				id := mustCreate(t, c.rt, "M", nil)
				c.gate.close()
				leave(t, func(ctx context.Context) error {
					_, err := c.rt.Send(ctx, id, Event{Type: event}, WithEventID("x"))
					return err
				})
				c.refuse.Store(refused)
				var first atomic.Int32
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						r, err := c.rt.Send(t.Context(), id, Event{Type: event}, WithEventID("x"))
						if err != nil || r.Version != 2 {
							t.Errorf("the repeat: %+v, %v", r, err)
						}
						if !r.Repeated {
							first.Add(1)
						}
					})
				}
				c.held(t, id, 5)
				c.gate.open()
				wg.Wait()
				if n := len(c.mem.Records("r")); n != 2 || first.Load() != refused {
					t.Errorf("%d records, and %d repeats were the first; want 2 and %d", n, first.Load(), refused)
				}
			})
		}
	}
}
