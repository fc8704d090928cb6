package fsm

// A flight is what one event from outside needs on its way to the store and back,
// in one piece of memory. That of a plain step is used again once the step is
// stored and told: nobody has a part of it any more then. What leads further, or
// fails, keeps its own.
type flight struct {
	delivery
	root
	shortStepping
	record  Record
	encoded []byte // room for the record's form in the store
}

// keepEncoded is how many bytes of that room are kept for the next.
const keepEncoded = 4 << 10

// A shortStepping is a plain step on its way.
type shortStepping struct {
	stepping
	outcome
}

// short is where a plain step of the delivery may be put.
func (d *delivery) short() *shortStepping {
	if f := d.flight; f != nil {
		return &f.shortStepping
	}
	return &shortStepping{}
}

// flight is that of a plain step of an event from outside, nil for others.
func (st *stepping) flight() *flight {
	if f := st.d.flight; f != nil && st == &f.stepping {
		return f
	}
	return nil
}

// newRecord is the record of a transition.
func (sh *shard) newRecord(st *stepping) *Record {
	rt, f := sh.rt, st.flight()
	switch {
	case f == nil || !rt.borrows:
		r := &Record{}
		rt.transitionRecord(r, st)
		return r
	case rt.encoder == nil:
		rt.transitionRecord(&f.record, st)
		return &f.record
	}
	whole, r := &sh.whole, &f.record
	rt.transitionRecord(whole, st)
	f.encoded = rt.encoder.Encode(f.encoded[:0], whole)
	r.Instance, r.Version, r.Component, r.Machine, r.Encoded = whole.Instance, whole.Version, whole.Component, whole.Machine, f.encoded
	return r
}

// land gives the memory of a step that has been handled back.
func (rt *Runtime) land(st *stepping) {
	if f := st.flight(); f != nil {
		room := f.encoded
		if cap(room) > keepEncoded {
			room = nil
		}
		f.delivery, f.shortStepping = delivery{}, shortStepping{}
		f.root.events.Store(0) // nothing is pending, and nobody waits for it
		if r := &f.record; r.Encoded != nil {
			r.Instance, r.Component, r.Machine, r.Encoded = "", "", "", nil
		} else {
			*r = Record{}
		}
		f.encoded = room
		rt.flights.Put(f)
	}
}
