package mesh

import (
	"iter"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// What one message of notices holds at most.
const (
	noticesPerMessage = 1000
	// A message is copied some times on its way to a directory. It fits into the
	// cache of a processor, and into the buffers of those who pass it on.
	noticesBytes = 32 << 10
)

// gather is how long notices gather after others were sent. The first after a
// pause goes out at once; where many happen, a message for each few of them would
// cost more than all the rest.
const gather = time.Millisecond

// publish tells the mesh what happens, many notices in a message, until the
// attachment or the runtime ends.
func (a *Attachment) publish(batches iter.Seq2[[]fsm.Notice, error]) {
	var last time.Time
	out := map[string]*outgoing{}
	for name, p := range a.parts {
		out[name] = &outgoing{p: p, subject: a.bus.subjects.notices(name)}
	}
	for batch, err := range batches {
		if err != nil {
			// The bus is slower than the runtime. What was left out is missed
			// by those who count, who will ask.
			for name, p := range a.parts {
				p.tell(a.rt.Seq(name))
			}
			a.o.Logger.Warn("mesh: notices left out", "runtime", a.rt.Name(), "err", err)
			continue
		}
		for i := range batch {
			if o := out[batch[i].Component]; o != nil && o.add(&batch[i]) {
				a.hand(o)
			}
		}
		if len(batch) > 0 {
			continue // more follows
		}
		for _, o := range out {
			a.hand(o)
		}
		if wait := gather - time.Since(last); wait > 0 {
			time.Sleep(wait)
		}
		last = time.Now()
	}
}

// An outgoing is the message of notices that one component is about to send.
type outgoing struct {
	p       *part
	subject string
	encoder encoder
	noticer noticer
	seq     uint64 // the highest in it
}

// add puts a notice into the message, if the mesh is to know of it. It reports
// whether the message is full.
func (o *outgoing) add(n *fsm.Notice) (full bool) {
	m, ok := o.noticer.notice(n)
	if !ok {
		return false
	}
	if o.encoder.n == 0 {
		o.encoder.begin(formNotices)
		o.encoder.runtimeID(o.p.id.RuntimeID)
	}
	o.encoder.notice(&m)
	o.seq = max(o.seq, m.Seq)
	return o.encoder.n >= noticesPerMessage || o.encoder.size() >= noticesBytes
}

// hand gives the notices that have gathered to the bus.
func (a *Attachment) hand(o *outgoing) {
	if o.encoder.n == 0 {
		return
	}
	a.sent(o.subject, a.bus.nc.Publish(o.subject, o.encoder.end()))
	o.encoder.n = 0
	o.p.tell(o.seq)
}
