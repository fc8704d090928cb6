// Package freeport finds ports for the servers of tests that must be told theirs, or
// come back on the one that they had.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports are taken from below those that systems give to who names none (from 32768
// on Linux, from 49152 elsewhere): what has been found stays free until its server is
// up, however many connections other tests open meanwhile.
const first, last = 12000, 32000

var (
	mu    sync.Mutex
	given = map[int]bool{}
)

// Address returns a host and port of this machine that nobody listens on, and that it
// has not returned before. It is safe for concurrent use.
func Address(t testing.TB) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		port := first + rand.IntN(last-first)
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if given[port] {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue // taken
		}
		l.Close()
		given[port] = true
		return address
	}
	t.Fatalf("no free port from %d to %d", first, last)
	return ""
}

// Port returns the port of an Address.
func Port(t testing.TB) int {
	t.Helper()
	_, port, _ := net.SplitHostPort(Address(t))
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
