package mesh

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Told is a notice with who told it.
type Told struct {
	RuntimeID string `json:"runtimeId"`
	Component string `json:"componentName"`
	Notice
}

// Notices subscribes to what the runtimes of the mesh tell, of one component or
// ("") of all, and yields it as it comes, until the context ends. Nothing is
// missed from the call on, but what came before is not told, and nothing is
// repaired: who needs to know how things stand keeps a View. An error is
// yielded in between, and more may follow it: fsm.ErrLagged where the reader
// was too slow and notices were dropped, *DecodeError for a message that is
// none. Leaving the loop ends the subscription.
func (b *Bus) Notices(ctx context.Context, component string) (iter.Seq2[Told, error], error) {
	batches, err := b.NoticeBatches(ctx, component)
	if err != nil {
		return nil, err
	}
	return func(yield func(Told, error) bool) {
		for batch, err := range batches {
			if err != nil {
				if !yield(Told{}, err) {
					return
				}
				continue
			}
			for i := range batch.Notices {
				if !yield(Told{batch.RuntimeID, batch.Component, batch.Notices[i].clone()}, nil) {
					return
				}
			}
		}
	}, nil
}

// A Batch is the notices that a runtime told in one message.
type Batch struct {
	RuntimeID string
	Component string
	Notices   []Notice
}

// NoticeBatches is Notices for who passes much on: it yields what came in one
// message at once, without a copy. The batch and all in it is only good until the
// next is asked for, and must not be changed. Its JSON is valid.
func (b *Bus) NoticeBatches(ctx context.Context, component string) (iter.Seq2[*Batch, error], error) {
	subject := b.subjects.allNotices()
	if component != "" {
		subject = b.subjects.notices(component)
	}
	sub, err := b.nc.SubscribeSync(subject)
	if err == nil {
		err = errors.Join(sub.SetPendingLimits(pendingMessages, pendingBytes), b.flush(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to notices: %w", err)
	}
	// Also if nobody ever ranges over it. The connection may be gone by then.
	leave := context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() })
	return func(yield func(*Batch, error) bool) {
		defer func() {
			if leave() {
				_ = sub.Unsubscribe()
			}
		}()
		var body Notices
		for {
			m, err := sub.NextMsgWithContext(ctx)
			switch {
			case errors.Is(err, nats.ErrSlowConsumer):
				if !yield(nil, &fsm.Error{Code: fsm.CodeLagged}) {
					return
				}
				continue
			case err != nil:
				if ctx.Err() == nil {
					yield(nil, fmt.Errorf("notices: %w", err))
				}
				return
			}
			if err := Decode(m.Data, &body); err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			component, _ := TokenName(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
			if !yield(&Batch{body.RuntimeID, component, body.Notices}, nil) {
				return
			}
		}
	}, nil
}
