package rabbitmq

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/fsmesh/fsmesh/internal/redact"
)

// A DeadLetter is a message that the bridge could not take.
type DeadLetter struct {
	Channel string `json:"channel"` // the routing key
	Reason  string `json:"reason"`
	At      int64  `json:"at"` // Unix ms
	Body    []byte `json:"body"`
}

// DeadLetters returns up to most of them, the oldest first; they stay where they
// are. Others who look at the same time see fewer.
func (b *Broker) DeadLetters(ctx context.Context, most int) ([]DeadLetter, error) {
	var out []DeadLetter
	err := b.eachDead(ctx, most, func(ch *amqp.Channel, d *amqp.Delivery) error {
		out = append(out, letter(d))
		return nil
	})
	return out, err
}

// Replay publishes up to most dead letters to where they came from, the oldest
// first, and takes them out. It returns how many. It ends at one that nobody listens
// for, which stays where it is.
func (b *Broker) Replay(ctx context.Context, most int) (int, error) {
	n := 0
	var returned chan amqp.Return
	err := b.eachDead(ctx, most, func(ch *amqp.Channel, d *amqp.Delivery) error {
		if returned == nil {
			if err := ch.Confirm(false); err != nil {
				return err
			}
			returned = ch.NotifyReturn(make(chan amqp.Return, 1))
		}
		key := letter(d).Channel
		c, err := ch.PublishWithDeferredConfirmWithContext(ctx, Exchange, key, true, false, amqp.Publishing{
			Headers: amqp.Table{}, DeliveryMode: amqp.Persistent, Body: d.Body,
		})
		if err != nil {
			return err
		}
		if acked, err := c.WaitContext(ctx); err != nil || !acked {
			return errors.Join(errors.New("the server has not taken it"), err)
		}
		select {
		case <-returned: // it comes before the confirm
			return fmt.Errorf("nobody listens to %q now, and it would be lost: start the bridge first", key)
		default:
		}
		n++
		return d.Ack(false)
	})
	return n, err
}

func letter(d *amqp.Delivery) DeadLetter {
	reason, _ := d.Headers["x-reason"].(string)
	key, _ := d.Headers["x-routing-key"].(string)
	at, _ := d.Headers["x-at"].(int64)
	return DeadLetter{Channel: key, Reason: reason, At: at, Body: d.Body}
}

// eachDead calls f with dead letters; those that it does not acknowledge are put
// back in their places.
func (b *Broker) eachDead(ctx context.Context, most int, f func(*amqp.Channel, *amqp.Delivery) error) error {
	l, err := b.current(ctx)
	if err != nil {
		return err
	}
	ch, err := l.conn.Channel()
	if err != nil {
		return fmt.Errorf("rabbitmq: dead letters: %w", redact.Error(err, b.url))
	}
	// Only those that are there now: what is sent again may come back.
	q, err := ch.QueueDeclarePassive(DeadQueue, true, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("rabbitmq: dead letters: %w", redact.Error(err, b.url))
	}
	// Closing the channel puts back what was not acknowledged.
	for range min(most, q.Messages) {
		d, ok, err := ch.Get(DeadQueue, false)
		if err != nil || !ok {
			return errors.Join(redact.Error(err, b.url), ch.Close())
		}
		if err := f(ch, &d); err != nil {
			return errors.Join(fmt.Errorf("rabbitmq: dead letters: %w", redact.Error(err, b.url)), ch.Close())
		}
	}
	return ch.Close()
}
