package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A checkpointer writes down where the instances of a log stand, bucket by
// bucket, and once a second what was acknowledged. What it cannot write it
// leaves for the next time: no commit depends on it.
type checkpointer struct {
	log   *log
	start sync.Once

	one     turns // held while writing; guards all below but source
	decoder *decoder
	cover   *cover // as it was written last
	acked   mark   // as it was written last
	ackedAt uint64 // position of that message
	settled time.Time

	source fsm.CheckpointSource // set once, before anything is written
}

func (c *checkpointer) init(l *log) {
	c.log, c.decoder, c.cover, c.one = l, newDecoder(), &cover{}, make(turns, 1)
}

// turns is a lock that can be waited for within a context: who holds it may be
// waiting for a slow disk, and a stop has no time for that.
type turns chan struct{}

func (t turns) Lock()   { t <- struct{}{} }
func (t turns) Unlock() { <-t }

func (t turns) lockWithin(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// markEvery is how often the last acknowledged position is written down. What
// is younger may be lost by damage without being missed.
const markEvery = time.Second

// acknowledge writes down what is acknowledged, now and every second.
func (c *checkpointer) acknowledge(ctx context.Context) {
	c.one.Lock()
	c.mark(ctx)
	c.one.Unlock()
	c.start.Do(func() {
		c.log.running.Go(func() {
			t := time.NewTicker(markEvery)
			defer t.Stop()
			for {
				select {
				case <-t.C:
				case <-c.log.background.Done():
					return
				}
				if c.log.store.options.Sync == SyncNone {
					continue // it would sync the log each time
				}
				c.one.Lock()
				c.mark(c.log.background)
				c.one.Unlock()
			}
		})
	})
}

// last writes down what is acknowledged at the end.
func (c *checkpointer) last() {
	if c.log.background.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.log.background, time.Second)
	defer cancel()
	if c.one.lockWithin(ctx) != nil {
		return // what was written down before holds, up to there
	}
	defer c.one.Unlock()
	c.mark(ctx)
}

// mark is called with c.one held.
func (c *checkpointer) mark(ctx context.Context) {
	l := c.log
	l.mu.RLock()
	at, writes := l.at, l.epoch != 0 && !l.behind()
	l.mu.RUnlock()
	if !writes || at == c.acked || l.store.room(0) != nil || l.store.sound() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.store.options.Timeout)
	defer cancel()
	err := l.store.settle(logStream)
	if err == nil {
		err = c.writeMark(ctx, at)
	}
	if err != nil && l.background.Err() == nil {
		l.store.options.Logger.Warn("the last acknowledged position could not be written down", "log", l.name, "err", err)
	}
}

// writeMark writes a position down, unless a later one is written already: by
// whoever has taken the log over.
func (c *checkpointer) writeMark(ctx context.Context, at mark) (err error) {
	l := c.log
	to := subject(markSubjects, l.name)
	for range 3 {
		var position uint64
		if position, err = l.link.put(ctx, formatted(to, markBody(at)), c.ackedAt); err == nil {
			c.acked, c.ackedAt = at, position
			return nil
		}
		if !errors.Is(err, errMoved) {
			return err
		}
		m, err := l.link.last(ctx, snapStream, to)
		if err != nil {
			return err
		}
		written, err := readMark(m.data)
		if err != nil {
			return err
		}
		if c.ackedAt = m.position; written.position >= at.position {
			c.acked = at
			return nil
		}
	}
	return err
}

// Checkpoint begins with the checkpoints, which go on until Close.
func (l *log) Checkpoint(of fsm.CheckpointSource) {
	l.checkpoints.source = of
	l.running.Go(l.checkpoints.run)
}

// run writes rounds of checkpoints. Within a round it goes from bucket to bucket
// at the rate that commits do not feel.
func (c *checkpointer) run() {
	l, o := c.log, &c.log.store.options
	t := time.NewTicker(time.Second / time.Duration(o.CheckpointRate))
	defer t.Stop()
	next, began, at := buckets, time.Now(), uint64(0)
	for {
		select {
		case <-t.C:
		case <-l.background.Done():
			return
		}
		l.mu.RLock()
		now := l.at.records
		l.mu.RUnlock()
		if next == buckets {
			if now == at || now-at < uint64(o.CheckpointRecords) && time.Since(began) < o.CheckpointEvery {
				continue
			}
			next, began, at = 0, time.Now(), now
		}
		next = c.turn(next)
	}
}

// turn writes the next bucket that has changed, from one on, and returns the one
// after. At the end of the round it writes what is covered.
func (c *checkpointer) turn(from int) int {
	l := c.log
	c.one.Lock()
	defer c.one.Unlock()
	i := c.nextChanged(from)
	var err error
	if i < buckets {
		err = c.write(l.background, i, nil)
	} else {
		err = c.writeCover(l.background)
	}
	if err != nil && l.background.Err() == nil {
		l.store.options.Logger.Warn("a checkpoint could not be written; it is tried again", "log", l.name, "bucket", i, "err", err)
	}
	return min(i+1, buckets)
}

func (c *checkpointer) nextChanged(from int) int {
	l := c.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i := from; i < buckets; i++ {
		if !l.index.parts[i].clean() {
			return i
		}
	}
	return buckets
}

// Flush writes checkpoints of all that has changed.
func (l *log) Flush(ctx context.Context) error {
	c := &l.checkpoints
	if c.source == nil {
		return nil
	}
	if err := l.usable(ctx); err != nil {
		return err
	}
	if err := c.one.lockWithin(ctx); err != nil {
		return err
	}
	defer c.one.Unlock()
	var errs []error
	for i := c.nextChanged(0); i < buckets; i = c.nextChanged(i + 1) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := c.write(ctx, i, nil); err != nil {
			if errs = append(errs, err); len(errs) == 3 {
				break // it is the store, and not the bucket
			}
		}
	}
	errs = append(errs, c.writeCover(ctx))
	c.mark(ctx)
	return errors.Join(errs...)
}

// taken is what of a bucket goes into its next checkpoint.
type taken struct {
	bucket
	asOf   mark
	places map[string]place // of the changed; it has each of them
	opened []savedRecord
}

// take empties a bucket of what has changed. It is given back if it cannot be
// written.
func (l *log) take(i int) (t taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.index.parts[i]
	t.bucket, t.asOf = *b, l.at
	b.saving = b.ended
	b.changed, b.ended, b.applied, b.chosen, b.marked = nil, nil, nil, nil, false
	t.places = make(map[string]place, len(t.changed))
	for _, id := range t.changed {
		k := l.index.key(id)
		p, kept := b.places.get(k)
		t.places[id] = p
		if kept {
			b.places.set(k, p.marked(false))
		}
	}
	for _, o := range b.open {
		t.opened = append(t.opened, savedRecord{o.position, o.rec, slices.Collect(maps.Keys(o.done))})
	}
	slices.SortFunc(t.opened, func(a, b savedRecord) int {
		if a.position != b.position {
			return int(int64(a.position - b.position))
		}
		return int(int64(a.rec.Version - b.rec.Version))
	})
	return t
}

func (l *log) giveBack(i int, t taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.index.parts[i]
	b.saving = nil
	for id := range t.places {
		k := l.index.key(id)
		p := b.places.at(k)
		if p.changed() {
			continue // there is something newer
		}
		b.changed = append(b.changed, id)
		*p = p.marked(true)
		if s := t.ended[id]; s != nil {
			if b.ended == nil {
				b.ended = map[string]*fsm.Snapshot{}
			}
			b.ended[id] = s
		}
	}
	b.applied = append(t.applied, b.applied...)
	b.chosen = append(t.chosen, b.chosen...)
	b.marked = b.marked || t.marked
}

// write writes the checkpoint of a bucket. The position is taken first and the
// snapshots are asked for afterwards: where one is newer, a restore skips the
// records up to it. Instances that ended and that drop says are too old are left
// out. It is called with c.one held.
func (c *checkpointer) write(ctx context.Context, i int, drop func(s *fsm.Snapshot) bool) error {
	l := c.log
	t := l.take(i)
	dropped, oldest, err := c.merge(ctx, i, t, drop)
	if err != nil {
		l.giveBack(i, t)
		if lost := (*lostError)(nil); errors.As(err, &lost) {
			// From there on the log is what a start needs.
			l.mu.Lock()
			l.index.parts[i].saved = saved{lost.found.position, lost.found, 1}
			l.mu.Unlock()
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.index.parts[i]
	b.saved, b.saving = saved{t.asOf.position, t.asOf, oldest}, nil
	for _, id := range dropped {
		l.index.remove(id)
	}
	return nil
}

// merge makes the new blob of the old one and of what has changed, and writes
// it.
func (c *checkpointer) merge(ctx context.Context, i int, t taken, drop func(s *fsm.Snapshot) bool) (dropped []string, oldest int64, err error) {
	l := c.log
	latest, err := c.snapshots(ctx, i, t)
	if err != nil {
		return nil, 0, err
	}
	before, err := l.load(ctx, c.decoder, i)
	if err != nil {
		return nil, 0, err
	}
	if before.blob == nil {
		before.blob = &blob{}
	}
	switch at := before.asOf.position; {
	case at > t.asOf.position:
		// What is here is older, and would be carried on by whoever wrote that.
		return nil, 0, &fsm.Error{Code: fsm.CodeFenced, Detail: "another process writes checkpoints of this log"}
	case at < t.saved.blob:
		return nil, 0, &DamageError{Name: l.name, First: at + 1, Last: t.saved.blob, Err: &lostError{before.asOf},
			Problem: fmt.Sprintf("the checkpoint of bucket %d got lost while the process ran; start it again, as long as the log has its records", i)}
	}
	out := &blob{bucket: i, asOf: t.asOf, open: t.opened}
	unchanged := func(s savedInstance) bool {
		_, is := t.places[string(s.id)]
		return !is
	}
	for _, s := range before.live {
		if unchanged(s) {
			out.live = append(out.live, s)
		}
	}
	open := map[string]bool{}
	for _, o := range t.opened {
		open[o.rec.Instance] = true
	}
	keep := func(s savedInstance, snap *fsm.Snapshot) {
		if drop != nil && !snap.Origin.EntryPoint && !open[snap.Instance] && drop(snap) {
			dropped = append(dropped, snap.Instance)
			return
		}
		if oldest == 0 || snap.UpdatedAt < oldest {
			oldest = snap.UpdatedAt
		}
		out.ended = append(out.ended, s)
	}
	for _, s := range before.ended {
		if unchanged(s) {
			snap, err := c.decoder.snapshot(s.snap)
			if err != nil {
				return nil, 0, err
			}
			keep(s, snap)
		}
	}
	for id, snap := range latest {
		s := savedInstance{place: t.places[id], snap: appendSnapshot(nil, snap)}
		if s.place.ended() {
			keep(s, snap)
		} else {
			out.live = append(out.live, s)
		}
	}
	out.applied = slices.DeleteFunc(append(before.applied, t.applied...), func(a fsm.AppliedEffect) bool { return !c.source.Remembers(a.Effect) })
	out.chosen = slices.DeleteFunc(append(before.chosen, t.chosen...), func(a fsm.ChosenTargets) bool { return !c.source.Remembers(a.Effect) })
	if err := l.store.settle(logStream); err != nil {
		return nil, 0, err
	}
	if err := l.save(ctx, out, before); err != nil {
		return nil, 0, err
	}
	if time.Since(c.settled) > settleEvery {
		err = c.settle(c.cover)
	}
	return dropped, oldest, err
}

// settleEvery is how often checkpoints are put on the disk within a round, at the end
// of which they are in any case.
const settleEvery = 100 * time.Millisecond

// settle has what was written in place of something else on the disk, where the log
// cannot make up for it any more. now is what is covered, as far as it is known.
func (c *checkpointer) settle(now *cover) error {
	c.settled = time.Now()
	if now.position > 0 && now.keep == 0 {
		return nil // nothing of the log was dropped
	}
	return c.log.store.settle(snapStream)
}

// A lostError says that a checkpoint is older than the one that was written last, or
// not there.
type lostError struct {
	found mark // as of which it is
}

func (e *lostError) Error() string {
	return fmt.Sprintf("what is there is as of position %d", e.found.position)
}

// errBehind: the runtime has not yet taken in what the log holds.
var errBehind = errors.New("the runtime does not show what was stored")

// snapshots returns the changed instances of a bucket, each at the version that
// the log held when they were taken, or newer.
func (c *checkpointer) snapshots(ctx context.Context, i int, t taken) (map[string]*fsm.Snapshot, error) {
	out := make(map[string]*fsm.Snapshot, len(t.places))
	var ids []string
	for id := range t.places {
		if ended := t.ended[id]; ended != nil {
			out[id] = ended
		} else {
			ids = append(ids, id)
		}
	}
	for wait := time.Millisecond; len(ids) > 0; wait *= 2 {
		list, err := c.source.Snapshots(ctx, ids)
		if err != nil {
			return nil, fmt.Errorf("ask the runtime for %d instances: %w", len(ids), err)
		}
		for _, s := range list {
			if s.Version >= t.places[s.Instance].last() {
				out[s.Instance] = s
			}
		}
		c.endedSince(i, t, ids, out)
		ids = slices.DeleteFunc(ids, func(id string) bool { return out[id] != nil })
		if len(ids) == 0 {
			break
		}
		if wait > time.Second {
			return nil, fmt.Errorf("%w: %d instances, among them %q", errBehind, len(ids), ids[0])
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return out, nil
}

// endedSince finds those that have left the runtime's tables meanwhile.
func (c *checkpointer) endedSince(i int, t taken, ids []string, out map[string]*fsm.Snapshot) {
	l := c.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, id := range ids {
		if s := l.index.parts[i].ended[id]; s != nil && out[id] == nil {
			out[id] = s
		}
	}
}

// writeCover writes down what the checkpoints cover. It is called with c.one
// held.
func (c *checkpointer) writeCover(ctx context.Context) error {
	l := c.log
	if err := l.store.spare(1 << 16); err != nil {
		return err
	}
	next := &cover{keep: c.cover.keep}
	l.mu.Lock()
	next.epoch = l.epoch
	for i := range l.index.parts {
		b := &l.index.parts[i]
		if b.clean() {
			b.saved.upTo = l.at
		}
		next.saved[i] = b.saved
	}
	fenced := l.fenced(l.claim)
	l.mu.Unlock()
	if next.epoch == 0 {
		return fenced
	}
	if err := l.store.settle(logStream); err != nil {
		return err
	}
	for range 3 {
		now, err := l.link.readCover(ctx, l.name)
		if err != nil {
			return err
		}
		if now.epoch > next.epoch {
			return &fsm.Error{Code: fsm.CodeFenced, Detail: "another process writes checkpoints of this log"}
		}
		next.keep = max(next.keep, now.keep)
		next.position, err = l.link.put(ctx, formatted(subject(coverSubjects, l.name), next.encode()), now.position)
		if err == nil {
			c.cover = next
			return c.settle(next)
		}
		if !errors.Is(err, errMoved) {
			return fmt.Errorf("write what the checkpoints cover: %w", err)
		}
	}
	return fmt.Errorf("write what the checkpoints cover: %w", errMoved)
}
