package examples

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
)

// steps are the indented lines of a README: each command that goes on in the
// background by itself, all others as far as they stand together.
func steps(t *testing.T, file string) (out []string) {
	t.Helper()
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var block []string
	flush := func() {
		if len(block) > 0 {
			out = append(out, strings.Join(block, "\n"))
		}
		block = nil
	}
	for line := range strings.Lines(string(readme)) {
		command, ok := strings.CutPrefix(line, "    ")
		command = strings.TrimSpace(command)
		switch {
		case !ok:
			flush()
		case strings.HasSuffix(command, "&"), strings.HasPrefix(command, "export "), strings.HasPrefix(command, "npm "):
			flush()
			out = append(out, command)
		default:
			block = append(block, command)
		}
	}
	flush()
	return out
}

// TestDistributed runs the two services and the dashboard of the examples on real
// brokers, by the lines of their READMEs.
func TestDistributed(t *testing.T) {
	t.Parallel()
	for folder, server := range map[string]func(testing.TB) *bridgetest.Server{
		"distributed-redis":    func(t testing.TB) *bridgetest.Server { return bridgetest.Redis(t) },
		"distributed-rabbitmq": bridgetest.RabbitMQ,
	} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			broker := server(t)
			s := newShell(t)
			// What the scripts have to say, in their order.
			want := [][]string{{"instanceId", "AwaitingPayment"}, {"AwaitingPayment", `"Invoice"`, "Open"}, {"Settled"}, {`"status":"active"`, `"behind":2`, `"received":`}}
			for _, step := range steps(t, folder+"/README.md") {
				switch command, background := strings.CutSuffix(step, " &"); {
				case background:
					s.start(strings.TrimPrefix(command, "fsmesh "))
				case strings.HasPrefix(step, "export BROKER_URL="):
					s.env = append(s.env, "BROKER_URL="+broker.URL)
				case len(want) == 0:
					t.Fatalf("nothing is known of %q", step)
				default:
					if len(want) == 4 {
						s.shows("http://"+s.free("127.0.0.1:4000")+"/runtimes", []string{"2 of 2 runtimes live", "Orders", "Billing"})
					}
					s.says(step, want[0])
					want = want[1:]
				}
			}
			if len(want) > 0 {
				t.Errorf("%d scripts are missing", len(want))
			}
			s.shows("http://"+s.free("127.0.0.1:4000")+"/instances?component=Orders&ended=too", []string{"ORD-1", "Paid"})
		})
	}
}

// says runs a script, which may have to wait for others, until it says all words.
func (s *shell) says(script string, words []string) {
	s.t.Helper()
	var stderr strings.Builder
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		stderr.Reset()
		c := s.sh(s.t.Context(), "set -e\n"+script)
		c.Stderr = &stderr
		out, err := c.Output()
		missing := ""
		for _, w := range words {
			if !strings.Contains(string(out), w) {
				missing = w
			}
		}
		if err == nil && missing == "" {
			return
		}
		if time.Now().After(deadline) || err == nil && strings.Contains(script, "--json") {
			s.t.Fatalf("%s\n%v, lacks %q:\n%s%s", script, err, missing, out, stderr.String())
		}
	}
}

// nodeModules is a folder outside of the repository with the packages of the
// example, installed once for each list of them.
func nodeModules(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	lock, err := os.ReadFile("nodejs/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "fsmesh-tests", "nodejs-"+hex.EncodeToString(sum[:8]))
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(filepath.Join(dir, "installed")); err == nil {
		return modules
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile("nodejs/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatal("npm is not installed, and this test needs it for the package redis: run make deps (or .ci/install-deps)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("npm could not install the package redis, which this test needs; it is kept in %s once it is there: %v\n%s", dir, err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "installed"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return modules
}

// node is the folder of the node that is used.
func node(t *testing.T) string {
	t.Helper()
	name := os.Getenv("NODE")
	if name == "" {
		name = "node"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not there, and this test needs Node: run make deps (or .ci/install-deps), or set NODE to one", name)
	}
	return path
}

// TestNode has a plain Node program create, send and watch over Redis, by the
// lines of its README.
func TestNode(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("nodejs/shop.js")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(program), "\n"); n > 60 {
		t.Errorf("the program has %d lines, 60 at most are to show that it is easy", n)
	}
	s := newShell(t)
	// The program and its packages, beside each other and outside of the
	// repository.
	s.at = filepath.Join(s.dir, "nodejs")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(s.dir, "bin"), 0o755), os.MkdirAll(s.at, 0o755), os.WriteFile(filepath.Join(s.at, "shop.js"), program, 0o644),
		os.Symlink(nodeModules(t), filepath.Join(s.at, "node_modules")), os.Symlink(node(t), filepath.Join(s.dir, "bin", "node")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	two, err := filepath.Abs("two-services")
	if err == nil {
		err = os.Symlink(two, filepath.Join(s.dir, "two-services"))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "PATH="+filepath.Join(s.dir, "bin")+":"+s.bin+":"+os.Getenv("PATH"), "BROKER_URL="+bridgetest.Redis(t).URL, "FSMESH_STORE=memory")
	var watched *said
	n := 0
	for _, step := range steps(t, "nodejs/README.md") {
		command, background := strings.CutSuffix(step, " &")
		switch {
		case strings.HasPrefix(step, "export "), strings.HasPrefix(step, "npm "):
		case background && strings.HasPrefix(command, "fsmesh "):
			s.start(strings.TrimPrefix(command, "fsmesh "))
		case background:
			watched = s.listen(command)
			watched.until("watching")
		default:
			n++
			s.shows("http://"+s.free("127.0.0.1:4000")+"/runtimes", []string{"1 of 1 runtime live"})
			s.says(step, []string{"AwaitingPayment"})
		}
	}
	if watched == nil || n != 1 {
		t.Fatal("the README does not watch, or does nothing")
	}
	watched.until("Orders Order ", " instance_created Draft", " state_change AwaitingPayment")
	s.shows("http://"+s.free("127.0.0.1:4000")+"/instances", []string{"Order", "AwaitingPayment"})
	for script, want := range map[string]string{
		"node shop.js":               "usage: node shop.js",
		"node shop.js create Nobody": "nobody answered",
	} {
		out, err := s.sh(t.Context(), script).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q in:\n%s", script, err, want, out)
		}
	}
}

// said is what a program in the background has said so far.
type said struct {
	t  *testing.T
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (o *said) until(words ...string) {
	o.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		o.mu.Lock()
		text, missing := o.b.String(), ""
		o.mu.Unlock()
		for _, w := range words {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("it does not say %q:\n%s", missing, text)
		}
	}
}

// listen runs a command in the background, until the test ends.
func (s *shell) listen(command string) *said {
	s.t.Helper()
	c := s.sh(context.WithoutCancel(s.t.Context()), "exec "+command)
	o := &said{t: s.t}
	stdout, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			o.mu.Lock()
			o.b.WriteString(lines.Text() + "\n")
			o.mu.Unlock()
		}
	}()
	s.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-done
		_ = c.Wait() // it was told to end
	})
	return o
}
