package bridgetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestServerEnds has a process start a server and end without any cleanup: the server
// ends as well.
func TestServerEnds(t *testing.T) {
	if os.Getenv("FSMESH_TEST_LEAVES_SERVER") != "" {
		t.Setenv("REDIS_URL", "")
		fmt.Printf("\naddr %s\n", Redis(t).Addr)
		os.Exit(3)
	}
	c := exec.Command(os.Args[0], "-test.run", "^TestServerEnds$")
	c.Env = append(os.Environ(), "FSMESH_TEST_LEAVES_SERVER=1")
	out, err := c.Output() // an error says how it ended
	_, rest, _ := strings.Cut(string(out), "\naddr ")
	addr, _, found := strings.Cut(rest, "\n")
	if !found {
		t.Fatalf("it started no server: %v\n%s", err, out)
	}
	eventually(t, func() string {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return ""
		}
		_ = conn.Close()
		return "the server at " + addr + " is still there"
	})
}
