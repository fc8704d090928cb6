package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/fsmesh/fsmesh/fsm"
)

// benchAround measures sends that involve others: hooks and watchers.
func benchAround(b *bench) error {
	hooks := fsm.Hooks{Methods: map[string]fsm.Hook{
		"nothing": func(*fsm.Call) error { return nil },
		"update":  func(c *fsm.Call) error { return c.UpdateContext(map[string]any{"amount": 9.0}) },
	}}
	withHook := func(method string) (*fsm.Runtime, []string) {
		return started(fsm.Config{Components: []*fsm.Component{definition(method)}, Hooks: hooks}, sendInstances)
	}
	plain, ids := started(fsm.Config{}, sendInstances)
	nothing, _ := withHook("nothing")
	update, _ := withHook("update")
	traced, _ := started(fsm.Config{Trace: func(fsm.Trace) {}}, sendInstances)
	watched, _ := started(fsm.Config{}, sendInstances)
	elsewhere, _ := started(fsm.Config{}, sendInstances)
	watching, stop := context.WithCancel(ctx)
	var seen, lost atomic.Int64
	watch := func(rt *fsm.Runtime, o fsm.WatchOptions) {
		notices := rt.Watch(watching, o)
		go func() {
			for _, err := range notices {
				if err != nil {
					lost.Add(1)
				} else {
					seen.Add(1)
				}
			}
		}()
	}
	watch(watched, fsm.WatchOptions{})
	watch(elsewhere, fsm.WatchOptions{Instance: "nobody"})
	all := []struct {
		name string
		rt   *fsm.Runtime
	}{
		{"plain", plain}, {"a hook that does nothing", nothing}, {"a hook that updates the context", update},
		{"a Trace function that does nothing", traced}, {"a watcher that reads all", watched}, {"a watcher of another instance", elsewhere},
	}
	for _, callers := range []int{1, 256} {
		var sides []side
		for _, a := range all {
			sides = append(sides, sends(a.name, a.rt, ids, callers, nil))
		}
		s := b.compare(sides...)
		for i, a := range all {
			if i > 0 {
				b.add(fmt.Sprintf("%s, %s", named(callers), a.name), fmt.Sprintf("%s (%s)", perSecond(s[i].rate()), ns(s[i].mid())),
					"plain sends "+perSecond(s[0].rate()), s[0].over(s[i]))
			}
		}
	}
	for _, a := range all {
		check(a.rt.Stop(ctx))
	}
	stop()
	b.note("The watcher read %d notices and was told %d times that it had missed some: it never slows the runtime down.", seen.Load(), lost.Load())
	return nil
}
