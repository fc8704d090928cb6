package examples

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNewcomer goes the way of somebody who has Go, git and make, and nothing else:
// clone, make run, open the page, create an order, send it an event, see it.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	s := newStranger(t)
	run := s.in(s.clone, "make", "run")
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a terminal does: Ctrl-C is for all of them
	var said strings.Builder
	run.Stderr = &said
	stdout, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	address := ""
	for lines := bufio.NewScanner(stdout); address == "" && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "http://") {
			address, _, _ = strings.Cut(lines.Text(), " ")
		}
	}
	if address == "" {
		t.Fatalf("make run prints no address: %v; it said:\n%s", run.Wait(), said.String())
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-run.Process.Pid, syscall.SIGINT); err != nil {
			t.Error(err)
		}
		// make itself is ended by the signal, which is no matter of ours.
		if err := run.Wait(); !strings.Contains(said.String(), "stopping") || strings.Contains(said.String(), "ERROR") {
			t.Errorf("make run ended with %v; it said:\n%s", err, said.String())
		}
	})

	b := &browser{t: t, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}}
	b.open(address, "Overview", "Storefront", "Order", "Couriers")
	b.open(address+"machine?component=Shop&machine=Order", "State diagram of Order", "PaymentPending")
	form := b.open(address+"create?component=Shop&machine=Order", "Order number")
	if !strings.Contains(form, `name="data"`) || !strings.Contains(form, `name="key"`) {
		t.Fatalf("the form lacks a field:\n%s", form)
	}
	order := b.submit(address+"create", "Order order:ORD-5551 is created in Draft", "component", "Shop", "machine", "Order", "key", "order:ORD-5551",
		"data", `{"orderId": "ORD-5551", "customer": "Ada", "amount": 12.5}`)
	b.submit(address+"instance", "went to PaymentPending", "id", order.Get("id"), "component", "Shop", "event", "SUBMIT", "payload", "{}")
	b.open(address+"instances?q=ORD-5551", "order:ORD-5551")
}

// A stranger has a home with a clone in it, and nothing else.
type stranger struct {
	home, clone string
	env         []string
}

func newStranger(t *testing.T) *stranger {
	t.Helper()
	s := &stranger{home: t.TempDir()}
	s.clone, s.env = filepath.Join(s.home, "fsmesh"), bareEnvironment(t, s.home)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.in(s.home, "git", "clone", "--quiet", root, s.clone).CombinedOutput(); err != nil {
		t.Fatalf("clone: %v\n%s", err, out)
	}
	return s
}

// in is a command, in a folder.
func (s *stranger) in(dir, name string, args ...string) *exec.Cmd {
	// Not a test's context: what is started is told to end, and has to do so.
	c := exec.CommandContext(context.Background(), name, args...)
	c.Dir, c.Env = dir, s.env
	c.Path = filepath.Join(s.home, "bin", name)
	return c
}

// bareEnvironment is a home with nothing in it, and a path with Go, and the tools
// that a clone and its Makefile name. What Go has downloaded and built is shared:
// it is the same for everybody.
func bareEnvironment(t *testing.T, home string) []string {
	t.Helper()
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"go", "git", "make", "bash", "sh"} {
		path, err := exec.LookPath(tool)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, tool))
		}
		if err != nil {
			t.Fatalf("a newcomer needs %s: %v", tool, err)
		}
	}
	env := []string{"HOME=" + home, "PATH=" + bin, "PORT=0", "GOFLAGS=", "GOTOOLCHAIN=local"}
	for _, name := range []string{"GOMODCACHE", "GOCACHE", "GOPROXY"} {
		out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(out)))
	}
	return env
}

// A browser without scripts.
type browser struct {
	t      *testing.T
	client http.Client
}

var tags = regexp.MustCompile(`<[^>]*>`)

// read returns a page, and which of the words a reader does not see on it.
func (b *browser) read(res *http.Response, err error, words ...string) (page, lacks string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: status %d, %v:\n%s", res.Request.URL, res.StatusCode, err, body)
	}
	text := strings.Join(strings.Fields(tags.ReplaceAllString(string(body), " ")), " ")
	for _, w := range words {
		if !strings.Contains(text, w) {
			return text, w
		}
	}
	return string(body), ""
}

// open asks for a page until it has the words: the shop has just begun.
func (b *browser) open(address string, words ...string) string {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		res, err := b.client.Get(address)
		page, lacks := b.read(res, err, words...)
		if lacks == "" {
			return page
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s lacks %q:\n%.3000s", address, lacks, page)
		}
	}
}

// submit sends a form, and returns the address of the page that it leads to.
func (b *browser) submit(address, want string, pairs ...string) url.Values {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	res, err := b.client.PostForm(address, form)
	if page, lacks := b.read(res, err, want); lacks != "" {
		b.t.Fatalf("the page after the post to %s lacks %q:\n%.3000s", address, lacks, page)
	}
	return res.Request.URL.Query()
}

// TestReadmeStandalone runs the commands of the README for several processes as a
// stranger does, in the clone, after make build, with ports that are free.
func TestReadmeStandalone(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "### Run it standalone")
	section, _, _ = strings.Cut(section, "\n### ")
	var block string
	for _, part := range strings.Split(section, "```sh\n")[1:] {
		commands, _, _ := strings.Cut(part, "```")
		block += commands
	}
	_, further, found := strings.Cut(string(readme), "Further commands against a mesh:\n\n")
	further, _, closed := strings.Cut(further, "\n\n")
	if !found || !closed {
		t.Fatal("the README has no further commands against a mesh")
	}
	who := newStranger(t)
	if out, err := who.in(who.clone, "make", "build").CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	s := &shell{t: t, dir: who.home, at: who.clone, bin: filepath.Join(who.clone, "bin"), ports: map[string]string{}}
	s.env = append(who.env, "PATH="+s.bin+":"+filepath.Join(who.home, "bin"), "FSMESH_URL=nats://"+s.free("127.0.0.1:4222"), "PORT=")
	shown := map[string]string{"get": "AwaitingPayment", "ls": "Open", "history": "PLACE", "send": "AwaitingPayment"}
	n := 0
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(strings.TrimPrefix(line, "fsmesh "), "#")
		n++
		if background, ok := strings.CutSuffix(strings.TrimSpace(command), "&"); ok {
			s.start(background)
			continue
		}
		word, _, _ := strings.Cut(command, " ")
		s.until(strings.TrimSpace(command), shown[word])
	}
	if n < 9 {
		t.Errorf("only %d commands were found", n)
	}
	n = 0
	for line := range strings.Lines(further) {
		command, ok := strings.CutPrefix(line, "    fsmesh ")
		if !ok {
			t.Errorf("%q is no command", line)
		}
		command, _, _ = strings.Cut(command, "#")
		n++
		if command = strings.TrimSpace(command); command != "watch" { // which goes on until it is told to end
			s.until(command, "")
		}
	}
	if n < 6 {
		t.Errorf("only %d further commands were found", n)
	}
	s.shows("http://"+s.free("127.0.0.1:4000")+"/instances?ended=too", []string{"order:ORD-1", "Invoice"})
	for deadline := time.Now().Add(patience); ; {
		out, err := s.command(t.Context(), "history --correlated orderId=ORD-1").CombinedOutput()
		if err == nil && strings.Contains(string(out), "Invoice") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the correlated history: %v\n%s", err, out)
		}
	}
}
