package rabbitmq_test

import (
	"testing"

	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
)

// TestOneServer has all that needs no server of its own on one, as that takes long to
// start: in a virtual host each, and side by side, as most of it waits.
func TestOneServer(t *testing.T) {
	tests := []struct {
		name string
		f    func(*testing.T, *bridgetest.Server)
	}{
		{"Queue", keptQueue}, {"QueueBroadcasts", queueBroadcasts}, {"QueueFollow", queueFollow}, {"CreationWithoutHost", creationWithoutHost}, {"ReplayUnheard", replayUnheard},
		{"CommandWithoutRuntime", commandWithoutRuntime}, {"BadMessages", badMessages}, {"BadCreation", badCreation},
		{"RefusedConfirm", refusedConfirm}, {"CreationsOfDialects", creationsOfDialects}, {"TLS", hostsOverTLS},
	}
	server := bridgetest.RabbitMQ(t)
	hosts := server.VHosts(t, len(tests))
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if server.Own { // in one that is given all would be in one virtual host
				t.Parallel()
			}
			tt.f(t, hosts[i])
		})
	}
}
