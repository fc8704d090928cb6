package fsm

import (
	"sync"
	"testing"
)

// Any number of events of one instance may be in one commit: what comes meanwhile
// waits for them, and none is lost. (Their count once was kept in 7 bits.)
func TestManyEventsOfOneInstanceInACommit(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{
		Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}, Shards: 1,
		Store: slowMemory(NewMemoryStore(), 0),
	})
	id := mustCreate(t, rt, "M", nil)
	const rounds, events = 5, 900
	most := int16(0)
	for range rounds {
		rt.committer.under <- struct{}{}
		var wg sync.WaitGroup
		for range events {
			wg.Go(func() {
				if _, err := rt.Send(t.Context(), id, Event{Type: "GO"}); err != nil {
					t.Errorf("Send: %v", err)
				}
			})
		}
		eventually(t, "all have come", func() bool {
			come := 0
			if err := rt.visitAll(t.Context(), func(sh *shard) {
				s := sh.tab.get(id)
				if s.held != nil {
					come = s.held.len()
				}
				come += len(sh.inbox) + int(s.inFlight)
				most = max(most, s.inFlight)
			}); err != nil {
				t.Fatal(err)
			}
			return come == events
		})
		<-rt.committer.under
		wg.Wait()
	}
	if most < 128 {
		t.Errorf("at most %d events were in one commit: the test shows nothing", most)
	}
	if v := mustGet(t, rt, id).Version(); v != 1+rounds*events {
		t.Errorf("version %d, want %d", v, 1+rounds*events)
	}
	if n := rt.Status().Quarantined; n != 0 {
		t.Errorf("%d are quarantined", n)
	}
}
