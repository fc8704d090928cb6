package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// beProgram makes the test binary be the program, for what only a process of
// its own can show: signals, closed pipes, other users.
const beProgram = "FSMESH_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beProgram) != "" {
		os.Exit(beTheProgram())
	}
	// The start of what lays out diagrams cannot be broken off: pages that are closed
	// meanwhile do not wait for it.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/fsmesh/fsmesh/ui.(*drawings).begin.func1"),
		goleak.IgnoreAnyFunction("github.com/fsmesh/fsmesh/ui.(*drawings).close.func1"))
}

// A result is what one run of the program gives.
type result struct {
	status   int
	out, err string
}

// fsmesh runs the program in this process.
func fsmesh(t *testing.T, args ...string) result {
	t.Helper()
	return fsmeshWith(t.Context(), "", nil, args...)
}

func fsmeshWith(ctx context.Context, stdin string, env map[string]string, args ...string) result {
	var out, err bytes.Buffer
	status := run(ctx, args, strings.NewReader(stdin), &out, &err, inMemory(env))
	return result{status, out.String(), err.String()}
}

// inMemory is an environment in which nothing is left behind in the user's data
// folder.
func inMemory(env map[string]string) func(string) string {
	return func(k string) string {
		if v, ok := env[k]; ok || k != "FSMESH_STORE" {
			return v
		}
		return "memory"
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		args   string
		status int
		want   string // on one line of the standard error
	}{
		{"unknown command, with the nearest", "valdate x.yaml", exitUsage, `no command "valdate"; did you mean "validate"?`},
		{"unknown command, far from all", "frobnicate", exitUsage, `no command "frobnicate"; there are`},
		{"unknown flag, with the nearest", "validate --strct testdata/order.yaml", exitUsage, `no flag --strct; did you mean --strict?`},
		{"unknown flag, far from all", "validate --zzzzzz testdata/order.yaml", exitUsage, `unknown flag: --zzzzzz (fsmesh validate --help lists what is allowed)`},
		{"unknown short flag", "validate -z", exitUsage, `'z'`},
		{"unknown output, with the nearest", "validate -o jsn testdata/order.yaml", exitUsage, `did you mean json? Allowed: table, json, yaml`},
		{"unknown output", "version -o pdf", exitUsage, `allowed: table, json, yaml`},
		{"unknown diagram form", "diagram testdata/order.yaml -o png", exitUsage, `allowed: svg, mermaid, dot`},
		{"help of an unknown command", "help valdat", exitUsage, `no command "valdat"; did you mean "validate"?`},
		{"help of an unknown word below one", "help context lst", exitUsage, `no command "lst"; did you mean "ls"?`},
		{"completion for an unknown shell", "completion bsh", exitUsage, `no command "bsh"; did you mean "bash"? (fsmesh completion --help`},
		{"unknown command of context", "context shw", exitUsage, `no command "shw"; did you mean "show"?`},
		{"run without the data that is required", "run testdata/order.yaml Order", exitUsage, `Order needs data, and there is no --data: amount:`},
		{"missing argument", "simulate testdata/order.yaml", exitUsage, `fsmesh simulate needs more arguments: fsmesh simulate FILE MACHINE EVENT…`},
		{"one argument too many", "schema x", exitUsage, `takes no argument "x"`},
		{"flags that contradict", "validate --strict --lenient testdata/order.yaml", exitUsage, `--strict and --lenient contradict each other`},
		{"missing file", "validate nowhere.yaml", exitNotFound, `no file "nowhere.yaml"`},
		{"missing file to serve", "serve nowhere.yaml", exitNotFound, `no file "nowhere.yaml"`},
		{"folder for file", "validate testdata", exitFailed, `"testdata" is a folder; give the files in it, say testdata/*.yaml`},
		{"unknown machine, with the nearest", "simulate testdata/order.yaml order SUBMIT", exitNotFound, `no machine "order" in testdata/order.yaml; did you mean "Order"?`},
		{"unknown machine", "diagram testdata/order.yaml Zebra", exitNotFound, `no machine "Zebra" in testdata/order.yaml; it has Order`},
		{"broken definition", "simulate testdata/broken.yaml Order PAY", exitFailed, `testdata/broken.yaml can't be used: 2 errors`},
		{"event without a name", "simulate testdata/order.yaml Order ={}", exitUsage, `event "={}" has no name`},
		{"payload that is no JSON", "simulate testdata/order.yaml Order PAY={x", exitUsage, `the payload of event "PAY" is not a JSON object`},
		{"payload that is a list", "simulate testdata/order.yaml Order PAY=[]", exitUsage, `it is a list`},
		{"payload with text after it", "simulate testdata/order.yaml Order PAY={}x", exitUsage, `the payload of event "PAY" is not a JSON object`},
		{"data against the schema, all faults", `run testdata/order.yaml Order --data {"amount":-1}`, exitUsage, `customer:`},
		{"unknown state, with the nearest", "run testdata/order.yaml Order --state paid", exitNotFound, `no state "paid"; did you mean "Paid"?`},
		{"port out of range", "serve testdata/order.yaml --listen 127.0.0.1:99999", exitUsage, `port 99999 is out of range`},
		{"negative port", "serve testdata/order.yaml --listen=-1", exitUsage, `port -1 is out of range`},
		{"port that is no number", "demo --listen abc", exitUsage, `port "abc" is not a number`},
		{"address without a port", "demo --listen [::1]", exitUsage, `is not an address; give HOST:PORT`},
		{"beyond loopback without --insecure", "demo --listen 0.0.0.0:0", exitUsage, `set a password or a token, or listen on 127.0.0.1: FSMESH_PASSWORD or --password-file, FSMESH_TOKEN or --token-file; or say --insecure`},
		{"all interfaces without --insecure", "demo --listen :0", exitUsage, `set a password or a token, or listen on 127.0.0.1: FSMESH_PASSWORD or --password-file, FSMESH_TOKEN or --token-file; or say --insecure`},
		{"a name without --insecure", "demo --listen example.com:3000", exitUsage, `set a password or a token, or listen on 127.0.0.1: FSMESH_PASSWORD or --password-file, FSMESH_TOKEN or --token-file; or say --insecure`},
		{"mode of sync", "serve testdata/order.yaml --sync maybe", exitUsage, `--sync "maybe" is not known; there are always, none, interval (which is 1s), and any time such as 250ms or 1s`},
		{"init where no folder can be", "init /dev/null/x", exitUsage, `into the folder "/dev/null/x"`},
		{"init below what is no folder", "init testdata/order.yaml/x", exitUsage, `into the folder "testdata/order.yaml/x"`},
		{"data where no folder can be", "serve testdata/order.yaml --listen 127.0.0.1:0 --data /dev/null/x", exitUsage, `kept in the folder "/dev/null/x": `},
		{"store with a ~ that no shell has seen", "serve testdata/order.yaml --listen 127.0.0.1:0 --store jetstream:~/x", exitUsage, "give the folder from the root on"},
		{"data with a ~ that no shell has seen", "serve testdata/order.yaml --listen 127.0.0.1:0 --data ~/x", exitUsage, "give the folder from the root on"},
		{"rate of 0", "demo --rate 0", exitUsage, `--rate 0 is out of range`},
		{"no instances", "demo --instances 0", exitUsage, `--instances 0 is out of range`},
		{"seed that is no number", "demo --seed x", exitUsage, `--seed "x" is not a whole number`},
		{"time without a unit", "serve testdata/order.yaml --keep-ended 5", exitUsage, `--keep-ended "5" is not a time, such as 250ms, 5s, 10m or 24h`},
		{"time of a machine without a unit", "serve testdata/order.yaml --keep-ended Order=5", exitUsage, `--keep-ended "Order=5" is not a time, such as 250ms, 5s, 10m or 24h, or that of a machine, such as Order=24h`},
		{"time of no machine", "serve testdata/order.yaml --keep-records =5m", exitUsage, `--keep-records "=5m" is not a time`},
		{"negative time", "demo --keep-ended -5m", exitUsage, `--keep-ended "-5m" is not a time`},
		{"time of an unknown machine, with the nearest", "serve testdata/order.yaml --keep-ended order=5m", exitUsage, `--keep-ended names the machine "order", which is not served; did you mean "Order"?`},
		{"time of an unknown machine", "demo --keep-records Zebra=5m", exitUsage, `--keep-records names the machine "Zebra", which is not served; there are `},
		{"host without a port", "serve testdata/order.yaml --listen 127.0.0.1", exitUsage, `--listen "127.0.0.1" is not an address; give HOST:PORT`},
		{"URL without a scheme", "serve testdata/order.yaml --listen 0 --broker 127.0.0.1:4222", exitUsage, `did you mean nats://127.0.0.1:4222?`},
		{"no broker", "bridge redis", exitUsage, `no command "redis"; there is dlq`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := fsmesh(t, strings.Fields(tt.args)...)
			if got.status != tt.status {
				t.Errorf("exit status %d, want %d", got.status, tt.status)
			}
			if !strings.Contains(got.err, tt.want) {
				t.Errorf("standard error:\n%s\nwant in it:\n%s", got.err, tt.want)
			}
			last := strings.Split(strings.TrimSuffix(got.err, "\n"), "\n")
			if !strings.HasPrefix(last[len(last)-1], "fsmesh: ") || strings.Contains(got.err, "Usage:") {
				t.Errorf("want one line that begins with the program's name, got:\n%s", got.err)
			}
			if got.out != "" {
				t.Errorf("standard output: %q, want nothing", got.out)
			}
		})
	}
}

func TestPortInTheEnvironment(t *testing.T) {
	t.Parallel()
	got := fsmeshWith(t.Context(), "", map[string]string{"PORT": "abc"}, "demo")
	if got.status != exitUsage || !strings.Contains(got.err, `PORT in the environment: port "abc" is not a number`) {
		t.Errorf("got %+v", got)
	}
}

// Five mistakes in one file are five lines, each with its place and a hint.
func TestValidateTellsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	got := fsmesh(t, "validate", "testdata/five.yaml")
	want := `testdata/five.yaml:4:19: initial state "Drafty" is not among the states of machine "Order"; did you mean "Draft"?
testdata/five.yaml:7:22: unknown key "typ"; did you mean type?
testdata/five.yaml:8:28: unknown type "finale"; did you mean final?
testdata/five.yaml:10:27: state "Payd" is not among the states of machine "Order"; did you mean "Paid"?
testdata/five.yaml:11:71: timeoutMs is negative: -5
testdata/five.yaml: not valid: 5 errors
`
	if got.out != want || got.status != exitFailed {
		t.Errorf("exit status %d, output:\n%s\nwant %d and:\n%s", got.status, got.out, exitFailed, want)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, args string
		status     int
		want       []string
	}{
		{"valid", "testdata/order.yaml", exitDone, []string{"testdata/order.yaml: valid: component Orders, 1 machine\n"}},
		{"errors, all of them", "testdata/broken.yaml", exitFailed, []string{"testdata/broken.yaml:7:", "testdata/broken.yaml:8:", "testdata/broken.yaml: not valid: "}},
		{"warnings", "testdata/warned.yaml", exitDone, []string{"warning: ", "testdata/warned.yaml: valid: component Warned, 1 machine, "}},
		{"warnings, strict", "--strict testdata/warned.yaml", exitFailed, []string{"not valid"}},
		{"several files, one broken", "testdata/order.yaml testdata/broken.yaml", exitFailed, []string{"order.yaml: valid", "broken.yaml: not valid"}},
		{"the demo's", "--strict ../../internal/demo/shop.yaml ../../internal/demo/fulfilment.yaml", exitDone, []string{"component Shop, 4 machines\n", "component Fulfilment, 3 machines\n"}},
		{"the example's", "--strict ../../examples/embed/order.yaml", exitDone, []string{"valid"}},
		{"as JSON", "-o json testdata/broken.yaml", exitFailed, []string{`"valid": false`, `"line": 7`, `"severity": "error"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := fsmesh(t, append([]string{"validate"}, strings.Fields(tt.args)...)...)
			if got.status != tt.status || got.err != "" {
				t.Errorf("exit status %d, standard error %q; want %d and nothing", got.status, got.err, tt.status)
			}
			for _, w := range tt.want {
				if !strings.Contains(got.out, w) {
					t.Errorf("output:\n%s\nwant in it:\n%s", got.out, w)
				}
			}
		})
	}
}

// TestValidateGoesOn checks that a file that can't be read does not hide what
// is wrong with the next.
func TestValidateGoesOn(t *testing.T) {
	t.Parallel()
	got := fsmesh(t, "validate", "nowhere.yaml", "testdata/broken.yaml")
	if got.status != exitNotFound || !strings.Contains(got.out, "broken.yaml: not valid") || !strings.Contains(got.err, "nowhere.yaml") {
		t.Errorf("got %+v", got)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, c := range []string{"", "validate", "simulate", "run", "diagram", "schema", "serve", "dashboard", "demo", "init", "version",
		"node", "bridge", "bridge dlq", "bridge dlq ls", "bridge dlq show", "bridge dlq replay", "ready", "runtimes", "ls", "get", "send", "create", "broadcast", "history", "watch", "deadletters", "deadletters ls", "deadletters resend", "store", "store info", "store verify",
		"context", "context add", "context ls", "context show", "context select", "context rm"} {
		args := append(strings.Fields(c), "--help")
		got := fsmesh(t, args...)
		if got.status != exitDone || got.err != "" {
			t.Errorf("fsmesh %s: exit status %d, standard error %q", strings.Join(args, " "), got.status, got.err)
		}
		if !strings.Contains(got.out, "Examples:") {
			t.Errorf("fsmesh %s has no examples", strings.Join(args, " "))
		}
		all.WriteString("$ fsmesh " + strings.Join(args, " ") + "\n" + got.out + "\n")
	}
	golden(t, "help", all.String())
}

func TestDiagram(t *testing.T) {
	t.Parallel()
	for form, want := range map[string]string{"svg": "<svg ", "mermaid": "stateDiagram", "dot": "digraph"} {
		got := fsmesh(t, "diagram", "testdata/order.yaml", "-o", form)
		if got.status != exitDone || !strings.Contains(got.out, want) || !strings.Contains(got.out, "Draft") {
			t.Errorf("%s: got %+v", form, got)
		}
	}
}

func TestSchemaAndVersion(t *testing.T) {
	t.Parallel()
	if got := fsmesh(t, "schema"); got.status != exitDone || !strings.Contains(got.out, `"stateMachines"`) {
		t.Errorf("schema: got %+v", got)
	}
	if got := fsmesh(t, "version"); got.status != exitDone || !strings.HasPrefix(got.out, "fsmesh ") {
		t.Errorf("version: got %+v", got)
	}
	for _, flag := range []string{"--version", "-v"} {
		if got, want := fsmesh(t, flag), fsmesh(t, "version"); got != want || got.status != exitDone {
			t.Errorf("%s: got %+v, want %+v", flag, got, want)
		}
	}
	if got := fsmesh(t, "version", "-o", "json"); got.status != exitDone || !strings.Contains(got.out, `"version"`) {
		t.Errorf("version -o json: got %+v", got)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := fsmesh(t, "completion", shell); got.status != exitDone || !strings.Contains(got.out, "fsmesh") {
			t.Errorf("%s: exit status %d, %q", shell, got.status, got.err)
		}
	}
}

// A fullPipe is an output that nobody reads any more.
type fullPipe struct{ err error }

func (p fullPipe) Write([]byte) (int, error) { return 0, p.err }

func TestOutputThatFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"closed pipe, not a word", syscall.EPIPE, ""},
		{"full disk", syscall.ENOSPC, "fsmesh: write to the standard output: no space left on device\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			status := run(t.Context(), []string{"version"}, strings.NewReader(""), fullPipe{tt.err}, &stderr, func(string) string { return "" })
			if status != exitFailed || stderr.String() != tt.want {
				t.Errorf("exit status %d, standard error %q; want %d and %q", status, stderr.String(), exitFailed, tt.want)
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no %s; run the test with -update", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("differs from %s (-update rewrites it); got:\n%s", path, got)
	}
}
