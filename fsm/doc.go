// Package fsm runs fleets of finite-state machines. A component, read from a
// YAML file, has machines; a runtime hosts components and takes events to their
// instances; application code hooks into transitions.
//
//	component, _, err := fsm.ParseComponentFile("orders.yaml")
//	rt, err := fsm.NewRuntime(fsm.Config{Components: []*fsm.Component{component}})
//	err = rt.Start(ctx)
//	order, err := rt.Create(ctx, "Order", map[string]any{"amount": 40})
//	res, err := rt.Send(ctx, order.ID(), fsm.Event{Type: "PLACE"})
//
// # What it guarantees
//
// An answer is given, and anybody told, only after the transition is stored.
// Events of one instance are handled one at a time, in the order in which they
// were accepted; its records have the versions 1, 2, 3 … without a gap. What a
// transition leads to (events for others, creations, notices to a parent) is
// stored with it and done exactly once. An event that is sent with an id takes
// effect once within the instance's last 64 such events. A timer fires once and
// never early. Hooks run before the transition is stored, at least once; one
// that fails, panics or never returns harms only its own call. Two runtimes
// never both advance an instance of one log: the later claim fences the earlier.
//
// It guarantees no order between instances, and no exactly-once for what hooks
// do to the outside world. What survives the process is what its Store keeps;
// without one, nothing does.
//
// # How to read it
//
// In the order of an event's way: send.go and create.go take calls in, shard.go
// and deliver.go bring each to its instance, step.go (with step_effects.go,
// step_plain.go and rules.go, all pure) says what it leads to, worker.go and
// call.go run hooks, batch.go, committer.go and failure.go store it, publish.go,
// numbers.go and watch.go make it visible, effects.go and outbox.go pass on what
// is still to be done. Beside that way lie definition.go, parse.go, check.go and
// compile.go (from a file to something that runs), table.go and env.go (finding
// instances), timers.go, places.go (keys and singletons), records.go. Around the
// store: store.go says what one is, standby.go waits for the log, restore.go,
// restoring.go and rebuild.go bring back what it holds, quarantine.go keeps what
// cannot run, flush.go feeds checkpoints, known.go asks for what only the store
// knows, retention.go has it forget; past.go, diff.go, causes.go and correlate.go
// look back. docs/architecture.md tells the same as a story.
package fsm
