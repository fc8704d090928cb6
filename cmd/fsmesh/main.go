// Command fsmesh checks, draws, tries out, hosts and steers state machines.
//
// It wires the packages of this module and holds no logic of its own. The
// files, in the order of reading: main.go starts and ends the program, root.go
// has the command tree and what goes wrong with it, exit.go the exit statuses,
// and each command has a file of its name; serve.go is what serve and demo
// share, site.go how they and dashboard serve pages, secret.go what they ask for,
// broker.go how they join a mesh, remote.go, names.go, contexts.go and output.go are
// what the commands against a running mesh share, complete.go what a shell completes.
package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends a program that is slow to stop, and so does time: one
	// may wait for a file that nobody writes.
	context.AfterFunc(ctx, func() {
		stop()
		time.AfterFunc(6*time.Second, func() { os.Exit(exitFailed) })
	})
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(status)
}

// run is the program as a value: it returns the exit status. It ends early,
// and cleanly, when the context does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	return (&program{stdin: stdin, stdout: &pipe{w: stdout}, stderr: stderr, env: env}).run(ctx, args)
}

func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	// Without this cobra would take os.Args for an empty list.
	root.SetArgs(append([]string{}, args...))
	err := root.ExecuteContext(ctx)
	return p.report(err)
}

// A program is what the commands share.
type program struct {
	stdin  io.Reader
	stdout *pipe
	stderr io.Writer
	env    func(string) string
	// store, if set, is put around the store of serve: tests break it.
	store func(fsm.Store) fsm.Store
	// checkpoints is the time between them, and answers, if set, is put around all
	// that serve answers: tests want more of the first, and break the second.
	checkpoints time.Duration
	answers     func(http.Handler) http.Handler
}

// A pipe remembers the first error of writing to it, so that commands need not
// look at each line.
type pipe struct {
	w   io.Writer
	err error
}

// Write fails after the first error without trying again.
func (p *pipe) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.w.Write(b)
	p.err = err
	return n, err
}
