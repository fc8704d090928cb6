package adapters_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImports checks that imports go one way, adapters → mesh → fsm, that what the
// bridge shares knows no broker, and that no test is linked in.
func TestImports(t *testing.T) {
	t.Parallel()
	const module = "github.com/fsmesh/fsmesh/"
	for pkg, without := range map[string][]string{
		"adapters":          {module + "ui", module + "cmd/fsmesh", module + "adapters/bridge/bridgetest", "testing"},
		"adapters/bridge":   {module + "ui", module + "adapters/redis", module + "adapters/rabbitmq", "github.com/redis/go-redis/v9", "github.com/rabbitmq/amqp091-go", "testing"},
		"adapters/redis":    {module + "adapters/rabbitmq", "github.com/rabbitmq/amqp091-go", "testing"},
		"adapters/rabbitmq": {module + "adapters/redis", "github.com/redis/go-redis/v9", "testing"},
		"mesh":              {module + "adapters", module + "adapters/bridge"},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+pkg).Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		got := strings.Fields(string(out))
		for _, w := range without {
			if slices.Contains(got, w) {
				t.Errorf("%s imports %s", pkg, w)
			}
		}
	}
}
