package fsm

import (
	"sync/atomic"
	"time"
)

// Counts are what a runtime has done since it was made, for whoever watches over
// it. All of them only grow.
type Counts struct {
	// Machines are those of all components, in the order of the definitions.
	Machines []MachineCounts
	// Commits are the batches that the store took, CommitFailures those that it
	// did not; one that had to be asked again is in
	// both. They are 0 without a store.
	Commits, CommitFailures uint64
	// CommitTime is how long the store took for the former, together.
	CommitTime time.Duration
}

// MachineCounts are what became of the instances of a machine and of the events
// that reached them. An event whose instance is not there, has ended, or has
// moved on from the version that was asked for is in none of them.
type MachineCounts struct {
	Component, Machine string
	// Created are instances, also those that a transition created.
	Created uint64
	// Applied are events that a transition took, of timers too.
	Applied uint64
	// Timers are those of Applied that a timer sent.
	Timers uint64
	// Ignored are events that no transition takes in the instance's state.
	Ignored uint64
	// Failed are events that a transition would have taken, but for a limit or
	// the store. What is taken again by itself is not among them until it is
	// given up.
	Failed uint64
	// HookErrors are errors and panics of the application's code, also those
	// that did not stop the transition.
	HookErrors uint64
}

// A tally is what one shard has counted for one machine. The shard's owner and
// workers add to it, anybody reads it.
type tally struct{ created, applied, timers, ignored, failed, hookErrors atomic.Uint64 }

// commitCounts are what the runtime has counted of its commits.
type commitCounts struct{ ok, failed, ns atomic.Uint64 }

func (c *commitCounts) count(err error, took time.Duration) {
	if err != nil {
		c.failed.Add(1)
		return
	}
	c.ok.Add(1)
	c.ns.Add(uint64(took))
}

// Counts returns what the runtime has done by now. It never waits. What is under
// way may be in one number already and not in another.
func (rt *Runtime) Counts() Counts {
	out := Counts{
		Commits: rt.commits.ok.Load(), CommitFailures: rt.commits.failed.Load(),
		CommitTime: time.Duration(rt.commits.ns.Load()),
	}
	for _, c := range rt.list {
		for _, m := range c.list {
			n := MachineCounts{Component: c.name, Machine: m.name}
			for _, sh := range rt.shards {
				t := &sh.tallies[m.at]
				n.Created += t.created.Load()
				n.Applied += t.applied.Load()
				n.Timers += t.timers.Load()
				n.Ignored += t.ignored.Load()
				n.Failed += t.failed.Load()
				n.HookErrors += t.hookErrors.Load()
			}
			out.Machines = append(out.Machines, n)
		}
	}
	return out
}

// tallyOf is where the shard counts for the machine of an instance.
func (sh *shard) tallyOf(in *Instance) *tally { return &sh.tallies[in.st.m.at] }

// count counts what became of a stored step.
func (sh *shard) count(st *stepping) {
	for _, c := range st.out.created {
		sh.tallyOf(c.in).created.Add(1)
	}
	switch {
	case st.before == nil:
		sh.tallyOf(st.out.after).created.Add(1)
	case st.out.tr == nil:
		sh.tallyOf(st.before).ignored.Add(1)
	default:
		t := sh.tallyOf(st.before)
		t.applied.Add(1)
		if st.d.given.timer != nil {
			t.timers.Add(1)
		}
	}
}

// countFailed counts an event that is given up, if its instance is there.
func (sh *shard) countFailed(d *delivery) {
	if d.kind == deliverCreate {
		return
	}
	if s := sh.tab.get(d.target); s != nil {
		sh.tallyOf(s.cur.Load()).failed.Add(1)
	}
}
