package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// beShop makes the test binary be the program: it has to be killed.
const beShop = "WEBSHOP_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beShop) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A service is the program, in a process of its own.
type service struct {
	t       *testing.T
	c       *exec.Cmd
	address string
}

func start(t *testing.T, dir string) *service {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, c: exec.CommandContext(context.WithoutCancel(t.Context()), self, "-listen", "127.0.0.1:0",
		"-db", filepath.Join(dir, "shop.db"), "-store", "jetstream:"+filepath.Join(dir, "instances"))}
	s.c.Env = append(os.Environ(), beShop+"=1")
	s.c.Stderr = os.Stderr
	out, err := s.c.StdoutPipe()
	if err == nil {
		err = s.c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s.address = strings.TrimSpace(line)
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	return s
}

// end ends the program, if it runs.
func (s *service) end(by os.Signal) error {
	if s.c == nil {
		return nil
	}
	c := s.c
	s.c = nil
	if err := c.Process.Signal(by); err != nil {
		return err
	}
	return c.Wait()
}

func (s *service) ask(status int, method, path, body string) (o order, text string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.address+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	res, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var raw json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&raw); err != nil || res.StatusCode != status {
		s.t.Fatalf("%s %s: status %d, %v; want %d: %s", method, path, res.StatusCode, err, status, raw)
	}
	_ = json.Unmarshal(raw, &o) // an error has other keys
	return o, string(raw)
}

// states are those of the first orders.
func (s *service) states(n int) (out []string) {
	s.t.Helper()
	for i := range n {
		o, _ := s.ask(200, "GET", fmt.Sprintf("/%d", i+1), "")
		out = append(out, o.State)
	}
	return out
}

// Orders are in their state after a crash, after a restart, and after the store
// was lost, where the rows say what they were; and they go on from there.
func TestRestoredInTheirState(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	want := []string{"Draft", "Placed", "Paid", "Shipped", "Cancelled"}
	for _, events := range []string{"", "PLACE", "PLACE PAY", "PLACE PAY SHIP", "CANCEL"} {
		o, _ := s.ask(201, "POST", "", `{"customer": "Ada", "amount": 12.5}`)
		for _, e := range strings.Fields(events) {
			s.ask(200, "POST", fmt.Sprintf("/%d/%s", o.ID, e), "")
		}
	}
	same := func(when string, s *service) {
		t.Helper()
		if got := s.states(len(want)); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	same("at first", s)
	_ = s.end(syscall.SIGKILL) // says that it was killed

	s = start(t, dir)
	same("after a crash", s)
	if _, text := s.ask(409, "POST", "/1/SHIP", ""); !strings.Contains(text, "event_ignored") {
		t.Errorf("an event that is ignored: %s", text)
	}
	s.ask(410, "POST", "/4/PAY", "")
	s.ask(200, "POST", "/2/PAY", "")
	want[1] = "Paid"
	if err := s.end(syscall.SIGTERM); err != nil {
		t.Fatalf("ended with %v", err)
	}

	if err := os.RemoveAll(filepath.Join(dir, "instances")); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir)
	same("without the store", s)
	s.ask(200, "POST", "/2/SHIP", "")
	want[1] = "Shipped"
	same("after it went on", s)
	if err := s.end(syscall.SIGTERM); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestRefused(t *testing.T) {
	s := start(t, t.TempDir())
	s.ask(404, "GET", "/7", "")
	s.ask(404, "POST", "/7/PLACE", "")
	s.ask(404, "GET", "/x", "")
	for _, body := range []string{"", "{", `{"customer": ""}`, `{"customer": "Ada", "amount": -1}`, `{"customer": "Ada", "x": 1}`, `{"customer": "` + strings.Repeat("x", maxBody) + `"}`} {
		s.ask(400, "POST", "", body)
	}
}

// The commands of the README place an order.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	s, said, n := start(t, t.TempDir()), "", 0
	for line := range strings.Lines(string(readme)) {
		command, ok := strings.CutPrefix(line, "    curl ")
		if !ok {
			continue
		}
		n++
		command = strings.ReplaceAll(command, "http://127.0.0.1:8080/orders", s.address)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "curl -sS "+command).CombinedOutput()
		if said = string(out); err != nil {
			t.Fatalf("curl %s: %v\n%s", command, err, out)
		}
	}
	if n < 3 || !strings.Contains(said, "Placed") {
		t.Errorf("%d commands lead to:\n%s", n, said)
	}
}
