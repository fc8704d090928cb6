package jetstream

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/nats-io/nats.go"
)

// checkpointed is a log whose instances are in checkpoints, in parts of 100 bytes.
func checkpointed(t *testing.T, dir string, n int) (*Store, *log) {
	t.Helper()
	s, l := testLog(t, dir, Options{CheckpointEvery: time.Hour, partSize: 100})
	source := lastVersions{}
	for i := range n {
		source[fmt.Sprint(i)] = step(fmt.Sprint(i), 1)
		add(t, l, source[fmt.Sprint(i)])
	}
	l.Checkpoint(source)
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, l
}

// restoreAll restores a log anew, and returns the first error.
func restoreAll(t *testing.T, s *Store) (l *log, snapshots int, err error) {
	t.Helper()
	opened, err := s.Open(t.Context(), "x")
	if err != nil {
		return nil, 0, err
	}
	for x, err := range opened.Restore(t.Context()) {
		if err != nil {
			return nil, snapshots, err
		}
		if x.Snapshot != nil {
			snapshots++
		}
	}
	return opened.(*log), snapshots, nil
}

func TestCheckpointsOfSeveralParts(t *testing.T) {
	t.Parallel()
	const n = 3000
	s, l := checkpointed(t, t.TempDir(), n)
	second, bucket := "", 0 // the subject of a second part, and whose
	for m, err := range l.link.messages(t.Context(), snapStream, subject(snapSubjects, "x")+".>", 1, anyLast) {
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.parsePart(m)
		if err != nil {
			t.Fatal(err)
		}
		if p.n == 1 {
			second, bucket = m.subject, p.bucket
		}
	}
	if second == "" {
		t.Fatal("each checkpoint has one part, want several")
	}
	if _, got, err := restoreAll(t, s); err != nil || got != n {
		t.Errorf("%d instances came back, %v, want %d", got, err, n)
	}
	// Of one whose writing was cut short before its first part nothing counts: the one
	// before is whole.
	before, err := l.load(t.Context(), newDecoder(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	unfinished := *before.blob
	unfinished.live = slices.Clone(unfinished.live)
	slices.Reverse(unfinished.live)
	moved := before
	moved.position++
	if err := l.save(t.Context(), &unfinished, moved); !errors.Is(err, errMoved) {
		t.Fatalf("a first part that does not follow: %v, want %v", err, errMoved)
	}
	after, err := l.load(t.Context(), newDecoder(), bucket)
	if err != nil || after.position != before.position || !reflect.DeepEqual(after.live, before.live) {
		t.Errorf("after an unfinished checkpoint: %v, or other instances than before it", err)
	}
	if _, got, err := restoreAll(t, s); err != nil || got != n {
		t.Errorf("%d instances came back after an unfinished checkpoint, %v, want %d", got, err, n)
	}
	// Where a part is missing the checkpoint is not taken for whole.
	if err := l.link.snap.Purge(t.Context(), withSubject(second)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := restoreAll(t, s); !errors.Is(err, errParts) {
		t.Errorf("restore without a part: %v, want %v", err, errParts)
	}
}

func TestNewerCheckpointIsRefused(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(l *log) *nats.Msg{
		"checkpoint": func(l *log) *nats.Msg {
			return &nats.Msg{Subject: l.partSubject(7, 0, 0), Data: []byte("later"), Header: nats.Header{headerBlob: []string{"2 and more"}}}
		},
		"cover": func(*log) *nats.Msg {
			return &nats.Msg{Subject: subject(coverSubjects, "x"), Data: []byte("later"), Header: nats.Header{headerFormat: []string{"2 0"}}}
		},
		"mark": func(*log) *nats.Msg {
			return &nats.Msg{Subject: subject(markSubjects, "x"), Data: []byte("later"), Header: nats.Header{headerFormat: []string{"2 0"}}}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, l := checkpointed(t, t.TempDir(), 10)
			if _, err := l.link.put(t.Context(), change(l), anyLast); err != nil {
				t.Fatal(err)
			}
			_, _, err := restoreAll(t, s)
			if e, ok := errors.AsType[*FormatError](err); !ok || e.Found != 2 || e.Known != blobFormat {
				t.Errorf("restore with a %s of format 2: %v, want a *FormatError", what, err)
			}
		})
	}
}

func TestProgressTellsWhatIsRead(t *testing.T) {
	t.Parallel()
	s, l := checkpointed(t, t.TempDir(), 20)
	var b fsm.Batch
	for i := range 20 {
		b.Records = append(b.Records, step(fmt.Sprint(i), 2), step(fmt.Sprint(i), 3))
	}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	again, _, err := restoreAll(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if done, total := again.Progress(); done != 40 || total != 40 {
		t.Errorf("%d of %d records are read, want 40 of 40: what checkpoints hold is not counted", done, total)
	}
}
