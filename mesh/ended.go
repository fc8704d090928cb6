package mesh

import "time"

// An endedQueue has the ends of a machine's instances, oldest first. One whose
// id has come back to life, or that ended again, has its old end in it still,
// which counts for nothing.
type endedQueue struct {
	items []ended // from head on
	head  int
	last  uint64 // number of the last end
	held  int    // entries that are ended
}

type ended struct {
	e   *entry
	end uint64
	at  int64 // when the directory learned of it, Unix ms
}

// add has an entry that is settled as over queued.
func (q *endedQueue) add(e *entry, now time.Time) {
	q.last++
	q.held++
	e.end = q.last
	q.items = append(q.items, ended{e, q.last, now.UnixMilli()})
	if len(q.items)-q.head > 2*q.held+64 {
		q.tidy()
	}
}

// drop takes an entry out that is not ended any more, or goes.
func (q *endedQueue) drop(e *entry) {
	e.end = 0
	q.held--
}

// tidy forgets what counts for nothing.
func (q *endedQueue) tidy() {
	kept := make([]ended, 0, q.held+64)
	for _, x := range q.items[q.head:] {
		if x.e.end == x.end {
			kept = append(kept, x)
		}
	}
	q.items, q.head = kept, 0
}

// oldest returns the oldest end, nil if there is none.
func (q *endedQueue) oldest() *ended {
	for q.head < len(q.items) {
		if x := &q.items[q.head]; x.e.end == x.end {
			return x
		}
		q.items[q.head] = ended{}
		q.head++
	}
	q.items, q.head = nil, 0
	return nil
}

// evict removes the ended rows of a machine that are too many or too old.
func (d *Directory) evict(m *member, mc *machine) {
	before := d.now.Add(-d.cfg.KeepEnded).UnixMilli()
	for x := mc.ended.oldest(); x != nil && (mc.ended.held > d.cfg.EndedPerMachine || x.at < before); x = mc.ended.oldest() {
		e := x.e
		seq := m.table.seqOf(e)
		d.drop(m, e)
		if !d.off.NoTombEvicted {
			d.bury(m, e.id, seq)
		}
	}
}

// bury leaves a tombstone for an id of which no row is held.
func (d *Directory) bury(m *member, id string, seq int64) {
	if seq <= m.floor && !d.off.TombsForever {
		return
	}
	if m.tombs.size() >= d.cfg.Limits.Tombstones {
		// Up to here, what is told of an instance that is not held may be from
		// before its end. Only a reading that begins now tells what lives.
		m.tombs, m.seen = tombstones{}, nil
		m.blind = max(m.known, seq)
		m.reread, m.reading = true, nil
		return
	}
	m.tombs.put(id, seq)
}
