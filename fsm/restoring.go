package fsm

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A restoring gathers what a log gives back. Items are spread over the shards
// of their instances and applied by a worker for each processor: a million
// instances in one map would be a wait for memory at each item, and freeing it
// would have to wait for the last.
type restoring struct {
	rt    *Runtime
	parts []restoringPart // by shard
	// open are the effects that are not done, in the order in which they came.
	open map[EffectID]openEffect
	seq  int

	read      uint64 // records and snapshots
	instances atomic.Uint64
	failed    atomic.Pointer[error] // the first of the workers'
	queues    []chan restoringBatch
	working   sync.WaitGroup
}

// A restoringPart is what is known of the instances of one shard. It belongs to
// the shard's worker while items are read.
type restoringPart struct {
	instances map[string]restored
	pending   []restoringItem // not handed to the worker yet
}

// A restored is one instance as far as it has been read. own is false while the
// snapshot is the store's, which is never changed.
type restored struct {
	snap *Snapshot
	own  bool
}

// A restoringItem is one of both.
type restoringItem struct {
	snap *Snapshot
	rec  *Record
}

type restoringBatch struct {
	part  int
	items []restoringItem
}

// restoringItems is how many items go to a worker at a time: with few of them
// the shard's map is in no cache when its turn comes.
const restoringItems = 256

type openEffect struct {
	seq int
	id  EffectID
	e   *Effect
	at  int64 // of its record, Unix ms
}

func newRestoring(rt *Runtime) *restoring {
	r := &restoring{rt: rt, parts: make([]restoringPart, len(rt.shards)), open: map[EffectID]openEffect{}}
	for i := range r.parts {
		r.parts[i].instances = map[string]restored{}
	}
	return r
}

// work starts the workers; the function that it returns waits until all that
// was taken is applied, and says what went wrong.
func (r *restoring) work() (finish func() error) {
	r.queues = make([]chan restoringBatch, min(runtime.GOMAXPROCS(0), len(r.parts)))
	for i := range r.queues {
		q := make(chan restoringBatch, 16)
		r.queues[i] = q
		r.working.Go(func() {
			for b := range q {
				r.apply(b)
			}
		})
	}
	return func() error {
		for i := range r.parts {
			r.hand(i)
		}
		for _, q := range r.queues {
			close(q)
		}
		r.working.Wait()
		return r.err()
	}
}

func (r *restoring) err() error {
	if err := r.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// take takes one item of the log.
func (r *restoring) take(item Restored) error {
	switch {
	case item.Snapshot != nil:
		r.pass(item.Snapshot.Instance, restoringItem{snap: item.Snapshot})
	case item.Record != nil:
		r.effects(item.Record)
		r.pass(item.Record.Instance, restoringItem{rec: item.Record})
	case item.Done != nil:
		delete(r.open, *item.Done)
	case item.Chosen != nil:
		r.rt.intake.restoreChosen(*item.Chosen)
	case item.Applied != nil:
		r.rt.intake.restore(item.Applied.Effect, item.Applied.Instance)
	}
	return r.err()
}

// effects notes what a record leaves to be done, and what it was the outcome of.
func (r *restoring) effects(rec *Record) {
	if rec.Effect != nil {
		delete(r.open, *rec.Effect)
	}
	if rec.Remote != nil {
		r.rt.intake.restore(*rec.Remote, rec.Instance)
	}
	for i := range rec.Effects {
		for t := range max(1, len(rec.Effects[i].Targets)) {
			id := EffectID{rec.ID(), rec.Effects[i].N, t}
			r.seq++
			r.open[id] = openEffect{r.seq, id, &rec.Effects[i], rec.Time}
		}
	}
}

func (r *restoring) pass(id string, item restoringItem) {
	if r.read++; r.read%restoringItems == 0 {
		r.rt.progress.records.Store(r.read)
		r.rt.progress.instances.Store(r.instances.Load())
	}
	part := r.rt.shardNumber(id)
	p := &r.parts[part]
	p.pending = append(p.pending, item)
	if len(p.pending) >= restoringItems {
		r.hand(part)
	}
}

func (r *restoring) hand(part int) {
	p := &r.parts[part]
	if len(p.pending) == 0 {
		return
	}
	r.queues[part%len(r.queues)] <- restoringBatch{part, p.pending}
	p.pending = make([]restoringItem, 0, restoringItems)
}

func (r *restoring) apply(b restoringBatch) {
	instances := r.parts[b.part].instances
	before := len(instances)
	for _, item := range b.items {
		if err := applyRestored(instances, item); err != nil {
			r.failed.CompareAndSwap(nil, &err)
			return
		}
	}
	r.instances.Add(uint64(len(instances) - before))
}

func applyRestored(instances map[string]restored, item restoringItem) error {
	if s := item.snap; s != nil {
		if old := instances[s.Instance]; old.snap == nil || old.snap.Version < s.Version {
			instances[s.Instance] = restored{snap: s}
		}
		return nil
	}
	rec := item.rec
	in := instances[rec.Instance]
	switch {
	case in.snap == nil && rec.Version == 1:
		in = restored{&Snapshot{
			Instance: rec.Instance, Component: rec.Component, Machine: rec.Machine, CreatedAt: rec.Time,
		}, true}
		if rec.Origin != nil {
			in.snap.Origin = *rec.Origin
		}
		instances[rec.Instance] = in
	case in.snap == nil:
		return fmt.Errorf("instance %q begins with version %d: its earlier records are missing", rec.Instance, rec.Version)
	case rec.Version <= in.snap.Version:
		return nil
	case rec.Version != in.snap.Version+1:
		return fmt.Errorf("instance %q has no record between versions %d and %d", rec.Instance, in.snap.Version, rec.Version)
	case !in.own:
		s := *in.snap
		in = restored{&s, true}
		instances[rec.Instance] = in
	}
	in.snap.advance(rec)
	return nil
}

// advance takes the instance to the end of its next record.
func (s *Snapshot) advance(rec *Record) {
	s.Version, s.State, s.Status, s.Timers, s.UpdatedAt = rec.Version, rec.After, rec.Status, rec.Timers, rec.Time
	s.Data, s.Context = rec.Data, rec.Context
	if rec.EndData != nil {
		s.Data, s.Context = *rec.EndData, rec.EndContext
	}
	if rec.Event.ID != "" && rec.Version > 1 {
		if len(s.EventIDs) >= maxSeen {
			s.EventIDs = s.EventIDs[1:]
		}
		s.EventIDs = append(slices.Clip(s.EventIDs), SeenEvent{eventHash(rec.Event.ID), rec.Version, rec.After})
	}
}
