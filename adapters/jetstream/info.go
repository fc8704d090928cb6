package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A StoreInfo says what a store holds.
type StoreInfo struct {
	// Bytes of the log stream and of the checkpoints on the disk.
	Bytes, CheckpointBytes uint64
	// First and Last are the positions that the log stream holds.
	First, Last uint64
	// HeldBy is the name of the log that needs the oldest position, Needed: the
	// stream is not purged beyond that.
	HeldBy string
	Needed uint64
	// Logs are in the order of their names.
	Logs []LogInfo
}

// A LogInfo says what the log of one name holds.
type LogInfo struct {
	Name, ID string
	// Claim is the one in force.
	Claim fsm.Claim
	// Position is that of the last frame; Frames and Records count from the
	// beginning of the log, what retention has dropped included.
	Position, Frames, Records uint64
	// KeptFrames is how many are still there, Oldest when the first of them was
	// stored.
	KeptFrames uint64
	Oldest     time.Time
	// Live and Ended count instances.
	Live, Ended int
	// Checkpoint is the position up to which all checkpoints cover the log: a
	// start reads what comes behind it. Needed is the lowest position that the
	// log needs.
	Checkpoint, Needed uint64
	// Acknowledged is the last position that is known to have been acknowledged.
	Acknowledged uint64
}

// Info reads what a store holds. It restores each log on the side to count the
// instances, and fails where that fails.
func Info(ctx context.Context, s *Store) (StoreInfo, error) {
	l := s.link
	stream, err := l.log.Info(ctx)
	if err != nil {
		return StoreInfo{}, fmt.Errorf("store info: %w", err)
	}
	snaps, err := l.snap.Info(ctx)
	if err != nil {
		return StoreInfo{}, fmt.Errorf("store info: %w", err)
	}
	out := StoreInfo{Bytes: stream.State.Bytes, CheckpointBytes: snaps.State.Bytes, First: stream.State.FirstSeq, Last: stream.State.LastSeq}
	names, err := l.everMade(ctx)
	if err != nil {
		return out, fmt.Errorf("store info: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		i, err := s.logInfo(ctx, name)
		if err != nil {
			return out, fmt.Errorf("store info: %w", err)
		}
		out.Logs = append(out.Logs, i)
	}
	out.Needed, out.HeldBy, err = l.needed(ctx)
	return out, err
}

func (s *Store) logInfo(ctx context.Context, name string) (LogInfo, error) {
	l, err := openLog(ctx, s, name)
	if err != nil {
		return LogInfo{}, err
	}
	defer l.end()
	for _, err := range l.Restore(ctx) {
		if err != nil {
			return LogInfo{}, err
		}
	}
	i := LogInfo{Name: name, ID: l.id, Claim: l.claim, Position: l.at.position, Frames: l.at.frame, Records: l.at.records}
	for k := range l.index.parts {
		for _, p := range l.index.parts[k].places.all() {
			if p.ended() {
				i.Ended++
			} else {
				i.Live++
			}
		}
	}
	for f, err := range l.frames(ctx, scan{to: l.at.position, want: func(uint64, *head) bool { return false }}) {
		if err != nil {
			return i, err
		}
		i.Oldest, i.KeptFrames = time.UnixMilli(f.time), l.at.frame-f.number+1
		break
	}
	c, err := l.link.readCover(ctx, name)
	if err != nil {
		return i, err
	}
	acked, err := l.readMark(ctx)
	if err != nil {
		return i, err
	}
	i.Checkpoint, i.Acknowledged = c.lowest().position, acked.position
	i.Needed, err = l.link.neededBy(ctx, name)
	return i, err
}

// A Verification is what Verify has read, and what is wrong.
type Verification struct {
	Logs, Frames, Records, Instances int
	Problems                         []error
}

// Verify reads all that a store holds: frames follow on each other, can be read
// and have the versions of each instance without a gap; checkpoints can be read
// and say the same as the records. The error is for what kept it from reading;
// what is wrong with the store is in Problems.
func Verify(ctx context.Context, s *Store) (Verification, error) {
	var v Verification
	names, err := s.link.everMade(ctx)
	if err != nil {
		return v, fmt.Errorf("verify the store: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		v.Logs++
		if err := v.log(ctx, s, name); err != nil {
			return v, fmt.Errorf("verify the log of %q: %w", name, err)
		}
	}
	return v, nil
}

func (v *Verification) found(err error) { v.Problems = append(v.Problems, err) }

func (v *Verification) log(ctx context.Context, s *Store, name string) error {
	damage := (*DamageError)(nil)
	l, err := openLog(ctx, s, name)
	if errors.As(err, &damage) {
		v.found(err)
		return nil
	}
	if err != nil {
		return err
	}
	defer l.end()
	last, err := l.lastFrame(ctx)
	if err != nil {
		return err
	}
	saved, err := v.checkpoints(ctx, l, last)
	if err != nil {
		return err
	}
	versions, after, known := map[string]uint64{}, mark{}, false
	for again := true; again; {
		again = false
		for f, err := range l.frames(ctx, scan{after: after, known: known, to: last.position}) {
			if errors.As(err, &damage) {
				v.found(l.hit(ctx, err, last))
				// Go on behind it, wherever that is.
				if damage.Last > after.position && damage.Last < last.position {
					after, known, again = mark{position: damage.Last}, false, true
				}
				break
			}
			if err != nil {
				return err
			}
			v.frame(l, f, versions, saved)
			after, known = f.mark(), true
		}
	}
	v.Instances += len(versions)
	for id, s := range saved {
		if version, there := versions[id]; there && s.Version > version {
			v.found(&DamageError{Name: name, Instances: []string{id}, Problem: fmt.Sprintf("a checkpoint is at version %d, its records end at %d", s.Version, version)})
		}
	}
	return nil
}

// A verified is an instance of a checkpoint, and where its last record was then.
type verified struct {
	*fsm.Snapshot
	at uint64
}

// checkpoints returns the snapshots of all checkpoints.
func (v *Verification) checkpoints(ctx context.Context, l *log, last *frame) (map[string]verified, error) {
	d, out := newDecoder(), map[string]verified{}
	c, err := l.link.readCover(ctx, l.name)
	if damage := (*DamageError)(nil); errors.As(err, &damage) {
		v.found(err)
		c = &cover{}
	} else if err != nil {
		return nil, err
	}
	for i := range buckets {
		b, err := l.load(ctx, d, i)
		if err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			v.found(err)
			continue
		}
		asOf := uint64(0)
		if b.blob != nil {
			asOf = b.asOf.position
			for _, list := range [][]savedInstance{b.live, b.ended} {
				for k := range list {
					s, err := d.snapshot(list[k].snap)
					if err != nil {
						v.found(&DamageError{Name: l.name, Problem: fmt.Sprintf("a snapshot in the checkpoint of bucket %d cannot be read", i), Err: err})
						continue
					}
					out[s.Instance] = verified{s, list[k].place.at()}
				}
			}
		}
		if asOf < c.saved[i].blob || asOf > last.position {
			v.found(&DamageError{Name: l.name, Problem: fmt.Sprintf("the checkpoint of bucket %d is as of position %d, it should be as of %d, and the log ends at %d", i, asOf, c.saved[i].blob, last.position)})
		}
	}
	return out, nil
}

func (v *Verification) frame(l *log, f *frame, versions map[string]uint64, saved map[string]verified) {
	v.Frames++
	for i := range f.entries {
		r := f.entries[i].rec
		v.Records++
		before, there := versions[r.Instance]
		if there && r.Version != before+1 && r.Version != 1 {
			v.found(&DamageError{
				Name: l.name, First: f.position, Last: f.position, FirstFrame: f.number, LastFrame: f.number, Instances: []string{r.Instance},
				Problem: fmt.Sprintf("version %d of an instance follows on version %d", r.Version, before),
			})
		}
		versions[r.Instance] = r.Version
		s, is := saved[r.Instance]
		if !is || s.Version != r.Version || f.position < s.at {
			continue // earlier ones may be of another life under the same id
		}
		if end := lastState(r); s.State != r.After || s.Status != r.Status || !s.Data.Equal(end.Data) {
			v.found(&DamageError{
				Name: l.name, First: f.position, Last: f.position, FirstFrame: f.number, LastFrame: f.number, Instances: []string{r.Instance},
				Problem: fmt.Sprintf("the checkpoint of an instance at version %d says state %q, its record %q, or the data differ", r.Version, s.State, r.After),
			})
		}
	}
}
