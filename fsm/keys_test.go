package fsm

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func keyConfig(s Store) Config {
	return Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A"), on("A", "STOP", "End")))}, Store: s}
}

// Guards the reservation of keys: 100 keys, each asked for by 16 callers at a
// time, are 100 instances, each created by one of them.
func TestGetOrCreateFromManyCallers(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprint("waits ", waits), func(t *testing.T) {
			t.Parallel()
			cfg := keyConfig(nil)
			if waits {
				cfg.Store = slowMemory(NewMemoryStore(), 50_000)
			}
			rt := started(t, cfg)
			var created atomic.Int32
			ids := make([]sync.Map, 100)
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for k := range ids {
						in, made, err := rt.GetOrCreate(t.Context(), "M", fmt.Sprint("key", k), nil)
						if err != nil {
							t.Error(err)
							return
						}
						if made {
							created.Add(1)
						}
						ids[k].Store(in.ID(), true)
					}
				})
			}
			wg.Wait()
			for k := range ids {
				n := 0
				ids[k].Range(func(any, any) bool { n++; return true })
				if n != 1 {
					t.Errorf("key %d has %d instances", k, n)
				}
			}
			if n := created.Load(); n != 100 {
				t.Errorf("created %d times", n)
			}
		})
	}
}

func TestKeyIsFreeAfterTheEnd(t *testing.T) {
	t.Parallel()
	cfg := keyConfig(NewMemoryStore())
	rt := started(t, cfg)
	a := mustCreate(t, rt, "M", nil, WithKey("k"))
	_, err := rt.Create(t.Context(), "M", nil, WithKey("k"))
	wantCode(t, "while it is active", err, CodeKeyExists)
	mustSend(t, rt, a, "STOP")
	_, err = rt.SendByKey(t.Context(), "k", Event{Type: "GO"})
	wantCode(t, "SendByKey to the one that ended", err, CodeInstanceEnded)
	b := mustCreate(t, rt, "M", nil, WithKey("k"))
	if a == b {
		t.Error("the second instance has the id of the first")
	}
	mustSend(t, rt, b, "STOP")
	stopRuntime(t, rt)
	rt = started(t, cfg)
	c := mustCreate(t, rt, "M", nil, WithKey("k"))
	if c == a || c == b {
		t.Error("after a restart an old id was given again")
	}
	if r, err := rt.SendByKey(t.Context(), "k", Event{Type: "GO"}); err != nil || r.Instance.ID() != c {
		t.Errorf("SendByKey: %v", err)
	}
}

// Instances of one key come and go while others ask for it.
func TestKeyRaces(t *testing.T) {
	t.Parallel()
	rt := started(t, keyConfig(nil))
	var wg sync.WaitGroup
	var created, ended atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 200 {
				in, made, err := rt.GetOrCreate(t.Context(), "M", "k", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if made {
					created.Add(1)
				}
				switch _, err := rt.Send(t.Context(), in.ID(), Event{Type: "STOP"}); ErrorCode(err) {
				case "":
					ended.Add(1)
				case CodeInstanceEnded:
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if created.Load() != ended.Load() {
		t.Errorf("created %d, ended %d", created.Load(), ended.Load())
	}
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	rt := started(t, keyConfig(nil))
	_, err := rt.SendByKey(t.Context(), "order:abc123", Event{Type: "GO"})
	wantCode(t, "SendByKey", err, CodeUnknownInstance)
	if got, want := err.Error(), "no instance for order:abc123"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	two := started(t, Config{Name: "two", Components: []*Component{
		componentOf("C", fsmOf("M", on("A", "GO", "A"))), componentOf("D", fsmOf("N", on("A", "GO", "A")))}})
	mustCreate(t, two, "M", nil, WithKey("k"))
	mustCreate(t, two, "N", nil, WithKey("k"))
	_, err = two.SendByKey(t.Context(), "k", Event{Type: "GO"})
	wantCode(t, "a key of two components", err, CodeAmbiguous)
	if _, err = two.SendByKey(t.Context(), "k", Event{Type: "GO"}, InComponent("D")); err != nil {
		t.Error(err)
	}
}

func TestGivenIDs(t *testing.T) {
	t.Parallel()
	cfg := keyConfig(NewMemoryStore())
	rt := started(t, cfg)
	id := mustCreate(t, rt, "M", nil, WithID("a/b 1"))
	if id != "a/b 1" {
		t.Errorf("id %q", id)
	}
	_, err := rt.Create(t.Context(), "M", nil, WithID(id))
	wantCode(t, "in use", err, CodeIDExists)
	mustSend(t, rt, id, "STOP")
	_, err = rt.Create(t.Context(), "M", nil, WithID(id))
	wantCode(t, "ended", err, CodeIDExists)
	stopRuntime(t, rt)
	rt = started(t, cfg)
	_, err = rt.Create(t.Context(), "M", nil, WithID(id))
	wantCode(t, "in the history", err, CodeIDExists)
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch _, err := rt.Create(t.Context(), "M", nil, WithID("one")); ErrorCode(err) {
			case "":
				made.Add(1)
			case CodeIDExists:
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("created %d times", made.Load())
	}
}

// Whoever asks, one instance: from outside and from hooks of several instances
// at a time.
func TestSingletonRaces(t *testing.T) {
	t.Parallel()
	no := false
	c := componentOf("C", fsmOf("One", on("A", "STOP", "End")), fsmOf("M", on("A", "MAKE", "A", calls("make"))))
	c.EntryMachine, c.AutoCreateEntryPoint = "One", &no
	var made, refused atomic.Int32
	rt := started(t, Config{Components: []*Component{c}, Hooks: Hooks{Methods: map[string]Hook{"make": func(c *Call) error {
		switch _, err := c.CreateInstance("One", nil); ErrorCode(err) {
		case "":
			made.Add(1)
		case CodeSingletonExists:
			refused.Add(1)
		default:
			t.Error(err)
		}
		return nil
	}}}})
	var wg sync.WaitGroup
	for range 8 {
		id := mustCreate(t, rt, "M", nil)
		wg.Go(func() { mustSend(t, rt, id, "MAKE") })
		wg.Go(func() {
			if _, err := rt.Create(t.Context(), "One", nil); err == nil {
				made.Add(1)
			} else {
				wantCode(t, "Create", err, CodeSingletonExists)
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || refused.Load() != 15 {
		t.Errorf("made %d, refused %d", made.Load(), refused.Load())
	}
	for in := range rt.Instances(Filter{Machine: "One"}) {
		mustSend(t, rt, in.ID(), "STOP")
	}
	mustCreate(t, rt, "One", nil)
}
