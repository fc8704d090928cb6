package mesh

import (
	"bytes"
	"hash/fnv"
	"slices"
	"time"
)

const (
	// callAgain is how long an unknown runtimeId is left to answer a discover.
	callAgain = 10 * time.Second
	// maxUnknown bounds the unknown runtimeIds that are remembered.
	maxUnknown = 10_000
)

// present takes in that something came from a runtime, with the number that it
// has got to if it told one. It returns nil if the rest of the message is to be
// ignored.
func (d *Directory) present(id *Identity, seq *uint64) *member {
	if !id.good() || seq != nil && *seq > MaxSeq {
		d.counts.Invalid++
		return nil
	}
	m := d.byID[id.RuntimeID]
	if m == nil {
		if id.Name == "" || id.Component == "" {
			d.call(id.RuntimeID)
			return nil
		}
		if m = d.introduce(id); m == nil {
			return nil
		}
	}
	if !m.fits(id) {
		d.counts.Misfit++
		return nil
	}
	if m.status == Superseded && !d.off.HearOld {
		d.counts.Superseded++
		return nil
	}
	d.hear(m)
	if seq != nil {
		d.tells(m)
		m.claimed = max(m.claimed, int64(*seq))
		if !d.off.TellsRaiseNothing {
			m.raise(int64(*seq))
		}
	}
	return m
}

// tells takes in that a number was heard from a runtime.
func (d *Directory) tells(m *member) {
	at := d.leastOld()
	if d.now.Sub(m.told) > tellWithin && d.now.Sub(at) <= tellWithin {
		d.changes++ // it is sure again
		if !m.behind {
			m.flipped = d.now
		}
	}
	if at.After(m.told) {
		m.told = at
	}
}

// hear takes in that a runtime is there.
func (d *Directory) hear(m *member) {
	m.heard = d.now
	if m.status == Lost {
		d.turn(m, Live)
	}
}

// turn gives a runtime another status.
func (d *Directory) turn(m *member, s RuntimeStatus) {
	m.status, m.since = s, d.now
	if s != Live {
		m.repair, m.more = nil, false
	}
	if s == Stopped || s == Superseded {
		m.reading = nil
	}
	d.changes++
}

// call has a runtimeId asked once to announce itself.
func (d *Directory) call(id string) {
	d.counts.Unknown++
	if _, called := d.unknown[id]; called || len(d.unknown) >= maxUnknown || d.off.NeverDiscover {
		return
	}
	d.unknown[id] = d.now
	d.calls = append(d.calls, id)
}

// introduce takes up a runtime that was not known. It returns nil if there is
// no place for it, or if it is one that another has superseded.
func (d *Directory) introduce(id *Identity) *member {
	if len(d.list) >= d.cfg.Limits.Runtimes && !d.makeRoom() {
		d.counts.Refused++
		return nil
	}
	m := &member{
		Identity: *id, status: Live, since: d.now, first: d.now, heard: d.now, told: d.leastOld(), flipped: d.now, behind: true,
		floor: -1, blind: -1,
	}
	key := m.lineage()
	if d.off.InheritAnyLog {
		key.log = ""
	}
	old := d.current[key]
	if m.Log == "" && !d.off.InheritAnyLog || d.off.KeepOld {
		old = nil // it shares nothing that would pass instances on
	}
	switch {
	case old == nil:
	case id.Epoch > old.Epoch, id.Epoch == old.Epoch && old.status != Live:
		d.inherit(m, old)
	case id.Epoch == old.Epoch:
		d.counts.Misfit++ // two claims of one epoch cannot be
		return nil
	default:
		m.status = Superseded
	}
	if m.table == nil {
		m.table = newTable()
	}
	if m.status == Live {
		d.current[key] = m
	}
	d.byID[m.RuntimeID] = m
	d.list = append(d.list, m)
	m.whoAt = d.unknown[m.RuntimeID]
	delete(d.unknown, m.RuntimeID)
	d.changes++
	return m
}

// inherit ends a runtime and gives what is known of its instances to the one
// that has claimed its log. Nothing of it counts any more against what the new
// one tells.
func (d *Directory) inherit(m, old *member) {
	m.table = old.table
	if !d.off.InheritAsNew {
		m.table.generation++
	}
	m.definition = old.definition
	old.table = newTable()
	old.tombs, old.seen, old.definition = tombstones{}, nil, nil
	d.turn(old, Superseded)
	if !d.off.NoJitter {
		m.readAfter = d.now.Add(d.jitter(m.RuntimeID))
	}
	m.readings = old.readings // rows remember the number of a reading
}

// jitter is 0 to 1 s, another for each directory and runtime.
func (d *Directory) jitter(id string) time.Duration {
	h := fnv.New64a()
	var seed [8]byte
	for i := range seed {
		seed[i] = byte(d.cfg.Seed >> (8 * i))
	}
	h.Write(seed[:])
	h.Write([]byte(id))
	return time.Duration(h.Sum64()%1000) * time.Millisecond
}

// describe takes in what an announce tells beyond that it was sent.
func (d *Directory) describe(m *member, a *Announce) {
	d.changes++
	m.announced = true
	m.protocol = a.Protocol
	m.followed = a.Followed
	if goodText(a.Host) && a.Port >= 0 && a.Port <= 65535 {
		m.host, m.port = a.Host, a.Port
	}
	if goodText(a.Store) {
		m.store = a.Store
	}
	if a.Process != "" {
		m.Process = a.Process
	}
	if len(a.Definition) == 0 || string(a.Definition) == "null" || bytes.Equal(a.Definition, m.definition) {
		return
	}
	for _, o := range d.list { // most runtimes of a component run the same
		if o.Component == m.Component && bytes.Equal(o.definition, a.Definition) {
			d.bytes += int64(len(o.definition) - len(m.definition))
			m.definition = o.definition
			return
		}
	}
	if len(a.Definition) > d.cfg.Limits.Definition || d.bytes+int64(len(a.Definition)) > d.cfg.Limits.Bytes {
		d.counts.Refused++
		return
	}
	d.bytes += int64(len(a.Definition) - len(m.definition))
	m.definition = a.Definition
}

// leave takes in a goodbye. Rows told before it may still come and count.
func (d *Directory) leave(g *Goodbye) {
	if _, known := d.byID[g.RuntimeID]; !known {
		d.counts.Unknown++ // not worth getting to know
		return
	}
	if g.Component == "" {
		d.counts.Misfit++ // it cannot be taken back, so it has to be whole
		return
	}
	if m := d.present(&g.Identity, g.Seq); m != nil && m.status != Superseded {
		d.turn(m, Stopped)
		m.settle(d.now)
	}
}

// expire turns silent runtimes lost, and removes those that are gone for long.
func (d *Directory) expire() {
	d.expireBridges()
	removed := false
	for _, m := range d.list {
		switch {
		case m.status == Live && d.now.Sub(m.heard) > lostAfter:
			d.turn(m, Lost)
		case m.status != Live && d.now.Sub(m.since) > d.cfg.KeepRuntime:
			d.forget(m)
			removed = true
		}
	}
	if removed {
		d.list = slices.DeleteFunc(d.list, func(m *member) bool { return d.byID[m.RuntimeID] != m })
	}
	for id, at := range d.unknown {
		if d.now.Sub(at) > callAgain {
			delete(d.unknown, id)
		}
	}
}

// forget removes a runtime with its rows; the caller takes it out of the list.
func (d *Directory) forget(m *member) {
	delete(d.byID, m.RuntimeID)
	if key := m.lineage(); d.current[key] == m {
		delete(d.current, key)
	}
	d.bytes -= m.table.bytes + int64(len(m.definition))
	d.changes++
}

// makeRoom removes the superseded runtime that is so for longest, or else the
// stopped one.
func (d *Directory) makeRoom() bool {
	for _, s := range []RuntimeStatus{Superseded, Stopped} {
		var oldest *member
		for _, m := range d.list {
			if m.status == s && (oldest == nil || m.since.Before(oldest.since)) {
				oldest = m
			}
		}
		if oldest != nil {
			d.forget(oldest)
			d.list = slices.DeleteFunc(d.list, func(m *member) bool { return m == oldest })
			return true
		}
	}
	return false
}
