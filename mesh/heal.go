package mesh

import (
	"math"
	"strings"
)

// notices applies what a runtime published.
func (d *Directory) notices(ns *Notices) {
	m := d.byID[ns.RuntimeID]
	if m == nil {
		if !goodName(ns.RuntimeID) {
			d.counts.Invalid++
			return
		}
		if m = d.stranger(ns.RuntimeID); m == nil {
			return
		}
	}
	if m.status == Superseded && !d.off.HearOld {
		d.counts.Superseded++
		return
	}
	d.hear(m)
	for i := range ns.Notices {
		n := &ns.Notices[i]
		switch numbered := n.Kind.Numbered(); {
		case !numbered && n.Seq == 0:
			// It changes no row.
		case !numbered || n.Seq == 0 || n.Seq > MaxSeq:
			d.counts.Invalid++
		default:
			d.counts.Notices++
			d.tells(m)
			r := n.Row()
			if _, ok := d.row(m, &r, n.Kind == KindCreated, -1); ok {
				d.see(m, Range{n.Seq, n.Seq})
			}
		}
	}
	m.settle(d.now)
}

// stranger is what to do about notices of an unknown runtimeId: have it asked
// who it is.
func (d *Directory) stranger(id string) *member {
	if d.off.TakeUnknown {
		return d.introduce(&Identity{RuntimeID: id, Name: id, Component: id})
	}
	d.call(id)
	return nil
}

// row applies what was told of an instance. It returns the entry that holds
// it, changed or not; nil if there is none. ok says that the number can be; the
// caller sees it. asOf is a number after which the row was read, -1 if there is
// none.
func (d *Directory) row(m *member, r *Row, created bool, asOf int64) (e *entry, ok bool) {
	if r.Seq > MaxSeq || int64(r.Seq) > max(0, m.claimed)+maxAhead {
		d.counts.Ahead++
		return nil, false
	}
	if !d.off.RowsRaiseNothing {
		m.raise(int64(r.Seq))
	}
	e, news := d.news(m, r.ID, int64(r.Seq), asOf)
	switch {
	case !news:
		d.counts.Old++
	case !r.good(&d.cfg.Limits):
		d.counts.Invalid++
		m.refused = true
	default:
		if e = d.hold(m, e, r, created); e == nil {
			d.counts.Refused++
			m.refused, m.full = true, true
		}
	}
	return e, true
}

// seeRows counts rows as seen that were applied before. It comes after what
// covers more at once, which may leave nothing to do.
func (d *Directory) seeRows(m *member, rows []Row) {
	for i := range rows {
		if n := rows[i].Seq; n > 0 && int64(n) > m.floor && int64(n) <= m.known {
			d.see(m, Range{n, n})
		}
	}
}

// news reports whether a number told of an id is newer than all that is known
// of it, and returns the entry that is held for it.
func (d *Directory) news(m *member, id string, seq, asOf int64) (*entry, bool) {
	e := m.table.byID[id]
	if seq <= m.floor && !d.off.ApplyBelowFloor {
		return e, false
	}
	if d.off.ApplyOlder {
		return e, true
	}
	if e != nil {
		return e, seq > m.table.seqOf(e)
	}
	if seq <= m.blind && asOf < m.blind {
		return nil, false // it may have ended since
	}
	dead, ok := m.tombs.get(id)
	return nil, !ok || seq > dead
}

// hold puts a row in the place of what is held of its id. It returns nil if a
// limit forbids it.
func (d *Directory) hold(m *member, e *entry, r *Row, created bool) *entry {
	t, l := m.table, &d.cfg.Limits
	if e == nil && len(t.byID) >= l.Instances {
		return nil
	}
	if more := len(r.Context) + len(r.PublicMember) + len(r.PendingTimeouts); d.bytes+int64(more) > l.Bytes && (e == nil || int64(more) > e.weight()) {
		return nil // what is held may go on and end
	}
	mc, state := t.locate(r.Machine, r.State, l)
	if mc == nil {
		return nil
	}
	d.changes++
	d.bytes -= t.bytes
	fresh := e == nil
	if fresh {
		e = &entry{id: strings.Clone(r.ID)}
		m.tombs.remove(r.ID)
	} else {
		t.bytes -= e.weight()
		t.unsettle(e)
		if e.over() {
			e.machine.ended.drop(e)
		}
	}
	if r.CreatedAt > 0 {
		e.created = plausible(r.CreatedAt, d.now)
	} else if created || fresh {
		e.created = plausible(r.UpdatedAt, d.now)
	}
	e.machine, e.state, e.status = mc, state, r.Status.code()
	e.version, e.seq = r.Version, int64(r.Seq)
	e.keep(r)
	e.part = uint8(min(r.Part, math.MaxUint8))
	e.updated = plausible(r.UpdatedAt, d.now)
	e.generation = t.generation
	if fresh {
		d.order++
		t.enter(e, d.order)
	} else {
		t.settle(e)
		t.bytes += e.weight()
	}
	d.bytes += t.bytes
	if e.over() {
		mc.ended.add(e, d.now)
		d.evict(m, mc)
	}
	return e
}

// drop removes an entry.
func (d *Directory) drop(m *member, e *entry) {
	d.changes++
	if e.over() {
		e.machine.ended.drop(e)
	}
	d.bytes -= m.table.bytes
	m.table.remove(e)
	d.bytes += m.table.bytes
}

// end marks an entry that is not over as ended without its being seen how.
func (d *Directory) end(m *member, e *entry, seq int64) {
	d.changes++
	m.table.unsettle(e)
	e.status = Vanished.code()
	e.seq, e.generation = seq, m.table.generation
	m.table.settle(e)
	e.machine.ended.add(e, d.now)
	d.evict(m, e.machine)
}

// gone applies that a runtime knew no instance of an id after a number. It
// reports whether that is news about an id of which no row is held, so that a
// tombstone has to tell of it.
func (d *Directory) gone(m *member, g *Gone) (buried bool) {
	if !goodName(g.ID) || g.Seq > MaxSeq {
		d.counts.Invalid++
		return false
	}
	if !d.off.RowsRaiseNothing {
		m.raise(int64(g.Seq))
	}
	e, news := d.news(m, g.ID, int64(g.Seq), -1)
	switch {
	case !news:
		d.counts.Old++
	case e == nil:
		return !d.off.NoTombUnknown
	case !e.over():
		d.end(m, e, int64(g.Seq))
	default:
		// How it ended is known; that it did not come back until then is new.
		e.seq, e.generation = int64(g.Seq), m.table.generation
	}
	return false
}

// repaired applies the reply to a repair. It may be late or come twice: what
// it tells holds as of its numbers.
func (d *Directory) repaired(m *member, p *RepairReply) {
	if len(p.Covered) > missingMost || !p.Covered.Valid() ||
		len(p.Covered) > 0 && p.Covered[len(p.Covered)-1].To > p.Seq || p.TooOld && len(p.Covered) > 0 {
		d.counts.Invalid++
		return
	}
	d.counts.RepairRows += uint64(len(p.Rows) + len(p.Gone))
	for i := range p.Rows {
		d.row(m, &p.Rows[i], false, -1)
	}
	var buried []Gone
	for i := range p.Gone {
		if d.gone(m, &p.Gone[i]) {
			buried = append(buried, p.Gone[i])
		}
	}
	if !d.off.CoverNothing {
		for _, r := range p.Covered {
			d.see(m, r)
		}
	}
	d.seeRows(m, p.Rows)
	for _, g := range buried { // those that the floor has not reached now
		d.bury(m, strings.Clone(g.ID), int64(g.Seq))
	}
	switch r := m.repair; {
	case r == nil:
	case p.TooOld:
		m.repair, m.reread = nil, true
	case p.Covered.meets(r.asked):
		m.repair, m.more = nil, !p.Covered.covers(r.asked)
	default:
		d.counts.Late++
	}
}
