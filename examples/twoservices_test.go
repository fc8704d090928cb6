package examples

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTwoServices runs the commands of the example's README, each in a process
// of its own, and looks at what the dashboard shows. Ports are replaced by free
// ones.
func TestTwoServices(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("two-services/README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := newShell(t)
	shown := map[string]string{ // what a command has to say, sooner or later
		"ls --machine Invoice":    "Open",
		"get --key order:ORD-1":   "Paid",
		"send --key order:ORD-1 ": "AwaitingPayment",
	}
	n := 0
	for _, line := range strings.Split(string(readme), "\n") {
		command, ok := strings.CutPrefix(line, "    fsmesh ")
		if !ok {
			continue
		}
		n++
		command, _, _ = strings.Cut(command, "#")
		if background, ok := strings.CutSuffix(strings.TrimSpace(command), "&"); ok {
			s.start(background)
			continue
		}
		want := ""
		for prefix, w := range shown {
			if strings.HasPrefix(command, prefix) {
				want = w
			}
		}
		s.until(command, want)
	}
	if n < 9 {
		t.Errorf("only %d commands were found", n)
	}
	for page, words := range map[string][]string{
		"":                                       {"Orders", "Billing", "2 runtimes live"},
		"runtimes":                               {"2 of 2 runtimes live", "Orders", "Billing"},
		"instances?component=Orders&ended=too":   {"order:ORD-1", "Paid"},
		"instances?component=Billing&ended=too":  {"Invoice", "Settled"},
		"machine?component=Orders&machine=Order": {"State diagram of Order"},
	} {
		s.shows("http://"+s.free("127.0.0.1:4000")+"/"+page, words)
	}
}

func (s *shell) command(ctx context.Context, line string) *exec.Cmd {
	return s.sh(ctx, "exec fsmesh "+line)
}

// start runs a command in the background and waits for its address.
func (s *shell) start(line string) {
	s.t.Helper()
	// Not the test's context: what is started is told to end, and has to do so.
	c := s.command(context.WithoutCancel(s.t.Context()), line)
	var stderr strings.Builder
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			s.t.Errorf("fsmesh %s: %v", line, err)
		}
		if err := c.Wait(); err != nil {
			s.t.Errorf("fsmesh %s: %v; it said:\n%s", line, err, stderr.String())
		}
	})
	if first, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.Contains(first, "127.0.0.1:") {
		s.t.Fatalf("fsmesh %s: first line %q, %v", line, first, err)
	}
}

const patience = 60 * time.Second

// until runs a command until it succeeds and says what it has to.
func (s *shell) until(line, want string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		out, err := s.command(s.t.Context(), line).CombinedOutput()
		if err == nil && strings.Contains(string(out), want) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("fsmesh %s: %v, want %q in:\n%s", line, err, want, out)
		}
	}
}

// shows asks for a page until it has all the words.
func (s *shell) shows(page string, words []string) {
	s.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		res, err := client.Get(page)
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		missing := ""
		for _, w := range words {
			if !strings.Contains(string(b), w) {
				missing = w
			}
		}
		if err == nil && missing == "" && res.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: status %d, lacks %q:\n%s", page, res.StatusCode, missing, b)
		}
	}
}
