package examples

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/fsmesh/fsmesh/internal/freeport"
)

// program is the folder with fsmesh in it, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fsmesh-examples")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "fsmesh"), "../cmd/fsmesh")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, _ := program(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

// A shell runs the commands of a README, with fsmesh on the path. Ports are
// replaced by free ones.
type shell struct {
	t     *testing.T
	dir   string            // of its own
	at    string            // where the commands are run
	bin   string            // where fsmesh is
	ports map[string]string // by the address in the README
	env   []string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, dir: t.TempDir(), at: "..", bin: bin, ports: map[string]string{}}
	s.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "FSMESH_URL=nats://"+s.free("127.0.0.1:4222"), "BROKER_URL=", "PORT=",
		"FSMESH_TOKEN=", "FSMESH_CONTEXT=", "XDG_CONFIG_HOME="+filepath.Join(s.dir, "config"), "XDG_DATA_HOME="+filepath.Join(s.dir, "data"))
	return s
}

// free gives an address of the README a port that nobody uses.
func (s *shell) free(address string) string {
	if s.ports[address] == "" {
		s.ports[address] = freeport.Address(s.t)
	}
	return s.ports[address]
}

var address = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// sh is a script, or one command.
func (s *shell) sh(ctx context.Context, script string) *exec.Cmd {
	c := exec.CommandContext(ctx, "sh", "-c", address.ReplaceAllStringFunc(script, s.free))
	c.Dir, c.Env = s.at, s.env
	return c
}
