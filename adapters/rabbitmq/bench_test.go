package rabbitmq_test

import (
	"context"
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
)

func BenchmarkBridge(b *testing.B) {
	server := bridgetest.RabbitMQ(b)
	bridgetest.Case{
		Server: server, Open: func(ctx context.Context, url string) (bridge.Broker, error) {
			return rabbitmq.Open(ctx, url, rabbitmq.Options{Logger: quiet()})
		},
	}.Bench(b, func(tb testing.TB) bridgetest.Raw { return raw(tb, server.URL) })
}

// raw publishes with confirms, and acknowledges each delivery.
func raw(tb testing.TB, url string) bridgetest.Raw {
	tb.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return bridgetest.Raw{
		Publish: func(channel string, bodies [][]byte) error {
			var confirms []*amqp.DeferredConfirmation
			for _, body := range bodies {
				c, err := ch.PublishWithDeferredConfirm(rabbitmq.Exchange, rabbitmq.RoutingKey(channel), true, false,
					amqp.Publishing{Headers: amqp.Table{}, DeliveryMode: amqp.Persistent, Body: body})
				if err != nil {
					return err
				}
				confirms = append(confirms, c)
			}
			for _, c := range confirms {
				if !c.Wait() {
					return errors.New("not confirmed")
				}
			}
			return nil
		},
		Subscribe: func(channel string, f func([]byte)) error {
			in, err := conn.Channel()
			if err != nil {
				return err
			}
			q, err := in.QueueDeclare("", false, true, true, false, nil)
			if err == nil {
				err = errors.Join(in.Qos(500, 0, false), in.QueueBind(q.Name, rabbitmq.RoutingKey(channel), rabbitmq.Exchange, false, nil))
			}
			if err != nil {
				return err
			}
			deliveries, err := in.Consume(q.Name, "", false, true, false, false, nil)
			if err != nil {
				return err
			}
			go func() {
				for d := range deliveries {
					f(d.Body)
					_ = d.Ack(false)
				}
			}()
			return nil
		},
	}
}
