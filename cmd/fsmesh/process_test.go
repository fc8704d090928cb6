package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is the test binary as the program, in a process of its own.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, self, args...)
	c.Env = append(os.Environ(), beProgram+"=1", "PORT=", "BROKER_URL=", "FSMESH_URL=", "FSMESH_TOKEN=", "FSMESH_STORE=memory", "FSMESH_CONTEXT=", "XDG_CONFIG_HOME="+t.TempDir())
	return c
}

func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	c := process(t, "schema")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var stderr bytes.Buffer
	c.Stdout, c.Stderr = w, &stderr
	err = c.Run()
	w.Close()
	if err == nil || stderr.Len() > 0 {
		t.Errorf("got error %v and %q on the standard error; want a failure without a word", err, stderr.String())
	}
}

func TestStdinClosed(t *testing.T) {
	t.Parallel()
	// The shell closes the descriptor; exec.Cmd would open /dev/null for it.
	self := process(t)
	c := exec.CommandContext(t.Context(), "sh", "-c", `exec "$0" run testdata/order.yaml Order --data '{"amount":1,"customer":"Ada"}' <&-`, self.Path)
	c.Env = self.Env
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Draft, accepts SUBMIT, CANCEL") {
		t.Errorf("got error %v and:\n%s\nwant the state, and a good end", err, out)
	}
}

func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "secret.yaml")
	if err := os.WriteFile(file, []byte("name: X"), 0o200); err != nil {
		t.Fatal(err)
	}
	c := process(t, "validate", file)
	if os.Getuid() == 0 {
		// Root may read everything, so the program is another user here; it
		// must be able to reach its own file and the test's.
		c.Path = filepath.Join(dir, "program")
		c.Args[0] = c.Path
		copyFile(t, process(t).Path, c.Path)
		for _, d := range []string{dir, filepath.Dir(dir)} {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		c.Dir = dir
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := c.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != exitFailed || !strings.Contains(string(out), "may not be read by this user") {
		t.Errorf("got error %v and:\n%s", err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestSignals starts the program for real, uses it and tells it to end.
func TestSignals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		signal os.Signal
		args   []string
	}{
		{"SIGTERM under load", syscall.SIGTERM, []string{"demo", "--listen", "127.0.0.1:0", "--rate", "500"}},
		{"SIGINT", os.Interrupt, []string{"serve", "testdata/order.yaml", "--listen", "127.0.0.1:0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := process(t, tt.args...)
			var stderr bytes.Buffer
			c.Stderr = &stderr
			stdout, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			address := firstAddress(t, stdout, &stderr)
			get(t, address+"healthz", http.StatusOK)
			get(t, address, http.StatusOK)

			begin := time.Now()
			if err := c.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				t.Errorf("ended with %v, want status 0; it said:\n%s", err, stderr.String())
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %v to end, want less than 5 s", took)
			}
		})
	}
}

// firstAddress reads the address that the program prints.
func firstAddress(t *testing.T, r io.Reader, stderr fmt.Stringer) string {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	address, _, _ := strings.Cut(line, " ")
	if err != nil || !strings.HasPrefix(address, "http://") {
		t.Fatalf("first line %q, error %v; want an address; it said:\n%s", line, err, stderr.String())
	}
	return address
}

func get(t *testing.T, address string, status int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != status {
		t.Fatalf("GET %s: status %d, want %d; body:\n%s", address, res.StatusCode, status, body)
	}
	return string(body)
}
