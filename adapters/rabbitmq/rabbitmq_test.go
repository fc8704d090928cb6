package rabbitmq_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestSuite(t *testing.T) {
	bridgetest.Case{
		Server: bridgetest.RabbitMQ(t), Recording: "capture-rabbitmq.json",
		Open: func(ctx context.Context, url string) (bridge.Broker, error) {
			return rabbitmq.Open(ctx, url, rabbitmq.Options{Logger: quiet()})
		},
	}.Run(t)
}
