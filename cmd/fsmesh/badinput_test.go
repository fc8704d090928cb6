package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each row is one kind of bad input to a command against a mesh. The answer is one
// line that says what and where, in good time, and nothing of it reaches an
// instance.
func TestBadInput(t *testing.T) {
	t.Parallel()
	url := startOrders(t)
	at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--key", "order:1")
	at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--key", "order:2")
	at(t, url, exitDone, "send", "--key", "order:2", "CANCEL")
	send := func(payload string) []string { return []string{"send", "--key", "order:1", "SUBMIT", payload} }
	create := func(data string) []string { return []string{"create", "Order", data} }
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"empty payload", send(""), exitUsage, "an argument is empty"},
		{"not JSON", send("amount=5"), exitUsage, "the payload is not a JSON object"},
		{"trailing garbage", send(`{"a":1} x`), exitUsage, "text after it"},
		{"array", send(`[1]`), exitUsage, "it is a list"},
		{"null", send(`null`), exitUsage, "it is null"},
		{"duplicate key", send(`{"a":1,"a":2}`), exitUsage, `"a" is there twice`},
		{"2 MB payload", send(`{"a":"` + strings.Repeat("x", 2<<20) + `"}`), exitFailed, "data over the limit"},
		{"2 MB data", create(`{"amount":1,"customer":"` + strings.Repeat("x", 2<<20) + `"}`), exitFailed, "data over the limit"},
		{"depth 10,000", send(strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)), exitUsage, "deep"},
		{"NaN", send(`{"a":NaN}`), exitUsage, "not a JSON object"},
		{"infinity", send(`{"a":1e999}`), exitUsage, "1e999"},
		{"invalid UTF-8 in a payload", send("{\"a\":\"\xff\"}"), exitUsage, "UTF-8"},
		{"invalid UTF-8 in an event", []string{"send", "--key", "order:1", "SUB\xffMIT"}, exitUsage, "UTF-8"},
		{"invalid UTF-8 in a key", []string{"get", "--key", "order:\xff"}, exitUsage, "UTF-8"},
		{"invalid UTF-8 in an id", []string{"get", "\xff"}, exitUsage, "UTF-8"},
		{"2 MB id", []string{"get", strings.Repeat("x", 2<<20)}, exitUsage, "too long"},
		{"2 MB key", []string{"get", "--key", strings.Repeat("x", 2<<20)}, exitUsage, "too long"},
		{"2 MB event", []string{"send", "--key", "order:1", strings.Repeat("X", 2<<20)}, exitUsage, "too long"},
		{"2 MB machine", []string{"create", strings.Repeat("x", 2<<20)}, exitUsage, "too long"},
		{"empty id", []string{"get", ""}, exitUsage, "empty"},
		{"empty event", []string{"send", "--key", "order:1", ""}, exitUsage, "empty"},
		{"empty key", []string{"create", "Order", `{"amount":5,"customer":"Bob"}`, "--key", ""}, exitUsage, "empty"},
		{"unknown event", []string{"send", "--key", "order:1", "NOPE"}, exitRefused, "accepted now: SUBMIT, CANCEL"},
		{"event in wrong case", []string{"send", "--key", "order:1", "submit"}, exitRefused, `accepted now: SUBMIT, CANCEL; did you mean "SUBMIT"?`},
		{"broadcast of an unknown event", []string{"broadcast", "Order", "ZEBRA"}, exitRefused, `no event "ZEBRA", and nobody took it; there are `},
		{"broadcast of an event in wrong case", []string{"broadcast", "Order", "pay", "--component", "Orders"}, exitRefused, `did you mean "PAY"?`},
		{"ended instance", []string{"send", "--key", "order:2", "SUBMIT"}, exitRefused, "ended"},
		{"key in use", []string{"create", "Order", `{"amount":5,"customer":"Bob"}`, "--key", "order:1"}, exitRefused, `"order:1" belongs to`},
		{"data against the schema, all faults", create(`{"amount":-1,"customer":"B"}`), exitRefused, "customer"},
		{"data that is not there", []string{"create", "Order"}, exitRefused, "amount"},
		{"state in wrong case", []string{"create", "Order", `{"amount":5,"customer":"Bob"}`, "--state", "draft"}, exitNotFound, `did you mean "Draft"?`},
		{"final state", []string{"create", "Order", `{"amount":5,"customer":"Bob"}`, "--state", "Cancelled"}, exitRefused, "final"},
		{"broadcast to a state in wrong case", []string{"broadcast", "Order", "SUBMIT", "--state", "draft"}, exitNotFound, `did you mean "Draft"?`},
		{"version below 0", []string{"send", "--key", "order:1", "SUBMIT", "--if-version", "-1"}, exitUsage, "if-version"},
		{"limit -1", []string{"ls", "--limit", "-1"}, exitUsage, "--limit -1 is out of range"},
		{"limit in words", []string{"ls", "--limit", "ten"}, exitUsage, `"ten"`},
		{"filter without a value", []string{"ls", "--where", "amount"}, exitUsage, "is not NAME=JSON"},
		{"filter with a value that is no JSON", []string{"ls", "--where", "amount=x"}, exitUsage, "is not NAME=JSON"},
		{"machine of a list in wrong case", []string{"ls", "--machine", "order"}, exitNotFound, `did you mean "Order"?`},
		{"state of a list in wrong case", []string{"ls", "--machine", "Order", "--state", "draft"}, exitNotFound, `did you mean "Draft"?`},
		{"component of a list in wrong case", []string{"ls", "--component", "orders"}, exitNotFound, `did you mean "Orders"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got := fsmeshWith(t.Context(), "", map[string]string{"FSMESH_URL": url}, tt.args...)
			if got.status != tt.status || !strings.Contains(got.err, tt.want) {
				t.Errorf("exit status %d, %.300q; want %d and %q", got.status, got.err, tt.status, tt.want)
			}
			if len(got.err) > 2000 || strings.Count(got.err, "\n") != 1 {
				t.Errorf("it says %d bytes on %d lines", len(got.err), strings.Count(got.err, "\n"))
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Cleanup(func() {
		if got := fsmeshWith(t.Context(), "", map[string]string{"FSMESH_URL": url}, "get", "--key", "order:1"); strings.Contains(got.out, "Pending") {
			t.Errorf("something got through: %s", got.out)
		}
	})
}

// Where a bound is no bound, all is listed: 0 says so, and 10^9 is more than there is.
func TestWideLimits(t *testing.T) {
	t.Parallel()
	url := startOrders(t)
	at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--key", "order:1")
	for _, limit := range []string{"0", "1000000000"} {
		wants(t, "ls --limit "+limit, at(t, url, exitDone, "ls", "--limit", limit).out, "order:1")
		wants(t, "history --limit "+limit, at(t, url, exitDone, "history", "--key", "order:1", "--limit", limit).out, "INSTANCE_CREATED")
	}
}

// Each row is an address that leads to no mesh. It is said what is wrong with it, in
// good time, and a password in it is not repeated.
func TestBadURLs(t *testing.T) {
	t.Parallel()
	plainListener := silentListener(t)
	for _, tt := range []struct {
		name, url string
		status    int
		want      string
	}{
		{"without a scheme", "127.0.0.1:4222", exitUsage, "127.0.0.1:4222 is not a mesh URL; did you mean nats://127.0.0.1:4222?"},
		{"unknown scheme", "gopher://u:s3cr3t@host", exitUsage, "not a mesh URL"},
		{"with spaces", "nats://u:s3cr3t@ho st:4222", exitUsage, "not a mesh URL"},
		{"port out of range", "nats://u:s3cr3t@127.0.0.1:99999", exitUsage, "not a mesh URL"},
		{"port in words", "nats://u:s3cr3t@127.0.0.1:abc", exitUsage, "not a mesh URL"},
		{"a bad one in a list", "nats://127.0.0.1:1,nats://u:s3cr3t@ho st", exitUsage, "nats://127.0.0.1:1,nats://***"},
		{"host down", "nats://u:s3cr3t@127.0.0.1:1", exitFailed, "nobody answers there"},
		{"no such host", "nats://u:s3cr3t@nowhere.invalid:4222", exitFailed, "nobody answers there"},
		{"somebody who says nothing", "nats://u:s3cr3t@" + plainListener, exitFailed, "nobody answers there"},
		{"TLS, and the other side has none", "tls://u:s3cr3t@" + strings.TrimPrefix(startNode(t), "nats://"), exitFailed, "connect to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got := fsmesh(t, "ls", "--url", tt.url)
			if got.status != tt.status || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("exit status %d, %q; want %d and %q", got.status, got.err, tt.status, tt.want)
			}
			if strings.Contains(got.err, "s3cr3t") {
				t.Errorf("the password is repeated: %q", got.err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// silentListener takes connections and says nothing.
func silentListener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// Each row is a folder that nothing can be kept in.
func TestBadFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(dir, "used")
	startProgram(t, map[string]string{"FSMESH_STORE": ""}, "serve", "testdata/order.yaml", "--listen", "0", "--data", used)
	for name, tt := range map[string]struct {
		data, want string
		status     int
	}{
		"in use":       {used, "give this one a folder of its own with --data", exitFailed},
		"a file":       {file, "not a directory; give another with --data", exitUsage},
		"below a file": {filepath.Join(file, "data"), "not a directory; give another with --data", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := fsmeshWith(t.Context(), "", map[string]string{"FSMESH_STORE": ""}, "serve", "testdata/order.yaml", "--listen", "0", "--data", tt.data)
			if got.status != tt.status || !strings.Contains(got.err, tt.want) {
				t.Errorf("exit status %d, %q; want %d and %q", got.status, got.err, tt.status, tt.want)
			}
		})
	}
}

// A folder in which nothing may be written is said to be that, and is left as it is:
// an empty one, and one that has a store.
func TestReadOnlyFolder(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("with a store ", stored), func(t *testing.T) {
			disk := smallDisk(t)
			data := filepath.Join(disk, "data")
			serve := []string{"serve", "testdata/order.yaml", "--listen", "0", "--data", data}
			if stored {
				startProgram(t, map[string]string{"FSMESH_STORE": ""}, serve...).end()
			}
			readOnly(t, disk)
			got := fsmeshWith(t.Context(), "", map[string]string{"FSMESH_STORE": ""}, serve...)
			if got.status != exitFailed || !strings.Contains(got.err, data) || !strings.Contains(got.err, "read-only file system") && !strings.Contains(got.err, "permission denied") {
				t.Errorf("exit status %d, %q; want 1, the folder, and that nothing can be written there", got.status, got.err)
			}
		})
	}
}

// readOnly makes a disk of the test read-only, or, for those who may not, its folder.
func readOnly(t *testing.T, disk string) {
	t.Helper()
	if os.Getuid() != 0 {
		if err := os.Chmod(disk, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(disk, 0o700) })
		return
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", disk).CombinedOutput(); err != nil {
		t.Fatalf("make %s read-only: %v: %s", disk, err, out)
	}
}
