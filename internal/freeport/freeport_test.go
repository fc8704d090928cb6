package freeport

import (
	"net"
	"testing"
)

// TestAddress finds addresses that can be listened on, each once, where no
// connection of another test gets its port from.
func TestAddress(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		a := Address(t)
		if seen[a] {
			t.Fatalf("%s was given twice", a)
		}
		seen[a] = true
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if port := l.Addr().(*net.TCPAddr).Port; port < first || port >= last {
			t.Errorf("port %d is not of %d to %d", port, first, last)
		}
	}
}
