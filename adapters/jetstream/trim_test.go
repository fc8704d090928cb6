package jetstream

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Memory is given back once after many histories, when none is read any more, and
// not after few. Guards the trimmer.
func TestMemoryIsGivenBackAfterHistories(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var freed atomic.Int32
		tr := newTrimmer()
		tr.free = func() { freed.Add(1) }
		want := func(when string, n int32) {
			t.Helper()
			synctest.Wait()
			if got := freed.Load(); got != n {
				t.Errorf("%s, memory was given back %d times, want %d", when, got, n)
			}
		}
		for range trimFrames - 1 {
			tr.note()
		}
		time.Sleep(time.Hour)
		want("after few", 0)
		for range 60 {
			tr.note()
			time.Sleep(time.Second)
			want("while some are read", 0)
		}
		time.Sleep(trimAfter)
		want("afterwards", 1)
		time.Sleep(time.Hour)
		want("an hour later", 1)
		for range trimFrames {
			tr.note()
		}
		time.Sleep(trimAfter)
		want("after many more", 2)
		for range trimFrames {
			tr.note()
		}
		tr.close()
		time.Sleep(time.Hour)
		want("once the store is closed", 2)
	})
}

// The frames of histories are those that are counted.
func TestFramesOfHistoriesAreCounted(t *testing.T) {
	t.Parallel()
	s, l := testLog(t, t.TempDir(), Options{})
	const records = 20
	for v := range uint64(records) {
		add(t, l, step("a", v+1))
	}
	var freed atomic.Int32
	s.trim.frames, s.trim.after, s.trim.free = records, time.Millisecond, func() { freed.Add(1) }
	for _, err := range l.History(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(60 * time.Second); freed.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d frames of a history are counted, want %d", s.trim.read.Load(), records)
		}
	}
}
