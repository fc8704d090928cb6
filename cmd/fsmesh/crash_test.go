package main

import (
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/internal/freeport"
)

var crashRounds = flag.Int("crash.rounds", 50, "how often the program is killed under load")

// A victim is the program in a process of its own, to be killed and started
// again on the same address and folder.
type victim struct {
	t       *testing.T
	address string
	args    []string
	env     []string
	under   []string // a program to run it under, with its arguments

	cmd    *exec.Cmd
	stderr *syncBuffer // of the present process
	ended  chan error
}

func newVictim(t *testing.T, data string, env ...string) *victim {
	t.Helper()
	address := freeport.Address(t)
	v := &victim{t: t, address: address, env: env, stderr: &syncBuffer{}}
	v.args = []string{"serve", "testdata/crash/orders.yaml", "testdata/crash/billing.yaml", "--listen", address, "--data", data}
	t.Cleanup(v.kill)
	return v
}

func (v *victim) url() string { return "http://" + v.address }

// start starts the process; it returns at once.
func (v *victim) start() {
	v.t.Helper()
	self, err := os.Executable()
	if err != nil {
		v.t.Fatal(err)
	}
	v.stderr = &syncBuffer{}
	line := append(append(slices.Clone(v.under), self), v.args...)
	v.cmd = exec.Command(line[0], line[1:]...)
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	v.cmd.Env = append(os.Environ(), append([]string{beProgram + "=1", "PORT=", "BROKER_URL=", "FSMESH_URL=", "FSMESH_TOKEN="}, v.env...)...)
	v.cmd.Stderr = v.stderr
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func(c *exec.Cmd) { ended <- c.Wait() }(v.cmd)
	v.ended = ended
}

// ready waits until the program says that it is.
func (v *victim) ready(ctx context.Context) {
	v.t.Helper()
	for {
		if res, err := http.Get(v.url() + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-v.ended:
			v.ended <- err
			v.t.Fatalf("the program ended by itself: %v; it said:\n%s", err, v.stderr.String())
		case <-ctx.Done():
			v.t.Fatalf("the program did not get ready; it said:\n%s", v.stderr.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// kill ends the process as a crash would.
func (v *victim) kill() {
	if v.cmd == nil {
		return
	}
	// The group: also what it is run under, or what that runs.
	syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL)
	<-v.ended
	v.cmd = nil
}

// stop ends the process as an operator does.
func (v *victim) stop() {
	v.t.Helper()
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		v.t.Fatal(err)
	}
	if err := <-v.ended; err != nil {
		v.t.Errorf("ended with %v, want status 0; it said:\n%s", err, v.stderr.String())
	}
	v.cmd = nil
}

// TestCrash kills the program at random moments while clients use it, and then
// looks whether it has kept all its promises. The figures are in the log.
func TestCrash(t *testing.T) {
	// Not beside others: it takes both processors.
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*crashRounds)*10*time.Second+time.Minute)
	defer cancel()
	v := newVictim(t, t.TempDir())
	v.start()
	v.ready(ctx)
	s := newShop(v.url())
	watchers := s.openWatchers(ctx, t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var worked error
	wg.Go(func() { worked = s.run(ctx, 8, stop) })
	for range *crashRounds {
		v.ready(ctx)
		select {
		case <-time.After(time.Duration(200+rand.IntN(1200)) * time.Millisecond):
		case <-ctx.Done():
		}
		v.kill()
		v.start()
	}
	close(stop)
	wg.Wait()
	if worked != nil {
		t.Fatalf("%v\nthe program said:\n%s", worked, v.stderr.String())
	}
	// What was closed has left cascades behind that may be on their way.
	v.ready(ctx)
	c := s.check(ctx, t, watchers)
	for deadline := time.Now().Add(60 * time.Second); c.bad() > 0 && time.Now().Before(deadline); c = s.check(ctx, t, watchers) {
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("killed %d times: %s", *crashRounds, c)
	if c.bad() > 0 {
		t.Errorf("promises broken: %s", c)
		for _, n := range c.notes {
			t.Log(n)
		}
	}
	if c.orders < *crashRounds {
		t.Errorf("only %d orders in %d rounds: too little load to show anything", c.orders, *crashRounds)
	}
}

func dials(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// fetch returns what a URL answers; status 0 if nothing does.
func fetch(url string) (body string, status int) {
	res, err := http.Get(url)
	if err != nil {
		return "", 0
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return "", 0
	}
	return string(b), res.StatusCode
}

// waitFor waits for a condition, half a minute at most.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
