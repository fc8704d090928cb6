package jetstream

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// What is dropped while it is read, by who writes there, is no damage: a checkpoint
// that is not needed any more, for one.
func TestDroppedWhileItIsRead(t *testing.T) {
	t.Parallel()
	s, _ := testLog(t, t.TempDir(), Options{})
	const all = 48 // of 1 MB: more than the server hands out at once
	for i := range all {
		m := &nats.Msg{Subject: fmt.Sprintf("%s.%d", subject(snapSubjects, "dropped"), i), Data: make([]byte, 1<<20)}
		if _, err := s.link.put(t.Context(), m, anyLast); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, err := range s.link.messages(t.Context(), snapStream, subject(snapSubjects, "dropped")+".*", 1, math.MaxUint64) {
		if err != nil {
			t.Fatalf("after %d messages: %v", n, err)
		}
		if n++; n == 1 {
			if err := s.link.snap.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.link.idle = time.Second // from here on nothing may come
		}
	}
	if n == 0 || n == all {
		t.Errorf("%d messages of %d were read: the test shows nothing", n, all)
	}
}
