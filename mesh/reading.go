package mesh

import "time"

// A reading goes through all pages of a runtime.
type reading struct {
	cursor string // of the page that is waited for
	asOf   int64  // of the first page, -1 until it came
	no     uint32
	pages  int
	asked  bool
	due    time.Time // when the page is to be asked for, or again
	wait   time.Duration
}

// A repair is a request that waits for its reply.
type repair struct {
	asked Ranges
	due   time.Time
	wait  time.Duration
}

// paged applies a page. Only the one that is waited for is taken: one of a
// reading that was given up may be older than the reading that runs, and not
// name what was created since.
func (d *Directory) paged(m *member, p *PageReply) {
	r := m.reading
	if r == nil || p.Cursor != r.cursor && !d.off.TakeAnyPage ||
		int64(p.AsOf) < max(r.asOf, m.blind) && !d.off.TakeOlderPage {
		d.counts.Late++
		return
	}
	if p.AsOf > p.Seq || p.Next == p.Cursor && p.Next != "" || len(p.Next) > maxName {
		d.counts.Invalid++
		return
	}
	if p.BadCursor {
		m.reading, m.reread = nil, true
		return
	}
	if r.asOf < 0 || d.off.FloorByLast {
		r.asOf = int64(p.AsOf)
	}
	for i := range p.Rows {
		if e, _ := d.row(m, &p.Rows[i], false, int64(p.AsOf)); e != nil {
			e.read = r.no
		}
	}
	if m.reading == nil {
		return // too many instances ended while it was taken in
	}
	r.pages++
	r.cursor, r.asked, r.due, r.wait = p.Next, false, time.Time{}, firstWait
	if p.Next == "" {
		d.finish(m)
	} else if r.pages > d.cfg.Limits.Instances {
		m.reading, m.refused = nil, true // it would never end
	}
	d.seeRows(m, p.Rows)
}

// finish ends what a reading did not name, and raises the floor to where it
// began.
func (d *Directory) finish(m *member) {
	r := m.reading
	m.reading = nil
	var over []*entry // ending them moves what is walked over here
	for _, p := range m.table.places {
		e := p.e
		if e == nil || e.read == r.no || d.off.MarkNothing || m.table.seqOf(e) > r.asOf && !d.off.MarkNewer {
			continue
		}
		if !e.over() || d.off.MarkEnded {
			over = append(over, e)
		}
	}
	d.rise(m, r.asOf) // first, so that no end needs a tombstone
	for _, e := range over {
		if !e.over() {
			d.end(m, e, max(m.table.seqOf(e), r.asOf))
		} else if e.end != 0 {
			d.drop(m, e)
		}
	}
}
