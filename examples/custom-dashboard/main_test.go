package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Nothing runs on. What lays out diagrams may need a moment to see that it is over.
func TestMain(m *testing.M) {
	status := m.Run()
	err := goleak.Find()
	for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); {
		err = goleak.Find()
	}
	if err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// The application runs as it stands: its own page is for everybody, the fleet
// below its prefix for staff only, and pages and API act there.
func TestMounted(t *testing.T) {
	const password = "for-the-test"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, l, password) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	ask := func(status int, password, method, path, kind, body string, headers ...string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		if password != "" {
			r.SetBasicAuth("ada", password)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != status {
			t.Fatalf("%s %s: status %d, %v; want %d:\n%s", method, path, res.StatusCode, err, status, b)
		}
		return string(b)
	}
	const fleet, form, object = "/staff/fleet/", "application/x-www-form-urlencoded", "application/json"
	if page := ask(200, "", "GET", "/", "", ""); !strings.Contains(page, "Welcome to the shop.") {
		t.Errorf("the shop's own page: %s", page)
	}
	for _, path := range []string{"", "api/instances", "metrics", "assets/fsmesh.css"} {
		ask(401, "", "GET", fleet+path, "", "")
		ask(401, "wrong", "GET", fleet+path, "", "")
	}
	ask(200, password, "GET", fleet+"readyz", "", "")
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(ask(200, password, "GET", fleet, "", ""), "Ticket"); {
		if time.Now().After(deadline) {
			t.Fatal("the overview does not show the machine")
		}
	}
	create := url.Values{"component": {"Support"}, "machine": {"Ticket"}, "key": {"ticket:1"}}.Encode()
	if page := ask(200, password, "POST", fleet+"create", form, create); !strings.Contains(page, "ticket:1") || !strings.Contains(page, "Open") {
		t.Errorf("after the creation: %s", page)
	}
	ask(403, password, "POST", fleet+"create", form, create, "Sec-Fetch-Site", "cross-site")
	if answer := ask(200, password, "POST", fleet+"api/components/Support/keys/ticket:1/events", object, `{"type":"ANSWER"}`); !strings.Contains(answer, `"state":"Answered"`) {
		t.Errorf("after the event: %s", answer)
	}
	if page := ask(200, password, "GET", fleet+"instances?machine=Ticket", "", ""); !strings.Contains(page, "Answered") || strings.Contains(page, `href="/`) {
		t.Errorf("the list lacks the state, or leads out of the prefix: %s", page)
	}
	readme(t, l.Addr().String(), password)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// readme runs the commands of the README that are for the running application.
func readme(t *testing.T, address, password string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(line, "    curl ")
		if !ok {
			continue
		}
		command = strings.NewReplacer("127.0.0.1:8080", address, "for-the-staff", password).Replace(command)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "curl -sS "+command).CombinedOutput()
		if said += string(out); err != nil {
			t.Fatalf("curl %s: %v\n%s", command, err, out)
		}
	}
	if !strings.Contains(said, "Welcome to the shop.") || !strings.Contains(said, `"currentState":"Answered"`) {
		t.Errorf("the commands of the README lead to:\n%s", said)
	}
}
