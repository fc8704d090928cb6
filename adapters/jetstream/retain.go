package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/nats-io/nats.go/jetstream"
)

// Retain drops ended instances that are too old from the checkpoints, and the
// beginning of the log up to the first record that is kept: one of a live instance
// that is not too old or that no checkpoint covers, one of an ended instance that is
// kept, one with an open effect, one that another log of the stream needs. Histories
// then begin where the log begins. Without checkpoints nothing is dropped.
func (l *log) Retain(ctx context.Context, cut func(component, machine string) fsm.Cut) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	if err := l.stillOurs(ctx); err != nil {
		return err
	}
	c := &l.checkpoints
	if c.source == nil {
		return nil
	}
	cuts := memo(cut)
	if err := c.dropEnded(ctx, cuts); err != nil {
		return fmt.Errorf("drop ended instances: %w", err)
	}
	keep, err := c.oldestKept(ctx, cuts)
	if err != nil {
		return fmt.Errorf("look for the oldest records to keep: %w", err)
	}
	c.one.Lock()
	c.cover.keep = max(c.cover.keep, keep)
	err = c.writeCover(ctx) // acknowledged before anything is dropped
	c.one.Unlock()
	if err != nil {
		return err
	}
	if err := l.stillOurs(ctx); err != nil {
		return err
	}
	if err := l.store.settle(snapStream); err != nil {
		return err
	}
	return l.link.purge(ctx, func() error { return l.store.settle(logStream) })
}

// stillOurs fails with fsm.ErrFenced if somebody else has claimed the log: who
// does not append does not notice, and may keep less than the other one is to.
func (l *log) stillOurs(ctx context.Context) error {
	l.mu.RLock()
	writes, own := l.epoch != 0, l.claim
	l.mu.RUnlock()
	if !writes {
		return l.fenced(own)
	}
	last, err := l.lastFrame(ctx)
	if err != nil {
		return err
	}
	if last.claim != own {
		return l.fenced(last.claim)
	}
	return nil
}

func memo(cut func(component, machine string) fsm.Cut) func(component, machine string) fsm.Cut {
	known := map[[2]string]fsm.Cut{}
	return func(component, machine string) fsm.Cut {
		of := [2]string{component, machine}
		c, ok := known[of]
		if !ok {
			c = cut(component, machine)
			known[of] = c
		}
		return c
	}
}

// dropEnded writes the checkpoints anew in which ended instances may be too old.
func (c *checkpointer) dropEnded(ctx context.Context, cut func(component, machine string) fsm.Cut) error {
	old := func(s *fsm.Snapshot) bool {
		return time.UnixMilli(s.UpdatedAt).Before(cut(s.Component, s.Machine).Ended)
	}
	for i := range buckets {
		c.log.mu.RLock()
		b := &c.log.index.parts[i]
		may := b.saved.oldest != 0 || len(b.ended) > 0
		c.log.mu.RUnlock()
		if !may {
			continue
		}
		c.one.Lock()
		err := c.dropFrom(ctx, i, old)
		c.one.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// dropFrom is called with c.one held. It looks before it writes.
func (c *checkpointer) dropFrom(ctx context.Context, i int, old func(s *fsm.Snapshot) bool) error {
	any := false
	c.log.mu.RLock()
	for _, s := range c.log.index.parts[i].ended {
		any = any || !s.Origin.EntryPoint && old(s)
	}
	c.log.mu.RUnlock()
	if !any {
		b, err := c.log.load(ctx, c.decoder, i)
		if err != nil {
			return err
		}
		if b.blob != nil {
			for k := range b.ended {
				s, err := c.decoder.snapshot(b.ended[k].snap)
				if err != nil {
					return err
				}
				any = any || !s.Origin.EntryPoint && old(s)
			}
		}
	}
	if !any {
		return nil
	}
	return c.write(ctx, i, old)
}

// oldestKept returns the position of the first frame that holds a record that is
// to be kept, as far as checkpoints reach and no effect is open. It reads no
// farther than that: what comes before is dropped.
func (c *checkpointer) oldestKept(ctx context.Context, cut func(component, machine string) fsm.Cut) (uint64, error) {
	l := c.log
	l.mu.RLock()
	end := l.at.position
	limit := end
	for i := range l.index.parts {
		b := &l.index.parts[i]
		if !b.clean() {
			limit = min(limit, b.saved.upTo.position+1)
		}
		for _, o := range b.open {
			limit = min(limit, o.position)
		}
	}
	l.mu.RUnlock()
	r := retaining{checkpointer: c, cut: cut, outlived: map[int]map[string]bool{}}
	for f, err := range l.frames(ctx, scan{to: end}) {
		if err != nil {
			return 0, err
		}
		if f.position >= limit {
			break // the limit itself may be a frame of another log
		}
		for i := range f.entries {
			if keep, err := r.keeps(ctx, f.entries[i].rec); err != nil || keep {
				return f.position, err
			}
		}
	}
	return limit, nil
}

// A retaining is one look for the oldest records to keep.
type retaining struct {
	*checkpointer
	cut func(component, machine string) fsm.Cut
	// outlived has, for each bucket that was looked at, the ended entry points that
	// are older than their machine's time: they stay, their records need not.
	outlived map[int]map[string]bool
}

// keeps reports whether a record is to be kept that no checkpoint or effect needs:
// that of a live instance for as long as its machine's records are, that of an
// ended one for as long as that is. Of what was dropped none is.
func (r *retaining) keeps(ctx context.Context, rec *fsm.Record) (bool, error) {
	r.log.mu.RLock()
	p, known := r.log.index.get(rec.Instance)
	r.log.mu.RUnlock()
	of := r.cut(rec.Component, rec.Machine)
	switch {
	case !known:
		return false, nil
	case !p.ended():
		return !time.UnixMilli(rec.Time).Before(of.Records), nil
	case !time.UnixMilli(rec.Time).Before(of.Ended):
		return true, nil
	}
	i := bucketOf(rec.Instance)
	if r.outlived[i] == nil {
		var err error
		if r.outlived[i], err = r.entryPoints(ctx, i); err != nil {
			return false, err
		}
	}
	return !r.outlived[i][rec.Instance], nil
}

// entryPoints returns the ended entry points of a bucket that are too old.
func (r *retaining) entryPoints(ctx context.Context, i int) (map[string]bool, error) {
	b, err := r.log.load(ctx, newDecoder(), i)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	if b.blob == nil {
		return out, nil
	}
	for k := range b.ended {
		s, err := newDecoder().snapshot(b.ended[k].snap)
		if err != nil {
			return nil, err
		}
		if s.Origin.EntryPoint && time.UnixMilli(s.UpdatedAt).Before(r.cut(s.Component, s.Machine).Ended) {
			out[s.Instance] = true
		}
	}
	return out, nil
}

// purgeStep is about how much is dropped at a time, in bytes, and purgePause the
// time between: a large purge holds commits up.
const (
	purgeStep  = 8 << 20
	purgePause = 20 * time.Millisecond
)

// purge drops what no log of the stream needs any more. settle puts the stream on
// the disk: the server writes anew what is left of a block.
func (l *link) purge(ctx context.Context, settle func() error) error {
	keep, _, err := l.needed(ctx)
	if err != nil {
		return err
	}
	info, err := l.log.Info(ctx)
	if err != nil {
		return err
	}
	first, last := info.State.FirstSeq, info.State.LastSeq
	if keep <= first || info.State.Msgs == 0 {
		return nil
	}
	step := uint64(float64(last-first+1) * purgeStep / float64(max(info.State.Bytes, purgeStep)))
	for first < keep {
		first = min(keep, first+max(step, 1))
		if err := l.log.Purge(ctx, jetstream.WithPurgeSequence(first)); err != nil {
			return fmt.Errorf("drop the log before position %d: %w", first, err)
		}
		if err := settle(); err != nil {
			return err
		}
		select {
		case <-time.After(purgePause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// needed returns the lowest position that any log of the stream needs, and the
// name of the log that does. The last frame of a log is always kept: it is what
// the next one follows on.
func (l *link) needed(ctx context.Context) (uint64, string, error) {
	names, err := l.names(ctx)
	if err != nil {
		return 0, "", err
	}
	low, holder := uint64(math.MaxUint64), ""
	for _, name := range names {
		keep, err := l.neededBy(ctx, name)
		if err != nil {
			return 0, "", err
		}
		if keep < low {
			low, holder = keep, name
		}
	}
	return low, holder, nil
}

func (l *link) neededBy(ctx context.Context, name string) (uint64, error) {
	c, err := l.readCover(ctx, name)
	if err != nil {
		return 0, err
	}
	last, err := l.last(ctx, logStream, subject(logSubjects, name))
	if errors.Is(err, errNoMessage) {
		return math.MaxUint64, nil
	}
	if err != nil {
		return 0, err
	}
	return min(last.position, c.keep, c.lowest().position+1), nil
}

// names returns the names of all logs.
func (l *link) names(ctx context.Context) ([]string, error) {
	return namesOf(ctx, l.log, logSubjects)
}

// everMade are the names of all logs that were ever opened, also of those that have
// lost all they had.
func (l *link) everMade(ctx context.Context) ([]string, error) {
	names, err := l.names(ctx)
	if err != nil {
		return nil, err
	}
	made, err := namesOf(ctx, l.snap, metaSubjects)
	if err != nil {
		return nil, err
	}
	names = append(names, made...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

func namesOf(ctx context.Context, s jetstream.Stream, prefix string) ([]string, error) {
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(prefix+"*"))
	if err != nil {
		return nil, err
	}
	var out []string
	for s := range info.State.Subjects {
		if name, ok := mesh.TokenName(strings.TrimPrefix(s, prefix)); ok {
			out = append(out, name)
		}
	}
	return out, nil
}
