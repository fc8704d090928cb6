package mesh

import (
	"errors"
	"strings"
	"testing"
)

// TestConnectSecrets sees that what is wrong with a URL is told without the
// password in it.
func TestConnectSecrets(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"nats://u:hunter2@host:port", "nats://u:hunter2%zz@x", "nats://a:1,nats://u:hunter2@x:port", "redis:/u:hunter2@x", "u:hunter2@x", "http://u:hunter2@x",
	} {
		_, err := Connect(t.Context(), u, BusOptions{Logger: quiet()})
		if !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", u, err)
		}
	}
}
