package compose

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/internal/freeport"
)

// A file is what the tests read of a compose file.
type file struct {
	Services map[string]service `yaml:"services"`
}

type service struct {
	Image       string            `yaml:"image"`
	User        string            `yaml:"user"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
	Ports       []string          `yaml:"ports"`
	Restart     string            `yaml:"restart"`
	CapDrop     []string          `yaml:"cap_drop"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
}

func read(t *testing.T, name string) (file, string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := yaml.Unmarshal(b, &f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f, string(b)
}

var variable = regexp.MustCompile(`\$?\$\{?(\w+)(:\?[^}]*)?\}?`)

// names are the variables of .env.example.
func names(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(".env.example")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			out[name] = true
			if value != "" {
				t.Errorf(".env.example has a value for %s: somebody would leave it", name)
			}
		}
	}
	return out
}

var files = []string{"redis.yaml", "rabbitmq.yaml", "nats-cluster.yaml"}

// TestRules sees that every service of every file is pinned, runs without root
// and without capabilities, has a health check, waits for that of what it needs,
// and has its secrets from .env only.
func TestRules(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[a-z]+:\d+\.\d+\.\d+(-\w+)?$`)
	known, used := names(t), map[string]bool{}
	for _, name := range files {
		f, text := read(t, name)
		if len(f.Services) < 4 {
			t.Errorf("%s has %d services", name, len(f.Services))
		}
		for _, m := range regexp.MustCompile(`\$\{(\w+)(:\?)?`).FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if !known[m[1]] || m[2] == "" {
				t.Errorf("%s: %s is not in .env.example, or may be empty", name, m[1])
			}
		}
		for n, s := range f.Services {
			wrong := func(what string) { t.Helper(); t.Errorf("%s: %s %s", name, n, what) }
			if s.Image != "fsmesh:local" && !pinned.MatchString(s.Image) {
				wrong("has the image " + s.Image + ", which is not pinned")
			}
			if uid, _, _ := strings.Cut(s.User, ":"); uid == "" || uid == "0" || uid == "root" {
				wrong("runs as root")
			}
			if len(s.Healthcheck.Test) == 0 || s.Restart != "unless-stopped" || len(s.CapDrop) == 0 {
				wrong("has no health check, is not restarted, or keeps its capabilities")
			}
			for _, p := range s.Ports {
				if !strings.HasPrefix(p, "127.0.0.1:") {
					wrong("can be reached from other machines at " + p)
				}
			}
			for on, how := range s.DependsOn {
				if _, there := f.Services[on]; !there || how.Condition != "service_healthy" {
					wrong("does not wait until " + on + " is healthy")
				}
			}
			for _, c := range s.Command {
				if strings.Contains(c, "${") {
					wrong("has a secret among its arguments")
				}
			}
		}
	}
	for n := range known {
		if !used[n] {
			t.Errorf(".env.example has %s, which no file uses", n)
		}
	}
}

// image builds what the Dockerfile builds, by its own command.
var image = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "fsmesh-compose")
	if err != nil {
		return "", err
	}
	build := regexp.MustCompile(`(?m)^RUN (.*go build.*)$`).FindStringSubmatch(string(text))
	if build == nil {
		return dir, fmt.Errorf("the Dockerfile builds nothing")
	}
	c := exec.Command("sh", "-c", strings.ReplaceAll(build[1], "/out/", dir+"/"))
	c.Dir = ".."
	if out, err := c.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%s: %w\n%s", build[1], err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, _ := image(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

// TestImage sees that the binary of the image needs nothing else, and that the
// image is pinned and run without root.
func TestImage(t *testing.T) {
	t.Parallel()
	dir, err := image()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(filepath.Join(dir, "fsmesh"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary is not static")
		}
	}
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(text), "\nFROM scratch\n")
	for _, want := range []string{"USER 65532:65532\n", `ENTRYPOINT ["/fsmesh"]`} {
		if !strings.Contains(last, want) {
			t.Errorf("the image lacks %s", want)
		}
	}
	if !regexp.MustCompile(`(?m)^FROM golang:\d+\.\d+\.\d+-alpine AS build$`).Match(text) {
		t.Error("the image to build in is not pinned")
	}
}

// A stack is the services of a file, as processes of this machine.
type stack struct {
	t      *testing.T
	f      file
	dir    string
	env    map[string]string
	outer  map[string]string // addresses of brokers, by service and port
	mu     sync.Mutex        // guards inner
	inner  map[string]string // addresses of our own, likewise
	ending map[string]func()
}

// TestStacks starts every service of every file that is ours, with its arguments
// and its environment, against real brokers; asks by its health check whether it
// is well; and has the two services do something together.
func TestStacks(t *testing.T) {
	t.Parallel()
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := read(t, name)
			s := &stack{t: t, f: f, dir: t.TempDir(), env: map[string]string{}, outer: map[string]string{}, inner: map[string]string{}, ending: map[string]func(){}}
			for n := range names(t) {
				s.env[n] = "hunter2" + strings.ReplaceAll(n, "_", "")
			}
			s.brokers()
			s.start("node-1", "node-2", "node-3")
			s.start("orders", "billing")
			s.start("dashboard")
			s.works("ORD-1")
			if end := s.ending["node-1"]; end != nil {
				end() // any one may go
				s.works("ORD-2")
			}
		})
	}
}

// brokers starts the brokers of the file.
func (s *stack) brokers() {
	s.t.Helper()
	if _, ok := s.f.Services["redis"]; ok {
		s.outer["redis:6379"] = bridgetest.Redis(s.t, "--requirepass", s.env["REDIS_PASSWORD"]).Addr
	}
	if r, ok := s.f.Services["rabbitmq"]; ok {
		server := bridgetest.RabbitMQ(s.t)
		if !server.Own {
			s.t.Fatal("RABBITMQ_URL points to a server whose users this test cannot make; unset it")
		}
		user := r.Environment["RABBITMQ_DEFAULT_USER"]
		server.RabbitMQCtl(s.t, "add_user", user, s.env["RABBITMQ_PASSWORD"])
		server.RabbitMQCtl(s.t, "set_permissions", user, ".*", ".*", ".*")
		s.outer["rabbitmq:5672"] = server.Addr
	}
}

// at is where a port of a service is on this machine.
func (s *stack) at(name, port string) string {
	key := name + ":" + port
	if a := s.outer[key]; a != "" {
		return a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inner[key] == "" {
		s.inner[key] = freeport.Address(s.t)
	}
	return s.inner[key]
}

var hostPort = regexp.MustCompile(`([A-Za-z0-9.-]+):(\d+)`)

// here turns what a service says into what is true on this machine: variables,
// addresses and folders.
func (s *stack) here(name, text string) string {
	text = variable.ReplaceAllStringFunc(text, func(v string) string {
		if strings.HasPrefix(v, "$$") {
			return v[1:]
		}
		return s.env[variable.FindStringSubmatch(v)[1]]
	})
	text = hostPort.ReplaceAllStringFunc(text, func(a string) string {
		host, port, _ := strings.Cut(a, ":")
		switch _, other := s.f.Services[host]; {
		case host == "0.0.0.0", host == "127.0.0.1":
			return s.at(name, port)
		case other:
			return s.at(host, port)
		}
		return a
	})
	for _, v := range s.f.Services[name].Volumes {
		parts := strings.Split(v, ":")
		from := parts[0]
		if !strings.HasPrefix(from, ".") {
			from = filepath.Join(s.dir, from)
		}
		if text == parts[1] || strings.HasPrefix(text, parts[1]+"/") {
			text = from + strings.TrimPrefix(text, parts[1])
		}
	}
	return text
}

func (s *stack) command(ctx context.Context, name string, args []string) *exec.Cmd {
	dir, err := image()
	if err != nil {
		s.t.Fatal(err)
	}
	var here []string
	for _, a := range args {
		here = append(here, s.here(name, a))
	}
	c := exec.CommandContext(ctx, filepath.Join(dir, "fsmesh"), here...)
	c.Env = []string{"PATH=" + os.Getenv("PATH")} // a container has no more
	for k, v := range s.f.Services[name].Environment {
		c.Env = append(c.Env, k+"="+s.here(name, v))
	}
	return c
}

// start starts those of the services that the file has, and waits until all of
// them are well.
func (s *stack) start(services ...string) {
	s.t.Helper()
	logs := map[string]*bytes.Buffer{}
	for _, name := range services {
		svc, ok := s.f.Services[name]
		if !ok {
			continue
		}
		c := s.command(context.WithoutCancel(s.t.Context()), name, svc.Command)
		log := &bytes.Buffer{}
		c.Stdout, c.Stderr = log, log
		if err := c.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.ending[name] = sync.OnceFunc(func() {
			_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
			if err := c.Wait(); err != nil {
				s.t.Errorf("%s: %v; it said:\n%s", name, err, log)
			}
			if strings.Contains(log.String(), "hunter2") {
				s.t.Errorf("%s has a secret in its log:\n%s", name, log)
			}
		})
		s.t.Cleanup(s.ending[name])
		logs[name] = log
	}
	for name := range logs {
		test := s.f.Services[name].Healthcheck.Test
		if len(test) < 3 || test[0] != "CMD" || test[1] != "/fsmesh" {
			s.t.Fatalf("%s has the health check %q: there is nothing else in its image", name, test)
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			out, err := s.command(s.t.Context(), name, test[2:]).CombinedOutput()
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("%s is not well: %v\n%s", name, err, out)
			}
		}
	}
}

// works places an order by way of the dashboard, and sees that the other service
// makes an invoice of it.
func (s *stack) works(order string) {
	s.t.Helper()
	s.until("two live runtimes", func() bool {
		return strings.Count(string(s.ask(http.MethodGet, "/api/runtimes", "")), `"status":"live"`) == 2
	})
	var created struct {
		ID string `json:"instanceId"`
	}
	raw := s.ask(http.MethodPost, "/api/components/Orders/instances", `{"context": {"orderId": "`+order+`", "amount": 40}}`)
	if err := json.Unmarshal(raw, &created); err != nil || created.ID == "" {
		s.t.Fatalf("create: %s", raw)
	}
	if raw := s.ask(http.MethodPost, "/api/instances/"+created.ID+"/events", `{"type": "PLACE"}`); !strings.Contains(string(raw), "AwaitingPayment") {
		s.t.Fatalf("send: %s", raw)
	}
	s.until("an invoice", func() bool {
		return strings.Contains(string(s.ask(http.MethodGet, "/api/instances?machine=Invoice", "")), order)
	})
}

func (s *stack) until(what string, f func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("there is no sign of %s; the runtimes are %s", what, s.ask(http.MethodGet, "/api/runtimes", ""))
		}
	}
}

func (s *stack) ask(method, path, body string) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.at("dashboard", "4000")+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.env["FSMESH_TOKEN"])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || bytes.Contains(b, []byte("hunter2")) {
		s.t.Fatalf("%s %s: %v, or a secret in:\n%s", method, path, err, b)
	}
	return b
}
