package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// What one message of notices holds at most.
const (
	noticesPerMessage = 1000
	noticesBytes      = 256 << 10
)

// publish tells the mesh what happens, many notices in a message, until the
// attachment or the runtime ends.
func (a *Attachment) publish(batches iter.Seq2[[]fsm.Notice, error]) {
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
		out := map[string]*Notices{}
		size := map[string]int{}
		for i := range batch {
			n := &batch[i]
			p := a.parts[n.Component]
			if p == nil {
				continue
			}
			m, ok := notice(n)
			if !ok {
				continue
			}
			body := out[n.Component]
			if body == nil {
				body = &Notices{RuntimeID: p.id.RuntimeID}
				out[n.Component] = body
			}
			body.Notices = append(body.Notices, m)
			size[n.Component] += len(m.Context) + len(m.PublicMember) + 300
			if len(body.Notices) >= noticesPerMessage || size[n.Component] >= noticesBytes {
				a.hand(p, body)
				delete(out, n.Component)
				size[n.Component] = 0
			}
		}
		for name, body := range out {
			a.hand(a.parts[name], body)
		}
	}
}

// hand gives notices to the bus.
func (a *Attachment) hand(p *part, body *Notices) {
	a.send(a.bus.subjects.notices(p.id.Component), body)
	for i := range body.Notices {
		p.tell(body.Notices[i].Seq)
	}
}

// discover asks everybody who is there and gathers the answers until none has
// come for a while.
func (b *Bus) discover(ctx context.Context) ([]Identity, error) {
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	q, err := json.Marshal(&Discover{Type: "discover", Timestamp: time.Now().UnixMilli()})
	if err != nil {
		return nil, err
	}
	if err := b.nc.PublishRequest(b.subjects.discover(), inbox, q); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, discoverMost)
	defer cancel()
	var found []Identity
	for {
		quiet, stop := context.WithTimeout(ctx, discoverQuiet)
		m, err := sub.NextMsgWithContext(quiet)
		stop()
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
				return found, nil
			}
			return nil, err
		}
		var a Announce
		if len(m.Data) > 0 && Decode(m.Data, &a) == nil {
			found = append(found, a.Identity)
		}
	}
}

// A discovery ends when nothing came for discoverQuiet, or after discoverMost.
const (
	discoverQuiet = 200 * time.Millisecond
	discoverMost  = 2 * time.Second
)
