package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hosted waits until a runtime is on the mesh.
func hosted(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains(at(t, url, exitDone, "runtimes").out, "Orders"); {
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

	wants(t, "history of one that ended", at(t, url, exitDone, "history", "o-1").out, "INSTANCE_CREATED", "Paid     Cancelled  completed")
	wants(t, "at a version", at(t, url, exitDone, "history", "o-1", "--at", "2").out, "state      Pending", "status     active", `data       {"amount":5,"customer":"Ada"}`)
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
	wants(t, "info", fsmesh(t, "store", "info", folder).out, "LOG", "Orders", "29    1      31")
	wants(t, "info as YAML", fsmesh(t, "store", "info", "jetstream:"+folder, "-o", "yaml").out, "live: 29", "ended: 1", "records: 31")
	got := fsmesh(t, "store", "verify", folder, "-o", "json")
	if got.status != exitDone {
		t.Fatalf("verify: %+v", got)
	}
	wants(t, "verify", got.out, `"ok": true`, `"instances": 30`, `"records": 31`, `"problems": []`)
	damage(t, folder)
	if got := fsmesh(t, "store", "verify", folder); got.status != exitFailed || !strings.Contains(got.out+got.err, "damaged") {
		t.Errorf("verify of a damaged store: %+v", got)
	}
	if got := fsmesh(t, "store", "verify", folder+"-not"); got.status != exitNotFound {
		t.Errorf("a store that is not there: %+v", got)
	}
	if got := fsmesh(t, "store", "info", "memory"); got.status != exitUsage {
		t.Errorf("memory: %+v", got)
	}
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
