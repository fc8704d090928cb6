package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/internal/freeport"
)

// What joins a mesh may be started before the mesh is: it says what it waits for,
// and goes on once that is there.
func TestMeshComesLater(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"serve", "testdata/order.yaml", "--listen", "0"},
		{"dashboard", "--listen", "0"},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			address := freeport.Address(t)
			c := process(t, args...)
			c.Env = append(c.Env, "BROKER_URL=nats://"+address)
			var said syncBuffer
			c.Stderr = &said
			out, err := c.StdoutPipe()
			if err == nil {
				err = c.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, "it says what it waits for", func() bool {
				return strings.Contains(said.String(), "waiting for the mesh") && strings.Contains(said.String(), address)
			})
			startProgram(t, nil, "node", "--listen", address)
			firstAddress(t, out, &said)
			if err := c.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				t.Errorf("ended with %v; it said:\n%s", err, said.String())
			}
		})
	}
}

// A mesh that does not come is waited for, and then it is an error like any other.
func TestMeshDoesNotCome(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"serve", "testdata/order.yaml", "--listen", "0", "--broker", "nats://u:s3cr3t@127.0.0.1:1"},
		{"dashboard", "--listen", "0", "--broker", "nats://u:s3cr3t@127.0.0.1:1"},
		{"bridge", "redis://127.0.0.1:1", "--mesh", "nats://u:s3cr3t@127.0.0.1:1"},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got := fsmesh(t, args...)
			if took := time.Since(begin); took < meshWait {
				t.Errorf("it took %v, want %v at least", took, meshWait)
			}
			if got.status != exitFailed || strings.Count(got.err, "waiting for the mesh") != 1 || !strings.Contains(got.err, "waited 5s for it") || strings.Contains(got.err, "s3cr3t") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// What is told of a runtime whose process was killed, as long as another one is
// there that has heard of it.
func TestKilledRuntime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	url := startNode(t)
	startProgram(t, nil, "serve", "../../examples/two-services/billing.yaml", "--listen", "0", "--broker", url)
	v := newVictim(t, t.TempDir())
	v.args = []string{"serve", "testdata/order.yaml", "--listen", v.address, "--name", "south", "--broker", url, "--store", "memory"}
	v.start()
	v.ready(ctx)
	at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--id", "o-1")
	// A beacon tells the neighbour.
	waitFor(t, "both are there", func() bool { return strings.Count(at(t, url, exitDone, "runtimes").out, "live") == 2 })
	v.kill()
	said := at(t, url, exitNotFound, "get", "o-1").err
	wants(t, "get", said, "nobody who answered has it: no answer from south/Orders; runtime south of component Orders is lost: it was last heard at ", "once it is started again")
	wants(t, "runtimes", at(t, url, exitDone, "runtimes").out, "south    Orders     lost    no: lost  -     20", "Billing  Billing    live    yes")
	wants(t, "runtimes as JSON", at(t, url, exitDone, "runtimes", "-o", "json").out, `"status": "lost"`, `"reason": "lost"`)
	wants(t, "ls", at(t, url, exitDone, "ls").err, "what is listed of runtime south of component Orders may be out of date or incomplete: lost")
	v.args[5] = "north" // another one does not stand for it
	v.start()
	v.ready(ctx)
	wants(t, "runtimes", at(t, url, exitDone, "runtimes").out, "south    Orders     lost", "north    Orders     live")
	v.kill()
	v.args[5] = "south"
	v.start()
	v.ready(ctx)
	if out := at(t, url, exitDone, "runtimes").out; strings.Count(out, "south") != 1 || !strings.Contains(out, "south    Orders     live") {
		t.Errorf("the runtime is started again, and there are:\n%s", out)
	}
}

// A column says how many instances are quarantined, where some are.
func TestQuarantinedRuntime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	url := startNode(t)
	file := filepath.Join(t.TempDir(), "order.yaml")
	definition, err := os.ReadFile("testdata/order.yaml")
	if err != nil {
		t.Fatal(err)
	}
	v := newVictim(t, t.TempDir())
	v.args = []string{"serve", file, "--listen", v.address, "--broker", url, "--data", t.TempDir()}
	serve := func(definition string) {
		v.kill()
		if err := os.WriteFile(file, []byte(definition), 0o600); err != nil {
			t.Fatal(err)
		}
		v.start()
		v.ready(ctx)
	}
	serve(string(definition))
	for _, state := range []string{"Draft", "Paid"} {
		at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--id", "in-"+state, "--state", state)
	}
	if out := at(t, url, exitDone, "runtimes").out; strings.Contains(out, "QUARANTINED") {
		t.Errorf("none is quarantined, and there is:\n%s", out)
	}
	serve(strings.ReplaceAll(string(definition), "Paid", "Settled"))
	wants(t, "runtimes", at(t, url, exitDone, "runtimes").out, "LAST HEARD  QUARANTINED", "Orders  Orders     live    yes    1     -           1")
	wants(t, "runtimes as JSON", at(t, url, exitDone, "runtimes", "-o", "json").out, `"quarantined": 1`)
}

// Where nobody is on the mesh that is said.
func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	wants(t, "get", at(t, url, exitNotFound, "get", "o-1").err, `no instance "o-1": no runtime is on the mesh`)
	wants(t, "send", at(t, url, exitNotFound, "send", "o-1", "PAY").err, "no runtime is on the mesh")
}
