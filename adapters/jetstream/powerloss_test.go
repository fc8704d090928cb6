package jetstream_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/powercut"
)

// retainingEnv has the test's program do what a loss of power is to come into: it
// names the folder.
const retainingEnv = "FSMESH_TEST_RETAINING"

// TestPowerLossWhileTheLogIsDropped loses the power just when the server has removed or
// written anew a file with messages, as it does where the beginning of the log is
// dropped and where checkpoints are replaced: all that was acknowledged is there. Where
// nothing is synced the same shows a loss, but all is there once the dropping is over.
func TestPowerLossWhileTheLogIsDropped(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("this test needs strace to see what the program does to its files: %v; install it, or run make test, which does", err)
	}
	for _, sync := range []string{"always", "none"} {
		t.Run("sync "+sync, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			data, trace := filepath.Join(dir, "data"), filepath.Join(dir, "trace")
			command := append(powercut.Strace(strace, trace), os.Args[0])
			c := exec.CommandContext(t.Context(), command[0], command[1:]...)
			c.Env = append(os.Environ(), retainingEnv+"="+data, "FSMESH_TEST_SYNC="+sync)
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			d := powercut.New(data)
			var within, after []string // what is lost
			cuts, moved, drops := 0, 0, 0
			cut := func() []string {
				t.Helper()
				cuts++
				into := filepath.Join(dir, fmt.Sprint("cut", cuts))
				if err := d.Lay(into, "/acknowledged"); err != nil {
					t.Fatal(err)
				}
				return missing(t, into)
			}
			for line, err := range powercut.Lines(trace) {
				if err == nil {
					_, err = d.Step(line)
				}
				if err != nil {
					t.Fatal(err)
				}
				if now := d.Moved(".blk"); now > moved {
					moved = now
					within = append(within, cut()...)
				}
				if strings.Contains(line, powercut.Text(dropped)) {
					drops++
					after = append(after, cut()...)
				}
			}
			t.Logf("%d cuts while files were moved, %d after something was dropped", moved, drops)
			if moved < 3 || drops < 3 {
				t.Error("these are too few to show anything")
			}
			if (sync == "none") != (len(within) > 0) {
				t.Errorf("lost while files are moved: %q", within)
			}
			if len(after) > 0 {
				t.Errorf("lost after something was dropped: %q", after)
			}
		})
	}
}

// dropped is written down beside what was acknowledged once something was dropped.
const dropped = "dropped"

// missing returns what of the acknowledged is not there after a start on a folder.
func missing(t *testing.T, dir string) (lost []string) {
	t.Helper()
	acknowledged, err := os.ReadFile(filepath.Join(dir, "acknowledged"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	got, err := versionsIn(t.Context(), dir)
	if err != nil {
		return []string{"all: " + err.Error()}
	}
	last := map[string]uint64{}
	for line := range bytes.Lines(acknowledged) {
		if string(line) == dropped+"\n" {
			continue
		}
		var id string
		var version uint64
		if _, err := fmt.Sscan(string(line), &id, &version); err != nil {
			t.Fatal(err)
		}
		last[id] = version
	}
	for id, version := range last {
		if got[id] < version {
			lost = append(lost, fmt.Sprintf("%s is at version %d, %d was acknowledged", id, got[id], version))
		}
	}
	return lost
}

func versionsIn(ctx context.Context, dir string) (map[string]uint64, error) {
	s, err := jetstream.OpenFolder(ctx, dir, jetstream.Options{Reserve: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	l, err := s.Open(ctx, "x")
	if err != nil {
		return nil, err
	}
	got := map[string]uint64{}
	for r, err := range l.Restore(ctx) {
		switch {
		case err != nil:
			return nil, err
		case r.Snapshot != nil:
			got[r.Snapshot.Instance] = r.Snapshot.Version
		case r.Record != nil:
			got[r.Record.Instance] = max(got[r.Record.Instance], r.Record.Version)
		}
	}
	return got, nil
}

// A present source has instances as their last records left them.
type present map[string]*fsm.Record

func (p present) Snapshots(_ context.Context, ids []string) (out []*fsm.Snapshot, err error) {
	for _, id := range ids {
		r := p[id]
		out = append(out, &fsm.Snapshot{Instance: id, Version: r.Version, Component: r.Component, Machine: r.Machine, State: r.After, Data: r.Data})
	}
	return out, nil
}

func (present) Remembers(fsm.RemoteID) bool { return true }

// appendAndDrop appends records, writes checkpoints, and drops what is older than the
// last records. What is acknowledged goes into a file.
func appendAndDrop(ctx context.Context, dir, sync string) error {
	const (
		frames, every, kept = 240, 15, 20
		instances           = 3
	)
	o := jetstream.Options{Reserve: -1, CheckpointEvery: time.Hour, Logger: slog.New(slog.DiscardHandler)}
	if sync == "none" {
		o.Sync = jetstream.SyncNone
	}
	s, err := jetstream.OpenFolder(ctx, dir, o)
	if err != nil {
		return err
	}
	opened, err := s.Open(ctx, "x")
	if err != nil {
		return err
	}
	log := opened.(fsm.Checkpointer)
	for _, err := range log.Restore(ctx) {
		if err != nil {
			return err
		}
	}
	if _, err := log.Claim(ctx, "test"); err != nil {
		return err
	}
	lives := present{}
	log.Checkpoint(lives)
	acknowledged, err := os.OpenFile(filepath.Join(dir, "acknowledged"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for i := range frames {
		noise := make([]byte, 36<<10)
		_, _ = rand.Read(noise)
		data, err := fsm.NewData(map[string]any{"noise": base64.StdEncoding.EncodeToString(noise)})
		if err != nil {
			return err
		}
		r := &fsm.Record{
			Kind: fsm.KindTransition, Instance: fmt.Sprint("i", i%instances), Version: uint64(1 + i/instances),
			Component: "C", Machine: "M", Before: "A", After: "A", Time: int64(i), Data: data,
		}
		if r.Version == 1 {
			r.Kind, r.Before, r.Origin = fsm.KindCreated, "", &fsm.RecordOrigin{Order: uint64(i + 1)}
		}
		lives[r.Instance] = r
		if err := log.Append(ctx, fsm.Batch{Records: []*fsm.Record{r}}); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(acknowledged, r.Instance, r.Version); err != nil {
			return err
		}
		if i%every != every-1 {
			continue
		}
		if err := log.Flush(ctx); err != nil {
			return err
		}
		if i > frames/3 && i < frames*9/10 {
			continue // a block is filled, to be removed as a whole
		}
		old := fsm.Cut{Records: time.UnixMilli(int64(i - kept))}
		if err := log.Retain(ctx, func(string, string) fsm.Cut { return old }); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(acknowledged, dropped); err != nil {
			return err
		}
	}
	return nil // killed, as it were
}
