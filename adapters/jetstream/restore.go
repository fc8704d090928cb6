package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"sync"

	"github.com/fsmesh/fsmesh/fsm"
)

// Restore yields the instances of the checkpoints, then what the checkpoints say
// is open, then the records that they do not cover and what else the log says.
// Called again it reads on. What it reads is checked: it fails with a
// *DamageError rather than to leave something out.
func (l *log) Restore(ctx context.Context) iter.Seq2[fsm.Restored, error] {
	return func(yield func(fsm.Restored, error) bool) {
		l.write.Lock()
		defer l.write.Unlock()
		if err := l.usable(ctx); err != nil {
			yield(fsm.Restored{}, err)
			return
		}
		last, err := l.lastFrame(ctx)
		if err != nil {
			yield(fsm.Restored{}, err)
			return
		}
		r := &restoring{log: l, ctx: ctx, yield: yield, last: last}
		if l.restored {
			r.readOn()
		} else {
			r.first()
		}
	}
}

// A restoring is one call of Restore.
type restoring struct {
	log   *log
	ctx   context.Context
	yield func(fsm.Restored, error) bool
	last  *frame
	index *index
	base  [buckets]mark // up to which the checkpoint of the bucket covers the log
	lost  []int         // buckets whose checkpoint is missing
	saved [buckets]restoredBlob
}

// A restoredBlob is what of a bucket's checkpoint is looked at after all of them
// are read: the bucket may come again meanwhile, as whoever writes the log goes
// on, and then only the newer one counts.
type restoredBlob struct {
	open  []savedRecord
	also  []fsm.Restored    // applied, chosen
	ahead map[string]uint64 // instances at versions that are not in the log yet
}

func (r *restoring) fail(err error) { r.yield(fsm.Restored{}, err) }

// give yields one thing; false means that no more is wanted.
func (r *restoring) give(x fsm.Restored) bool { return r.yield(x, nil) }

func (r *restoring) first() {
	l := r.log
	ok, err := r.covered()
	if err != nil {
		r.fail(l.hit(r.ctx, err, r.last))
		return
	}
	if !ok || !r.giveOpen() {
		return
	}
	low := r.lowest()
	l.read.Store(0)
	l.toRead.Store(r.last.records - min(low.records, r.last.records))
	ok, err = r.records(scan{after: low, known: true, to: r.last.position, want: r.wanted, replay: true}, func(f func()) { f() })
	if err == nil && ok {
		err = r.checkAhead()
	}
	if err != nil {
		r.fail(l.hit(r.ctx, r.explained(err), r.last))
		return
	}
	if !ok {
		return
	}
	l.mu.Lock()
	l.index, l.restored, l.at, l.claim = r.index, true, r.last.mark(), r.last.claim
	clear(l.encoded.tails)
	l.mu.Unlock()
}

// readOn reads what was appended since the last time.
func (r *restoring) readOn() {
	l := r.log
	r.index = l.index
	l.read.Store(0)
	l.toRead.Store(r.last.records - min(l.at.records, r.last.records))
	locked := func(f func()) {
		l.mu.Lock()
		f()
		l.mu.Unlock()
	}
	ok, err := r.records(scan{after: l.at, known: true, to: r.last.position, want: r.wanted, replay: true}, locked)
	if err != nil {
		r.fail(l.hit(r.ctx, r.purged(err), r.last))
		return
	}
	if !ok || r.last.position == 0 {
		return
	}
	l.mu.Lock()
	l.at = r.last.mark()
	if l.claim != r.last.claim {
		l.claim, l.epoch = r.last.claim, 0
	}
	l.mu.Unlock()
}

// purged tells a hole that retention made from damage.
func (r *restoring) purged(err error) error {
	damage := (*DamageError)(nil)
	if !errors.As(err, &damage) || damage.First != r.log.at.position+1 {
		return err
	}
	info, infoErr := r.log.link.log.Info(r.ctx)
	if infoErr == nil && info.State.FirstSeq > damage.First {
		return ErrPurged
	}
	return err
}

// explained adds to a hole at the beginning that a checkpoint is missing.
func (r *restoring) explained(err error) error {
	damage := (*DamageError)(nil)
	if errors.As(err, &damage) && len(r.lost) > 0 {
		damage.Problem += fmt.Sprintf("; they are needed since the checkpoints of %d of %d buckets are missing or old (%d first)", len(r.lost), buckets, r.lost[0])
		if damage.First == r.lowest().position+1 {
			damage.buckets = r.lost
		}
	}
	return err
}

// covered reads the checkpoints until the log holds all that they do not cover:
// whoever writes it may drop its beginning meanwhile, after newer checkpoints.
func (r *restoring) covered() (ok bool, err error) {
	for range 5 {
		r.index, r.lost, r.base, r.saved = newIndex(), nil, [buckets]mark{}, [buckets]restoredBlob{}
		if ok, err = r.checkpoints(); err != nil || !ok {
			return false, err
		}
		info, err := r.log.link.log.Info(r.ctx)
		if err != nil {
			return false, err
		}
		if info.State.FirstSeq <= r.lowest().position+1 || len(r.lost) > 0 {
			break
		}
	}
	return true, nil
}

// An unpacked is a blob with its snapshots, as a worker has decoded it.
type unpacked struct {
	blob  *blob
	snaps []*fsm.Snapshot
	err   error
}

// checkpoints yields the snapshots of all blobs. ok is false if no more is
// wanted.
func (r *restoring) checkpoints() (ok bool, err error) {
	l := r.log
	c, err := l.link.readCover(r.ctx, l.name)
	if err != nil {
		return false, err
	}
	if high := c.highest(); high.position > r.last.position {
		return false, l.tailMissing(r.last.mark(), high)
	}
	for i := range c.saved {
		// A blob that is not there covers nothing, unless there never was one.
		if r.index.parts[i].saved = c.saved[i]; c.saved[i].blob != 0 {
			r.index.parts[i].saved = saved{}
		}
	}
	ctx, cancel := context.WithCancel(r.ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for u := range l.blobs(ctx, &wg) {
		if u.err != nil {
			return false, u.err
		}
		if !r.takeBlob(c, u) {
			return false, nil
		}
	}
	if err := context.Cause(r.ctx); err != nil {
		return false, err
	}
	for i := range c.saved {
		if c.saved[i].blob > r.index.parts[i].saved.blob {
			if ok, err := r.again(c, i); err != nil || !ok {
				return false, err
			}
		}
		r.base[i] = r.index.parts[i].saved.upTo
		if c.saved[i].blob > r.index.parts[i].saved.blob {
			r.lost = append(r.lost, i)
		}
	}
	return true, nil
}

// again looks for a checkpoint that did not come: it may have moved to the end of
// its stream, behind the last one that was read.
func (r *restoring) again(c *cover, bucket int) (ok bool, err error) {
	d := newDecoder()
	b, err := r.log.load(r.ctx, d, bucket)
	if err != nil || b.blob == nil {
		return true, err
	}
	u := unpacked{blob: b.blob}
	if err := u.decode(d); err != nil {
		return false, err
	}
	return r.takeBlob(c, u), nil
}

// blobs decodes all blobs of the log on all processors.
func (l *log) blobs(ctx context.Context, wg *sync.WaitGroup) <-chan unpacked {
	work, out := make(chan part, 4), make(chan unpacked, 4)
	send := func(u unpacked) {
		select {
		case out <- u:
		case <-ctx.Done():
		}
	}
	wg.Go(func() {
		defer close(work)
		for m, err := range l.link.messages(ctx, snapStream, subject(snapSubjects, l.name)+".*", 1, math.MaxUint64) {
			var p part
			if err == nil {
				p, err = l.parsePart(m)
			}
			switch {
			case errors.Is(err, errSum):
				err = l.unreadable(p.bucket, err)
			case errors.Is(err, errStuck), errors.Is(err, errForm):
				err = &DamageError{Name: l.name, Problem: "a checkpoint cannot be read", Err: err}
			}
			if err != nil {
				if ctx.Err() == nil {
					send(unpacked{err: fmt.Errorf("checkpoint: %w", err)})
				}
				return
			}
			select {
			case work <- p:
			case <-ctx.Done():
				return
			}
		}
	})
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			d := newDecoder()
			for p := range work {
				send(l.unpack(ctx, d, p))
			}
		})
	}
	wg.Go(func() {
		workers.Wait()
		close(out)
	})
	return out
}

func (l *log) unreadable(bucket int, err error) error {
	return &DamageError{Name: l.name, Problem: fmt.Sprintf("the checkpoint of bucket %d cannot be read", bucket), buckets: []int{bucket}, Err: err}
}

func (l *log) unpack(ctx context.Context, d *decoder, p part) (u unpacked) {
	defer func() {
		if u.err != nil && ctx.Err() == nil {
			u.err = l.unreadable(p.bucket, u.err)
		}
	}()
	if p.of > 1 {
		b, err := l.load(ctx, d, p.bucket)
		if u.blob, u.err = b.blob, err; err != nil {
			return u
		}
	} else {
		plain, err := unpack(p.packed)
		if err == nil {
			u.blob, err = d.blob(p.bucket, plain)
		}
		if u.err = err; err != nil {
			return u
		}
	}
	u.err = u.decode(d)
	return u
}

func (u *unpacked) decode(d *decoder) error {
	for _, list := range [][]savedInstance{u.blob.live, u.blob.ended} {
		for i := range list {
			s, err := d.snapshot(list[i].snap)
			if err != nil {
				return err
			}
			u.snaps = append(u.snaps, s)
		}
	}
	return nil
}

func (r *restoring) takeBlob(c *cover, u unpacked) bool {
	i := u.blob.bucket
	b := &r.index.parts[i]
	switch was := c.saved[i]; {
	case u.blob.asOf.position == was.blob:
		b.saved = was
	default: // newer than the cover; or older, which is found out afterwards
		b.saved = saved{blob: u.blob.asOf.position, upTo: u.blob.asOf, oldest: 1}
	}
	b.places.expect(len(u.snaps))
	of := &r.saved[i]
	*of = restoredBlob{open: u.blob.open}
	for n, s := range u.snaps {
		var p place
		if n < len(u.blob.live) {
			p = u.blob.live[n].place
		} else {
			p = u.blob.ended[n-len(u.blob.live)].place
		}
		b.places.set(r.index.key(s.Instance), p)
		if s.Version > p.last() {
			if of.ahead == nil {
				of.ahead = map[string]uint64{}
			}
			of.ahead[s.Instance] = s.Version
		}
		if !r.give(fsm.Restored{Snapshot: s}) {
			return false
		}
	}
	for k := range u.blob.applied {
		of.also = append(of.also, fsm.Restored{Applied: &u.blob.applied[k]})
	}
	for k := range u.blob.chosen {
		of.also = append(of.also, fsm.Restored{Chosen: &u.blob.chosen[k]})
	}
	return true
}

// giveOpen yields what the checkpoints say of effects.
func (r *restoring) giveOpen() bool {
	for i := range r.saved {
		for k := range r.saved[i].open {
			if !r.giveRecord(&r.index.parts[i], &r.saved[i].open[k]) {
				return false
			}
		}
	}
	for i := range r.saved {
		for _, x := range r.saved[i].also {
			if !r.give(x) {
				return false
			}
		}
	}
	return true
}

// giveRecord yields a record with open effects, and which of them are done.
func (r *restoring) giveRecord(b *bucket, s *savedRecord) bool {
	o := &openRecord{rec: s.rec, position: s.position, left: effectCount(s.rec), done: map[fsm.EffectID]bool{}}
	b.addOpen(o)
	if !r.give(fsm.Restored{Record: s.rec}) {
		return false
	}
	for i := range s.done {
		o.done[s.done[i]] = true
		o.left--
		if !r.give(fsm.Restored{Done: &s.done[i]}) {
			return false
		}
	}
	return true
}

func (r *restoring) lowest() mark {
	low := r.base[0]
	for _, m := range r.base {
		if m.position < low.position {
			low = m
		}
	}
	return low
}

// wanted reports whether the checkpoint of a record's instance does not cover
// it. Besides, the goroutines that decode do what the one that takes in the
// records needs.
func (r *restoring) wanted(position uint64, h *head) bool {
	h.bucket = bucketOf(h.instance)
	if position <= r.base[h.bucket].position {
		return false
	}
	h.key = r.index.keyOf(h.instance)
	return true
}

// later reports whether the checkpoint of an instance's bucket is older than a
// position.
func (r *restoring) later(position uint64, instance string) bool {
	return position > r.base[bucketOf(instance)].position
}

// records yields what the frames say that no checkpoint covers. Changes of the
// index are made by locked.
func (r *restoring) records(s scan, locked func(func())) (ok bool, err error) {
	l := r.log
	var out []fsm.Restored
	for f, err := range l.frames(r.ctx, s) {
		if err != nil {
			return false, err
		}
		locked(func() { out, err = r.frame(out[:0], f) })
		if err != nil {
			return false, err
		}
		l.read.Add(uint64(len(f.entries)))
		f.release()
		for _, x := range out {
			if !r.give(x) {
				return false, nil
			}
		}
	}
	return true, nil
}

// frame takes a frame into the index, and appends what it says to out.
func (r *restoring) frame(out []fsm.Restored, f *frame) ([]fsm.Restored, error) {
	for i := range f.entries {
		e := &f.entries[i]
		if e.rec == nil {
			if e.effect != nil && r.later(f.position, e.effect.Record.Instance) {
				r.index.done(*e.effect)
				out = append(out, fsm.Restored{Done: e.effect})
			}
			continue
		}
		b, k := &r.index.parts[e.bucket], e.key
		p, _ := b.places.get(k)
		switch {
		case e.rec.Version == p.last()+1, e.rec.Version == 1 && p.ended() && p.at() < f.position:
			// The second: the id was used again, after retention had dropped
			// the one before.
			r.index.add(b, k, e.rec, f.position)
		case e.rec.Version > p.last()+1 || p.at() < f.position:
			return nil, &DamageError{
				Name: r.log.name, First: p.at(), Last: f.position, LastFrame: f.number, Instances: []string{e.rec.Instance},
				Problem: fmt.Sprintf("version %d of an instance follows on version %d", e.rec.Version, p.last()),
			}
		}
		out = append(out, fsm.Restored{Record: e.rec})
	}
	for i := range f.done {
		if r.later(f.position, f.done[i].Record.Instance) {
			r.index.done(f.done[i])
			out = append(out, fsm.Restored{Done: &f.done[i]})
		}
	}
	for i := range f.chosen {
		if r.later(f.position, f.chosen[i].Effect.Record.Instance) {
			r.index.choose(f.chosen[i])
			out = append(out, fsm.Restored{Chosen: &f.chosen[i]})
		}
	}
	return out, nil
}

// checkAhead finds instances whose checkpoint knows of records that the log does
// not have: its end is missing.
func (r *restoring) checkAhead() error {
	e := &DamageError{Name: r.log.name, First: r.last.position + 1, FirstFrame: r.last.number + 1, Problem: "checkpoints know of later records than the log"}
	for i := range r.saved {
		for id, version := range r.saved[i].ahead {
			if p, _ := r.index.get(id); p.last() < version {
				e.Records += version - p.last()
				if len(e.Instances) < 10 {
					e.Instances = append(e.Instances, id)
				}
			}
		}
	}
	if e.Records == 0 {
		return nil
	}
	return e
}
