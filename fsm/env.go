package fsm

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// A stepEnv is how a runtime answers what a step asks: for a shard that takes
// the step itself, or for a worker.
type stepEnv struct {
	rt *Runtime
	// own is the shard, whose open batch counts; nil in a worker.
	own *shard
	// d is what the worker's hooks are run for.
	d *delivery
}

func (e *stepEnv) now() int64                          { return e.rt.clock.now() }
func (e *stepEnv) trace(t *Trace)                      { e.rt.trace(t) }
func (e *stepEnv) local(name string) *component        { return e.rt.comps[name] }
func (e *stepEnv) remote() bool                        { return e.rt.cfg.Dispatcher != nil }
func (e *stepEnv) find(q *query, r *run) []string      { return e.rt.find(q, r, e.own) }
func (e *stepEnv) reserve(m *machine, id string) error { return e.rt.places.takeSingleton(m, id) }
func (e *stepEnv) newID(r *run, n int) string          { return derivedID(r.before, n) }

func (e *stepEnv) hook(r *run, at HookPoint, m method) error {
	err := e.rt.runHook(r, at, m, e.d)
	if err != nil {
		e.rt.shards[0].tallies[r.st.m.at].hookErrors.Add(1) // a worker has no shard
	}
	return err
}

// derivedID names the n-th thing that the next record of an instance leads to:
// taken again, a transition makes the same ids. The time of creation tells lives
// of one id apart.
func derivedID(in *Instance, n int) string {
	return hashID(fmt.Sprintf("%d/%s/%d/%d/%d", len(in.id), in.id, in.created, in.version+1, n))
}

// hashID makes a UUID of version 8 from a text.
func hashID(text string) string {
	h := sha256.Sum256([]byte(text))
	var u uuid.UUID
	copy(u[:], h[:])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}

// find returns the ids of the active instances that a query finds, in the order
// of creation: a run's own as it stands, those of the shard's open batch as they
// are there, and all others as committed. There may be no run and no shard.
func (rt *Runtime) find(q *query, r *run, own *shard) []string {
	var slots []*slot
	for _, sh := range rt.shards {
		slots = sh.tab.candidates(q, slots)
	}
	// Working copies and the run's own instance may be in other places than
	// the index says.
	var changed map[*slot]*Instance
	if own != nil && own.batch != nil {
		changed = make(map[*slot]*Instance, len(own.batch.steps)+1)
		for _, st := range own.batch.steps {
			if st.s != nil && st.s.work != nil {
				changed[st.s] = st.s.work
			}
		}
	}
	if r != nil {
		if s := rt.shardOf(r.before.id).tab.get(r.before.id); s != nil {
			self := *r.before
			self.st, self.data = r.st, r.data
			if changed == nil {
				changed = make(map[*slot]*Instance, 1)
			}
			changed[s] = &self
		}
	}
	found := slots[:0]
	for _, s := range slots {
		if changed[s] == nil && q.matches(s.cur.Load()) {
			found = append(found, s)
		}
	}
	for s, in := range changed {
		if q.matches(in) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *slot) int { return cmp.Compare(a.order, b.order) })
	found = slices.Compact(found)
	ids := make([]string, 0, len(found))
	for _, s := range found {
		ids = append(ids, s.id)
	}
	if r != nil {
		for _, c := range r.out.created {
			if q.matches(c.in) {
				ids = append(ids, c.in.id)
			}
		}
	}
	return ids
}

// longScan reports whether choosing a cascade's targets may look through so
// many instances that it is better done aside.
func (rt *Runtime) longScan(k *cascade, tr *transition) bool {
	c := tr.from.m.comp
	if k.component != "" {
		c = rt.comps[k.component]
	}
	if c == nil || c.machines[k.machine] == nil {
		return false
	}
	st := c.machines[k.machine].states[k.state]
	for i := range k.rules {
		if k.rules[i].prop != nil {
			return false
		}
	}
	n := 0
	for _, sh := range rt.shards {
		n += sh.tab.population(c.machines[k.machine], st)
	}
	return n > longScan
}

// longScan is how many instances a shard looks through in its own turn.
const longScan = 10_000
