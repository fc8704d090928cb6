package graphviz

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *Engine {
	t.Helper()
	e, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestRender(t *testing.T) {
	t.Parallel()
	e := start(t)
	var first string
	for range 3 {
		out, err := e.Render(t.Context(), `digraph { a -> b }`, "json0")
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out) || !strings.Contains(string(out), `"pos"`) {
			t.Fatalf("got %s", out)
		}
		if first == "" {
			first = string(out)
		}
		if got := string(out); got != first {
			t.Errorf("got %s, before %s", got, first)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	e := start(t)
	if out, err := e.Render(t.Context(), `digraph {`, "json0"); err == nil {
		t.Errorf("got %q, want an error", out)
	}
}

func TestRenderEndsWithItsContext(t *testing.T) {
	t.Parallel()
	e := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := e.Render(ctx, `digraph { a }`, "json0"); err == nil {
		t.Errorf("got %q, want an error", out)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e, err := Start(ctx); err == nil {
		t.Errorf("got %v, want an error", e)
	}
}

// TestNotice holds the module to the one that NOTICE names.
func TestNotice(t *testing.T) {
	t.Parallel()
	notice, err := os.ReadFile("NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(module)
	if want := "sha256: " + hex.EncodeToString(sum[:]); !strings.Contains(string(notice), want) {
		t.Errorf("NOTICE lacks the line %q", want)
	}
}

// A start that is broken off while Graphviz is compiled does not go on to its end: a
// program that is told to end waits for it.
func TestStartIsBrokenOff(t *testing.T) {
	begin := time.Now()
	if err := start(t).Close(); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(begin)
	ctx, cancel := context.WithTimeout(t.Context(), whole/10)
	defer cancel()
	begin = time.Now()
	if e, err := Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, %v, want that its time is over", e, err)
	}
	if took := time.Since(begin); took > whole/2 {
		t.Errorf("a start that was broken off after %v took %v of the %v of a whole one", whole/10, took, whole)
	}
}
