package fsm

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// A memoryLog is the log of one name in a MemoryStore. Each record, each done
// mark without a record, and each claim has a position of its own.
type memoryLog struct {
	id string

	mu        sync.RWMutex // guards everything below
	end       uint64
	last      Claim
	kept      []*memoryRecord // in the order of appending
	records   map[RecordID]*memoryRecord
	instances map[string]*memoryInstance
	done      map[EffectID]*memoryDone
	chosen    map[RemoteID]*memoryChosen
}

// A memoryChosen is a choice of targets.
type memoryChosen struct {
	targets  []string
	position uint64
	time     int64 // Unix ms
}

// A memoryInstance is what the log knows of one instance.
type memoryInstance struct {
	place      uint64 // position of the creation record, kept when that is dropped
	version    uint64
	status     Status
	entryPoint bool
	lastTime   int64         // of the last record, Unix ms
	snapshot   *memoryRecord // the last record that holds one
	dropped    uint64        // highest position of a dropped record
	open       int           // open effects of all its records
}

// A memoryRecord is a stored record and the number of its open effects.
type memoryRecord struct {
	rec      *Record
	position uint64
	open     int
}

// A memoryDone says that an effect is done. of is the record that the effect
// belongs to, nil if it is in another log; by is the record that it led to,
// nil if there is none.
type memoryDone struct {
	id       EffectID
	of, by   *memoryRecord
	position uint64
	time     int64 // Unix ms
}

func (l *memoryLog) lastClaim() Claim {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// claim follows on a claim that the caller has read. It returns its own position,
// and whether nothing came in after the position that was read.
func (l *memoryLog) claim(read, known uint64, by string) (c Claim, position uint64, whole bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known != l.last.Epoch {
		return Claim{}, 0, false, &Error{Code: CodeConflict, Detail: "the log was claimed meanwhile: read on, then claim again"}
	}
	now := time.Now().UnixMilli()
	l.last = Claim{Epoch: max(l.last.Epoch+1, uint64(max(now, 0))), By: by, At: now}
	l.end++
	return l.last, l.end, read == l.end-1, nil
}

// append returns the position after the batch.
func (l *memoryLog) append(epoch uint64, b Batch) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch == 0 {
		return 0, &Error{Code: CodeFenced, Detail: "the log was not claimed by this opener"}
	}
	if epoch != l.last.Epoch {
		return 0, &Error{Code: CodeFenced, Detail: "claimed by " + l.last.By}
	}
	stored, err := l.check(b.Records)
	if err != nil {
		return 0, err
	}
	if !stored {
		l.store(b.Records)
	}
	for _, id := range b.Done {
		l.markDone(id, nil)
	}
	for _, c := range b.Chosen {
		if l.chosen[c.Effect] == nil {
			l.end++
			l.chosen[c.Effect] = &memoryChosen{c.Targets, l.end, time.Now().UnixMilli()}
		}
	}
	return l.end, nil
}

// check reports whether all records are stored already; if not, all of them
// must be the next versions of their instances.
func (l *memoryLog) check(records []*Record) (stored bool, err error) {
	next := map[string]uint64{}
	repeated := 0
	for _, r := range records {
		version, ok := next[r.Instance]
		if in := l.instances[r.Instance]; !ok && in != nil {
			version = in.version
		}
		switch {
		case r.Version == version+1:
			next[r.Instance] = r.Version
		case r.Version <= version && l.holds(r):
			repeated++
		default:
			return false, &Error{Code: CodeConflict, Component: r.Component, Machine: r.Machine, Instance: r.Instance, Version: r.Version - 1}
		}
	}
	if repeated > 0 && repeated < len(records) {
		// Batches are all or nothing, so this is none that was stored before.
		for _, r := range records {
			if l.holds(r) {
				return false, &Error{Code: CodeConflict, Component: r.Component, Machine: r.Machine, Instance: r.Instance, Version: r.Version - 1}
			}
		}
	}
	return repeated > 0, nil
}

// holds reports whether this very record is stored. One that Retain dropped
// counts as stored.
func (l *memoryLog) holds(r *Record) bool {
	m, ok := l.records[r.ID()]
	if !ok {
		in := l.instances[r.Instance]
		return in != nil && r.Version <= in.version
	}
	s := m.rec
	return s == r || s.Kind == r.Kind && s.Event.ID == r.Event.ID && s.Event.Type == r.Event.Type &&
		s.Before == r.Before && s.After == r.After && s.Time == r.Time && s.Data.Equal(r.Data)
}

func (l *memoryLog) store(records []*Record) {
	for _, r := range records {
		l.end++
		m := &memoryRecord{rec: r, position: l.end, open: effectCount(r)}
		in := l.instances[r.Instance]
		if in == nil {
			in = &memoryInstance{place: l.end}
			l.instances[r.Instance] = in
		}
		in.version, in.status, in.lastTime = r.Version, r.Status, r.Time
		in.open += m.open
		if r.Origin != nil {
			in.entryPoint = r.Origin.EntryPoint
		}
		if r.Snapshot != nil {
			in.snapshot = m
		}
		l.kept = append(l.kept, m)
		l.records[r.ID()] = m
		if r.Effect != nil {
			l.markDone(*r.Effect, m)
		}
	}
}

// markDone notes once that an effect is done. One of a record that was dropped
// is not noted: it was done before.
func (l *memoryLog) markDone(id EffectID, by *memoryRecord) {
	if _, ok := l.done[id]; ok {
		return
	}
	of := l.records[id.Record]
	if in := l.instances[id.Record.Instance]; of == nil && in != nil && id.Record.Version <= in.version {
		return
	}
	if of != nil {
		if !hasEffect(of.rec, id) {
			return
		}
		of.open--
		l.instances[of.rec.Instance].open--
	}
	if by == nil {
		l.end++
	}
	l.done[id] = &memoryDone{id: id, of: of, by: by, position: l.end, time: time.Now().UnixMilli()}
}

// effectCount is the number of ids of a record's effects: one for each target,
// and one for an effect whose receiver chooses the targets.
func effectCount(r *Record) int {
	n := 0
	for i := range r.Effects {
		n += max(1, len(r.Effects[i].Targets))
	}
	return n
}

func hasEffect(r *Record, id EffectID) bool {
	for i := range r.Effects {
		if e := &r.Effects[i]; e.N == id.N {
			return id.Target >= 0 && id.Target < max(1, len(e.Targets))
		}
	}
	return false
}

func (l *memoryLog) history(instance string, after uint64) []*Record {
	l.mu.RLock()
	defer l.mu.RUnlock()
	in := l.instances[instance]
	if in == nil {
		return nil
	}
	var out []*Record
	for v := after + 1; v <= in.version; v++ {
		if m, ok := l.records[RecordID{instance, v}]; ok {
			out = append(out, m.rec)
		}
	}
	return out
}

func (l *memoryLog) caused(id RecordID) []*Record {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []*Record
	for _, m := range l.kept {
		if m.rec.CausedBy == id {
			out = append(out, m.rec)
		}
	}
	return out
}

// ended returns the last state of each instance that has ended.
func (l *memoryLog) ended() []*Snapshot {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []*Snapshot
	for id, in := range l.instances {
		if m := l.records[RecordID{id, in.version}]; in.status != StatusActive && m != nil {
			out = append(out, lastState(m.rec))
		}
	}
	return out
}

// lastState returns an instance as its last record left it. Where the record
// holds no snapshot, it does not know where the instance came from.
func lastState(r *Record) *Snapshot {
	if r.Snapshot != nil {
		return r.Snapshot
	}
	s := &Snapshot{
		Instance: r.Instance, Version: r.Version, Component: r.Component, Machine: r.Machine,
		State: r.After, Status: r.Status, Data: r.Data, Context: r.Context, UpdatedAt: r.Time,
	}
	if r.EndData != nil {
		s.Data, s.Context = *r.EndData, r.EndContext
	}
	return s
}

// retain drops what is too old and needed by nobody.
func (l *memoryLog) retain(cut func(component, machine string) Cut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cuts := map[[2]string]Cut{}
	cutOf := func(r *Record) Cut {
		of := [2]string{r.Component, r.Machine}
		c, ok := cuts[of]
		if !ok {
			c = cut(r.Component, r.Machine)
			cuts[of] = c
		}
		return c
	}
	over, kept := map[string]bool{}, map[string]bool{} // of the ended, with all their records
	for id, in := range l.instances {
		m := l.records[RecordID{id, in.version}]
		if in.status == StatusActive || m == nil {
			continue
		}
		old := time.UnixMilli(in.lastTime).Before(cutOf(m.rec).Ended)
		over[id], kept[id] = old && !in.entryPoint && in.open == 0, !old
	}
	l.kept = slices.DeleteFunc(l.kept, func(m *memoryRecord) bool {
		in := l.instances[m.rec.Instance]
		superseded := in.snapshot != nil && m.rec.Version < in.snapshot.rec.Version
		old := time.UnixMilli(m.rec.Time).Before(cutOf(m.rec).Records)
		if !over[m.rec.Instance] && (kept[m.rec.Instance] || !superseded || m.open > 0 || !old) {
			return false
		}
		in.dropped = max(in.dropped, m.position)
		delete(l.records, m.rec.ID())
		return true
	})
	maps.DeleteFunc(l.done, func(_ EffectID, d *memoryDone) bool {
		if d.of == nil {
			// Whose effect it is is not known: the cut of no machine is for it.
			return time.UnixMilli(d.time).Before(cut("", "").Records)
		}
		return l.records[d.of.rec.ID()] != d.of
	})
	maps.DeleteFunc(l.chosen, func(_ RemoteID, c *memoryChosen) bool {
		return time.UnixMilli(c.time).Before(cut("", "").Records)
	})
	maps.DeleteFunc(l.instances, func(id string, _ *memoryInstance) bool { return over[id] })
}

// byPlace returns the instances in the order of their creation.
func (l *memoryLog) byPlace() []*memoryInstance {
	return slices.SortedFunc(maps.Values(l.instances), func(a, b *memoryInstance) int {
		return cmp.Compare(a.place, b.place)
	})
}
