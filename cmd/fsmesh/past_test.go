package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// hosted waits until a runtime is on the mesh.
func hosted(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(at(t, url, exitDone, "runtimes").out, "Orders"); {
		if time.Now().After(deadline) {
			t.Fatal("no runtime is on the mesh after 15 s")
		}
	}
}

func TestLookBack(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	startProgram(t, map[string]string{"BROKER_URL": url}, "serve", "testdata/order.yaml", "--listen", "0", "--data", t.TempDir(), "--sync", "none")
	hosted(t, url)
	at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Ada"}`, "--id", "o-1")
	at(t, url, exitDone, "send", "o-1", "SUBMIT")
	at(t, url, exitDone, "send", "o-1", "PAY", `{"by": "card"}`)
	at(t, url, exitDone, "send", "o-1", "CANCEL")
	at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--key", "order:2")
	at(t, url, exitDone, "create", "Order", `{"amount": 7, "customer": "Eve"}`, "--key", "order:3")
	at(t, url, exitDone, "send", "--key", "order:3", "CANCEL")

	wants(t, "history of one that ended", at(t, url, exitDone, "history", "o-1").out, "INSTANCE_CREATED", "Paid     Cancelled  completed")
	wants(t, "at a version", at(t, url, exitDone, "history", "o-1", "--at", "2").out, "state      Pending", "status     active", `data       {"amount":5,"customer":"Ada"}`)
	wants(t, "the key of what ended", at(t, url, exitDone, "history", "--key", "order:3", "--at", "1").out, "key        order:3")
	wants(t, "the key, as JSON", at(t, url, exitDone, "history", "--key", "order:2", "--at", "1", "-o", "json").out, `"key": "order:2"`)
	wants(t, "at a time", at(t, url, exitDone, "history", "o-1", "--at", "2999-01-01T00:00:00Z", "-o", "yaml").out, "currentState: Cancelled", "version: 4")
	wants(t, "at a version, by key", at(t, url, exitDone, "history", "--key", "order:2", "--at", "1").out, "state      Draft")
	wants(t, "diff", at(t, url, exitDone, "history", "o-1", "--diff").out, `3        PAY               Paid       by        -       "card"`)
	wants(t, "diff as JSON", at(t, url, exitDone, "history", "o-1", "--diff", "--after", "2", "--limit", "1", "-o", "json").out, `"path": "by"`, `"added": true`)
	wants(t, "tree", at(t, url, exitDone, "history", "o-1", "--tree", "--after", "3").out, "o-1/4", "CANCEL")
	found := at(t, url, exitDone, "history", "--correlated", "customer=Ada").out
	wants(t, "correlated", found, "o-1", "Cancelled")
	if strings.Contains(found, "order:2") {
		t.Errorf("another customer's is among them:\n%s", found)
	}
	wants(t, "correlated by a number", at(t, url, exitDone, "history", "--correlated", "amount=5", "-o", "json").out, `"instanceId": "o-1"`, `"key": "order:2"`)
	at(t, url, exitNotFound, "history", "o-1", "--at", "9")
	at(t, url, exitUsage, "history", "o-1", "--at", "noon")
	at(t, url, exitUsage, "history", "o-1", "--at", "1", "--diff")
	at(t, url, exitUsage, "history", "--correlated", "customer")
	at(t, url, exitUsage, "history", "o-1", "--correlated", "customer=Ada")

	wants(t, "no dead letters", at(t, url, exitDone, "deadletters").out, "RECORD")
	wants(t, "no dead letters, as JSON", at(t, url, exitDone, "deadletters", "ls", "-o", "json").out, "[]")
	at(t, url, exitNotFound, "deadletters", "resend", "o-1/4", "0")
	at(t, url, exitUsage, "deadletters", "resend", "o-1", "0")
	at(t, url, exitUsage, "deadletters", "resend", "o-1/4", "x")
}

// What the first record of a history changed is not known where those before it are
// not kept.
func TestDiffWithoutTheFirstRecords(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	rt := attached(t, url, []byte("name: C\nstateMachines:\n  - name: M\n    initialState: A\n    states: [{name: A}]\n    transitions: [{from: A, to: A, event: GO}]\n"))
	in, err := rt.Create(t.Context(), "M", map[string]any{"n": -1, "name": "old"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: "GO", Payload: map[string]any{"n": i}}); err != nil {
			t.Fatal(err)
		}
	}
	got := at(t, url, exitDone, "history", in.ID(), "--diff")
	wants(t, "what is not known", got.err, "are not kept")
	wants(t, "the last change", got.out, "48", "49")
	if strings.Contains(got.out, "old") {
		t.Errorf("something that was there before is shown as a change:\n%s", got.out)
	}
}

// A store is looked into when its program has stopped; one that was damaged is
// found out.
func TestStoreInfoAndVerify(t *testing.T) {
	t.Parallel()
	url, folder := startNode(t), t.TempDir()
	p := startProgram(t, map[string]string{"BROKER_URL": url}, "serve", "testdata/order.yaml", "--listen", "0", "--data", folder, "--sync", "none")
	hosted(t, url)
	for i := range 30 {
		at(t, url, exitDone, "create", "Order", fmt.Sprintf(`{"amount": %d, "customer": "Ada"}`, i), "--id", fmt.Sprint("o-", i), "--component", "Orders")
	}
	at(t, url, exitDone, "send", "o-7", "CANCEL")
	if got := fsmesh(t, "store", "info", folder); got.status != exitFailed || !strings.Contains(got.err, "stop the fsmesh that has it first") {
		t.Errorf("a store that is in use: %+v", got)
	}
	if status := p.end(); status != exitDone {
		t.Fatalf("serve ended with %d: %s", status, p.stderr)
	}
	wants(t, "info", fsmesh(t, "store", "info", folder).out, "LOG", "Orders", "29    1      31", "positions 1 to ", "those from 1 on are needed, the first of them by Orders")
	wants(t, "info as YAML", fsmesh(t, "store", "info", "jetstream:"+folder, "-o", "yaml").out, "live: 29", "ended: 1", "records: 31")
	got := fsmesh(t, "store", "verify", folder, "-o", "json")
	if got.status != exitDone {
		t.Fatalf("verify: %+v", got)
	}
	wants(t, "verify", got.out, `"ok": true`, `"instances": 30`, `"records": 31`, `"problems": []`)
	wants(t, "verify, in words", fsmesh(t, "store", "verify", folder).out, "1 log, ", "0 problems")
	damage(t, folder)
	before := tree(t, folder)
	if got := fsmesh(t, "store", "verify", folder); got.status != exitFailed || !strings.Contains(got.out+got.err, "damaged") {
		t.Errorf("verify of a damaged store: %+v", got)
	}
	if after := tree(t, folder); !maps.Equal(before, after) {
		t.Errorf("verify has changed a damaged store: it was\n%v\nand is\n%v", before, after)
	}
	if got := fsmesh(t, "store", "verify", folder+"-not"); got.status != exitNotFound {
		t.Errorf("a store that is not there: %+v", got)
	}
	empty := t.TempDir()
	if got := fsmesh(t, "store", "info", empty); got.status != exitNotFound {
		t.Errorf("a folder without a store: %+v", got)
	}
	if made, err := os.ReadDir(empty); err != nil || len(made) > 0 {
		t.Errorf("looking into a folder without a store made %v there, %v", made, err)
	}
	if got := fsmesh(t, "store", "info", "memory"); got.status != exitUsage {
		t.Errorf("memory: %+v", got)
	}
}

// Nothing is made or changed where a store is looked for, whether there is one or
// not, and whether its process ended well or was killed.
func TestStoreIsOnlyLookedAt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	killed := t.TempDir()
	v := newVictim(t, killed)
	v.start()
	v.ready(ctx)
	if got := fsmesh(t, "store", "info", killed); got.status != exitFailed || !strings.Contains(got.err, "is used by another process; stop the fsmesh that has it first") {
		t.Errorf("a store that is in use: %+v", got)
	}
	v.kill()
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "letter.txt"), []byte("Dear Ada"), 0o600); err != nil {
		t.Fatal(err)
	}
	node := t.TempDir()
	url := startProgram(t, nil, "node", "--listen", "127.0.0.1:0", "--data", node).address
	for _, tt := range []struct {
		name, folder, store string
		status              int
		want                string
	}{
		{"killed", killed, killed, exitDone, "Orders"},
		{"an empty folder", t.TempDir(), "", exitNotFound, "there is no store"},
		{"a folder with something else", other, other, exitNotFound, "has no stream FSM_LOG in a folder jetstream; nothing was made there"},
		{"a file", filepath.Join(other, "letter.txt"), filepath.Join(other, "letter.txt"), exitNotFound, "there is no store"},
		{"nothing", other, filepath.Join(other, "not"), exitNotFound, "there is no store"},
		{"a node without a store", node, "jetstream:" + url, exitNotFound, "there is no stream FSM_LOG"},
	} {
		if tt.store == "" {
			tt.store = tt.folder
		}
		before := tree(t, tt.folder)
		for _, command := range []string{"info", "verify"} {
			got := fsmesh(t, "store", command, tt.store)
			if got.status != tt.status || command == "info" && !strings.Contains(got.out+got.err, tt.want) {
				t.Errorf("store %s of %s: %+v; want %d and %q", command, tt.name, got, tt.status, tt.want)
			}
		}
		if after := tree(t, tt.folder); !maps.Equal(before, after) {
			t.Errorf("%s: it was\n%v\nand is\n%v", tt.name, before, after)
		}
	}
}

// tree is what is below a folder: the time of the last change and the content of
// each file, by name.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		out[path] = fmt.Sprint(i.Mode(), i.ModTime())
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			out[path] += fmt.Sprintf(" %d bytes, %x", len(b), sha256.Sum256(b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// damage flips a byte in the middle of the largest file that messages are in.
func damage(t *testing.T, folder string) {
	t.Helper()
	var largest string
	size := int64(0)
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".blk") || !strings.Contains(path, "FSM_LOG") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil || largest == "" {
		t.Fatalf("no file with messages in %s: %v", folder, err)
	}
	b, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0xff
	if err := os.WriteFile(largest, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
