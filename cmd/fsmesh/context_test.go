package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestContexts keeps contexts, and has commands use them.
func TestContexts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("the-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := startNode(t, "--token-file", token)
	startProgram(t, map[string]string{"FSMESH_TOKEN": "the-secret"}, "serve", "testdata/order.yaml", "--listen", "0", "--broker", url, "--mesh", "blue")
	env := map[string]string{"XDG_CONFIG_HOME": filepath.Join(dir, "config")}
	do := func(status int, args ...string) result {
		t.Helper()
		got := fsmeshWith(t.Context(), "", env, args...)
		if got.status != status {
			t.Fatalf("fsmesh %s: exit status %d, want %d; output:\n%s%s", strings.Join(args, " "), got.status, status, got.out, got.err)
		}
		return got
	}
	wants(t, "no context", do(exitNotFound, "context", "show").err, "no context is selected")
	wants(t, "unknown", do(exitNotFound, "ls", "--context", "blue").err, "there are none yet")
	do(exitDone, "context", "add", "blue", "--url", url, "--mesh", "blue", "--token-file", token)
	do(exitDone, "context", "add", "far", "--url", "nats://ada:hush@far.example:4222,nats://hush@far.example:4223")
	wants(t, "twice", do(exitUsage, "context", "add", "blue", "--url", url).err, "fsmesh context rm blue")
	wants(t, "a bad name", do(exitUsage, "context", "add", "../x", "--url", url).err, "is no name for a context")
	wants(t, "a bad URL", do(exitUsage, "context", "add", "x", "--url", "http://u:hush@h").err, "does not begin with nats://")
	wants(t, "no URL", do(exitUsage, "context", "add", "x").err, "needs --url")

	file := filepath.Join(dir, "config", "fsmesh", "contexts.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v; want 0600", info.Mode(), err)
	}
	ls := do(exitDone, "context", "ls").out
	wants(t, "ls", ls, "blue", "far", "nats://***@far.example:4222,nats://***@far.example:4223")
	for _, out := range []string{ls, do(exitDone, "context", "ls", "-o", "json").out, do(exitDone, "context", "show", "far", "-o", "yaml").out} {
		if strings.Contains(out, "hush") {
			t.Errorf("a secret is shown:\n%s", out)
		}
	}
	wants(t, "nearest", do(exitNotFound, "ls", "--context", "blu").err, `no context "blu"; did you mean "blue"?`)
	wants(t, "nearest", do(exitNotFound, "context", "select", "fra").err, `did you mean "far"?`)

	wants(t, "by the flag", do(exitDone, "runtimes", "--context", "blue").out, "Orders")
	env["FSMESH_CONTEXT"] = "blue"
	wants(t, "by the environment", do(exitDone, "runtimes").out, "Orders")
	delete(env, "FSMESH_CONTEXT")
	do(exitDone, "context", "select", "blue")
	wants(t, "selected", do(exitDone, "context", "show").out, "selected    yes", "mesh        blue")
	wants(t, "the selected one", do(exitDone, "runtimes").out, "Orders")
	wants(t, "a flag over the context", do(exitDone, "runtimes", "--mesh", "red").err, "no runtime is on the mesh")
	env["FSMESH_URL"] = "nats://127.0.0.1:1"
	got := do(exitFailed, "runtimes", "--context", "blue", "--timeout", "2s")
	wants(t, "the environment over the context", got.err, "the URL of the environment is used", "nobody answers there")
	wants(t, "a flag over the environment", do(exitDone, "runtimes", "--url", url).out, "Orders")
	delete(env, "FSMESH_URL")
	do(exitDone, "context", "rm", "blue")
	wants(t, "removed", do(exitNotFound, "context", "show", "blue").err, "there are far")

	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, "broken file", do(exitFailed, "runtimes").err, "is no file of contexts")
}
