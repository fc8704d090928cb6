package jetstream

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// maxNamed bounds the instances that a DamageError names.
const maxNamed = 10

// hit adds to damage which instances it concerns, where that can be known: those
// whose next record behind a hole, or whose checkpoint, says that the one before it
// was there; of a checkpoint that cannot be read those with records in the log. It
// returns err, and leaves alone what is no damage or names instances already. It
// reads all that is left of the log.
func (l *log) hit(ctx context.Context, err error, last *frame) error {
	e := (*DamageError)(nil)
	if !errors.As(err, &e) || len(e.Instances) > 0 || e.First == 0 && len(e.buckets) == 0 {
		return err
	}
	first, end := e.First, e.Last
	if end == 0 || end >= last.position && first <= last.position {
		end = first // where it ends is not known: go on behind the first position
	}
	concerns := func(instance string, previous uint64) bool {
		if len(e.buckets) > 0 && !slices.Contains(e.buckets, bucketOf(instance)) {
			return false
		}
		return e.First == 0 || previous >= first && previous <= end
	}
	found := map[string]bool{}
	if e.First > 0 {
		l.savedIn(ctx, concerns, found)
	}
	for after := end; after < last.position && len(found) < maxNamed; {
		next := last.position
		for f, err := range l.frames(ctx, scan{after: mark{position: after}, to: last.position}) {
			damage := (*DamageError)(nil)
			if errors.As(err, &damage) && damage.Last > after && damage.Last < last.position {
				next = damage.Last // another one: go on behind it
			}
			if err != nil {
				break
			}
			for i := range f.entries {
				if r := f.entries[i].rec; concerns(r.Instance, f.entries[i].links.previous) {
					found[r.Instance] = true
				}
			}
		}
		after = next
	}
	for id := range found {
		e.Instances = append(e.Instances, id)
	}
	slices.Sort(e.Instances)
	e.Instances = e.Instances[:min(len(e.Instances), maxNamed)]
	return err
}

// savedIn adds the instances of all checkpoints that can be read whose last records
// concern.
func (l *log) savedIn(ctx context.Context, concerns func(instance string, last uint64) bool, found map[string]bool) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for u := range l.blobs(ctx, &wg) {
		if u.err != nil {
			continue
		}
		for _, list := range [][]savedInstance{u.blob.live, u.blob.ended} {
			for i := range list {
				if id := string(list[i].id); concerns(id, list[i].place.at()) {
					found[id] = true
				}
			}
		}
	}
}
