package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/internal/freeport"
)

// What init writes builds, runs, and asks for the credentials that it wrote.
func TestInit(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "My shop")
	got := fsmesh(t, "init", dir, "--replace", root)
	if got.status != exitDone || !strings.Contains(got.out, ".dockerignore, .env, .gitignore, Dockerfile, README.md, compose.yaml, go.mod, main.go, order.yaml") {
		t.Fatalf("init: %+v", got)
	}
	env := secretsOf(t, dir)
	seen := map[string]bool{}
	for _, name := range []string{"FSMESH_PASSWORD", "FSMESH_TOKEN", "REDIS_PASSWORD", "RABBITMQ_PASSWORD", "NATS_PASSWORD"} {
		if len(env[name]) < 20 || seen[env[name]] {
			t.Errorf("%s: %d bytes, or one that another has", name, len(env[name]))
		}
		seen[env[name]] = true
		if strings.Contains(got.out, env[name]) {
			t.Errorf("%s is printed", name)
		}
	}
	if got := fsmesh(t, "validate", "--strict", filepath.Join(dir, "order.yaml")); got.status != exitDone {
		t.Errorf("the component: %+v", got)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"vet", "-mod=mod", "."}, {"build", "-mod=mod", "-o", "program", "."}} {
		c := exec.CommandContext(t.Context(), "go", args...)
		c.Dir, c.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	runsWith(t, dir, env)
	bridges(t, dir)
	explains(t, dir)
}

// A build that is no release says how to name a clone; what it says makes the
// module build.
func TestInitWithoutAClone(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "shop")
	got := fsmesh(t, "init", dir)
	if got.status != exitDone || !strings.Contains(got.err, "this build is no release") || !strings.Contains(got.out, "    go mod edit -replace github.com/fsmesh/fsmesh=PATH/OF/THE/CLONE\n    go mod tidy\n") {
		t.Errorf("init: %+v", got)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !strings.Contains(string(mod), "github.com/fsmesh/fsmesh v0.0.0\n") {
		t.Errorf("go.mod, %v:\n%s", err, mod)
	}
	if got := fsmesh(t, "init", filepath.Join(t.TempDir(), "shop"), "--replace", root); got.err != "" || strings.Contains(got.out, "mod edit") {
		t.Errorf("init with a clone: %+v", got)
	}
	if got := cloneOf(filepath.Join(root, "bin", "fsmesh"), nil); got != root {
		t.Errorf("the clone of its bin is %q, want %q", got, root)
	}
	if got := cloneOf(filepath.Join(dir, "bin", "fsmesh"), nil); got != "" {
		t.Errorf("the clone of another module is %q, want none", got)
	}
}

func TestReleased(t *testing.T) {
	t.Parallel()
	for b, want := range map[build]bool{
		{Version: "v1.2.3"}:                                     true,
		{Version: "v1.2.3-rc.1"}:                                true,
		{Version: "v1.2.3", Modified: true}:                     false,
		{Version: "(devel)"}:                                    false,
		{Version: "unknown"}:                                    false,
		{Version: "v0.0.0-20261130124305-780e29b00000"}:         false,
		{Version: "v1.2.4-0.20261130124305-780e29b00000+dirty"}: false,
	} {
		if got := b.released(); got != want {
			t.Errorf("%+v is released: %v, want %v", b, got, want)
		}
	}
}

// runsWith runs the program as a container would, on all addresses.
func runsWith(t *testing.T, dir string, env map[string]string) {
	t.Helper()
	open := exec.CommandContext(t.Context(), filepath.Join(dir, "program"))
	open.Dir, open.Env = dir, []string{"LISTEN=0.0.0.0:0"}
	if out, err := open.CombinedOutput(); err == nil || !strings.Contains(string(out), "FSMESH_PASSWORD and FSMESH_TOKEN, which .env has") || strings.Contains(string(out), " --") {
		t.Errorf("on all addresses without credentials: %v\n%s", err, out)
	}
	c := exec.CommandContext(t.Context(), filepath.Join(dir, "program"))
	_, port, err := net.SplitHostPort(freeport.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	c.Dir, c.Env = dir, []string{"PORT=" + port, "FSMESH_PASSWORD=" + env["FSMESH_PASSWORD"], "FSMESH_TOKEN=" + env["FSMESH_TOKEN"]}
	address, said := begun(t, c)
	if want := "http://127.0.0.1:" + port + "/"; address != want {
		t.Errorf("with PORT it is at %s, want %s", address, want)
	}
	get(t, address, http.StatusUnauthorized)
	ask := func(method, path, body string) (status int, answer string) {
		r, err := http.NewRequestWithContext(t.Context(), method, address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+env["FSMESH_TOKEN"])
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	until(t, func() bool {
		status, _ := ask("PUT", "api/components/Orders/keys/order:1", `{"context":{"customer":"Ada"}}`)
		return status == http.StatusOK
	})
	if status, answer := ask("POST", "api/components/Orders/keys/order:1/events", `{"type":"SUBMIT"}`); status != http.StatusOK {
		t.Errorf("an event: status %d, %s", status, answer)
	}
	if status, page := ask("GET", "", ""); status != http.StatusOK || !strings.Contains(page, "Log out") {
		t.Errorf("a page, where people log in: status %d, and nowhere to log out:\n%s", status, page)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v; it said:\n%s", err, said.String())
	}
	for _, secret := range env {
		if strings.Contains(said.String(), secret) {
			t.Error("the log has a secret")
		}
	}
}

// begun starts a program that was written, and returns the address that it prints and
// what it says on its standard error.
func begun(t *testing.T, c *exec.Cmd) (address string, said *syncBuffer) {
	t.Helper()
	said = &syncBuffer{}
	c.Stderr = said
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("no address: %v\n%s", err, said.String())
	}
	return strings.TrimSpace(line), said
}

// bridges runs the program on a broker, with what another program has there.
func bridges(t *testing.T, dir string) {
	t.Helper()
	redis := bridgetest.Redis(t)
	startProgram(t, nil, "serve", "../../examples/two-services/billing.yaml", "--listen", "0", "--broker", redis.URL, "--store", "memory")
	c := exec.CommandContext(t.Context(), filepath.Join(dir, "program"))
	c.Dir, c.Env = dir, []string{"PORT=0", "BROKER_URL=" + redis.URL, "STORE=memory", "ALLOW_HOSTS=shop.example"}
	address, said := begun(t, c)
	until(t, func() bool {
		return strings.Contains(get(t, address+"api/runtimes", http.StatusOK), `"componentName":"Billing"`)
	})
	for host, want := range map[string]int{"shop.example": http.StatusOK, "evil.example": http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if res.Body.Close(); err != nil || res.StatusCode != want || want != http.StatusOK && !strings.Contains(string(b), "(ALLOW_HOSTS)") {
			t.Errorf("as %s: status %d, %v, want %d: %s", host, res.StatusCode, err, want, b)
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v; it said:\n%s", err, said.String())
	}
}

// explains checks that the README has each variable that the program reads, and no
// other.
func explains(t *testing.T, dir string) {
	t.Helper()
	names := func(file, pattern string) []string {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(b), -1) {
			out = append(out, regexp.MustCompile(`[A-Z_]{4,}`).FindAllString(m[1], -1)...)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	read, told := names("main.go", `(?:env|Getenv)\("([A-Z_]+)"`), names("README.md", "(?m)^\\| (`[^|]*) \\|")
	if len(read) < 5 || !slices.Equal(read, told) {
		t.Errorf("the program reads %q, README.md tells of %q", read, told)
	}
}

// secretsOf reads .env, which nobody else may.
func secretsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	path := filepath.Join(dir, ".env")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf(".env has mode %v, want 0600", info.Mode())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[name] = value
		}
	}
	return env
}

func TestInitOverwritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := fsmesh(t, "init", dir)
	if got.status != exitUsage || !strings.Contains(got.err, "has main.go already, and nothing is overwritten") {
		t.Errorf("got %+v", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "main.go")); err != nil || string(b) != "mine" {
		t.Errorf("main.go: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "order.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	if got := fsmesh(t, "init", filepath.Join(dir, "main.go")); got.status != exitUsage || !strings.Contains(got.err, "not a directory; give another") {
		t.Errorf("a file for the folder: %+v", got)
	}
	if got := fsmesh(t, "init", filepath.Join(dir, "new"), "--replace", dir); got.status != exitUsage || !strings.Contains(got.err, "no clone of fsmesh") {
		t.Errorf("no clone: %+v", got)
	}
}

// The shells that are known have completion, which a shell can read where it is
// there, and the others have a hint.
func TestCompletionOfShells(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		got := fsmesh(t, "completion", shell)
		if got.status != exitDone || !strings.Contains(got.out, "__complete") {
			t.Errorf("%s: %+v", shell, got.err)
		}
	}
	bash := exec.CommandContext(t.Context(), "bash", "-n")
	bash.Stdin = strings.NewReader(fsmesh(t, "completion", "bash").out)
	if out, err := bash.CombinedOutput(); err != nil {
		t.Errorf("bash can't read it: %v\n%s", err, out)
	}
	for shell, hint := range map[string]string{"tcsh": "there are bash, fish, powershell, zsh", "fsh": `did you mean "fish"?`} {
		if got := fsmesh(t, "completion", shell); got.status != exitUsage || !strings.Contains(got.err, hint) {
			t.Errorf("%s: %+v, want %q", shell, got, hint)
		}
	}
	if got := fsmesh(t, "__complete", "se"); !strings.Contains(got.out, "serve") || !strings.Contains(got.out, "send") {
		t.Errorf("se is completed to %q", got.out)
	}
}
