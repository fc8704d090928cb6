package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// smallDiskEnv names a folder of a file system of its own, of 200 to 400 MB, for
// those who may not mount one.
const smallDiskEnv = "FSMESH_TEST_SMALL_DISK"

// smallDisk returns a folder on a file system of its own, of 256 MB.
func smallDisk(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(smallDiskEnv); dir != "" {
		dir, err := os.MkdirTemp(dir, "fsmesh")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	unmountStale(t)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256m", smallDiskName+strconv.Itoa(os.Getpid()), dir).CombinedOutput(); err != nil {
		t.Fatalf("a small disk cannot be mounted: %v: %s; run this as root, or name a folder on a file system of some 256 MB in %s", err, out, smallDiskEnv)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// smallDiskName is what a small disk is called among the mounts, before the id of
// the process that made it.
const smallDiskName = "fsmesh-test-"

// unmountStale takes away the small disks of tests that were killed.
func unmountStale(t *testing.T) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		name, rest, _ := strings.Cut(line, " ")
		dir, _, _ := strings.Cut(rest, " ")
		owner, ours := strings.CutPrefix(name, smallDiskName)
		pid, err := strconv.Atoi(owner)
		if !ours || err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Logf("a disk that a killed test left at %s cannot be unmounted: %v: %s", dir, err, out)
		}
	}
}

// A test that was killed leaves its disk mounted; the next one takes it away, and
// no disk of one that runs.
func TestStaleDisksAreUnmounted(t *testing.T) {
	if os.Getenv(smallDiskEnv) != "" {
		t.Skip("nothing may be mounted here")
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	mounted := func(dir string) bool {
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(mounts), " "+dir+" ")
	}
	stale, own := t.TempDir(), smallDisk(t)
	if out, err := exec.Command("mount", "-t", "tmpfs", smallDiskName+strconv.Itoa(gone.Process.Pid), stale).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", stale).Run() })
	smallDisk(t)
	if mounted(stale) || !mounted(own) {
		t.Errorf("mounted: that of the killed one %v, want false; that of this one %v, want true", mounted(stale), mounted(own))
	}
}

func freeOn(t *testing.T, dir string) int64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * int64(s.Bsize)
}

// crowd fills the disk until so many bytes are free, and returns how to make room
// again.
func crowd(t *testing.T, dir string, left int64) (room func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for freeOn(t, dir) > left {
		n := min(int64(len(block)), max(4096, freeOn(t, dir)-left))
		if _, err := f.Write(block[:n]); err != nil {
			break // somebody else was quicker to take the last of it
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// A diskFault is something that happens to the disk under a program in use.
type diskFault struct {
	name string
	args []string // of the program
	// begin brings the trouble, and returns how to end it.
	begin func(t *testing.T, v *victim, dir string) (end func())
	// refused: callers get an error with this in it while it lasts. If empty,
	// they get slow answers.
	refused string
	said    string // the program says this on its standard error
}

// attach has strace meddle with the system calls of a running program until end
// is called.
func attach(t *testing.T, v *victim, inject string) (end func()) {
	t.Helper()
	call, _, _ := strings.Cut(inject, ":")
	c := exec.Command("strace", "-f", "-q", "-e", "trace="+call, "-e", "inject="+inject, "-o", "/dev/null", "-p", strconv.Itoa(v.cmd.Process.Pid))
	stderr, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatalf("strace: %v; install it", err)
	}
	said := make(chan string, 1)
	go func() {
		var all strings.Builder
		for s := bufio.NewScanner(stderr); s.Scan(); {
			fmt.Fprintln(&all, s.Text())
		}
		said <- all.String()
	}()
	ended := make(chan struct{})
	go func() {
		_ = c.Wait() // by a signal
		close(ended)
	}()
	// Whoever is traced does not end before strace lets it go.
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended
	})
	return func() {
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("strace has ended before: %v; it said: %s", err, <-said)
		}
		select {
		case <-ended:
		case <-time.After(60 * time.Second):
			t.Log("strace does not let go of the program when it is told to; it is killed")
			_ = c.Process.Kill()
			<-ended
		}
	}
}

var diskFaults = []diskFault{
	{
		name:    "nearly full",
		begin:   func(t *testing.T, _ *victim, dir string) func() { return crowd(t, dir, 24<<20) },
		refused: "store_full",
	},
	{
		name: "full, without a reserve", args: []string{"--reserve", "0"},
		begin:   func(t *testing.T, _ *victim, dir string) func() { return crowd(t, dir, 0) },
		refused: "store_failed",
		said:    "is back",
	},
	{
		name:    "read-only",
		begin:   func(t *testing.T, v *victim, _ string) func() { return attach(t, v, "pwrite64:error=EROFS") },
		refused: "store_failed",
		said:    "is back",
	},
	{
		name:  "100 ms for each write",
		begin: func(t *testing.T, v *victim, _ string) func() { return attach(t, v, "pwrite64:delay_enter=100000") },
	},
}

// TestDiskFaults brings trouble to a disk of its own while clients use the
// program: they get errors, or slow answers, and go on without a restart once it
// is over. What was acknowledged at any time is there, also after a crash.
func TestDiskFaults(t *testing.T) {
	// Not beside others: it takes both processors.
	for _, fault := range diskFaults {
		t.Run(fault.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			disk := smallDisk(t)
			v := newVictim(t, filepath.Join(disk, "data"))
			v.args = append(v.args, fault.args...)
			t.Cleanup(func() {
				if t.Failed() {
					v.kill()
					t.Logf("the program said:\n%s", v.stderr.String())
				}
			})
			v.start()
			v.ready(ctx)
			s := newShop(v.url())
			watchers := s.openWatchers(ctx, t)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			var worked error
			wg.Go(func() { worked = s.run(ctx, 8, stop) })
			s.progress(t, "before", 16)

			end := fault.begin(t, v, disk)
			if fault.refused == "" {
				s.progress(t, "meanwhile", 2)
			} else {
				s.refused(ctx, t, fault.refused)
			}
			time.Sleep(time.Second) // of trouble, for whatever else it may bring
			end()
			begin := time.Now()
			s.progress(t, "afterwards", 16)
			t.Logf("orders are served again after %v", time.Since(begin).Round(10*time.Millisecond))

			close(stop)
			wg.Wait()
			if worked != nil {
				t.Fatal(worked)
			}
			s.settled(ctx, t, watchers)
			v.kill()
			if said := v.stderr.String(); !strings.Contains(said, fault.said) || fault.said == "" && strings.Contains(said, "gave up") {
				t.Errorf("the program said:\n%s\nwant %q", said, fault.said)
			}
			v.start()
			v.ready(ctx)
			s.settled(ctx, t, watchers)
		})
	}
}

// progress waits until so many more orders have been closed.
func (s *shop) progress(t *testing.T, when string, more int) {
	t.Helper()
	closed := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closed
	}
	want := closed() + more
	waitFor(t, fmt.Sprintf("%d orders are closed %s", more, when), func() bool { return closed() >= want })
}

// refused waits until a new order is refused with an error that says why.
func (s *shop) refused(ctx context.Context, t *testing.T, why string) {
	t.Helper()
	// Longer than the program lets a caller wait.
	patient, last := shop{base: s.base, http: &http.Client{Timeout: 30 * time.Second}}, ""
	for n := 0; ; n++ {
		body := fmt.Sprintf(`{"machineName": "Order", "context": {"orderId": "refused-%d", "region": 9}}`, n)
		out, status, err := patient.once(ctx, "POST", "/api/components/Orders/instances", "", []byte(body))
		if last = fmt.Sprint(status, " ", err); err == nil {
			last = fmt.Sprint(status, " ", out.Code, " ", out.Error)
			if status >= 500 && strings.Contains(strings.ToLower(last+" error"), why) {
				t.Logf("refused with: %s", last)
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("nobody was refused; the last answer: %s", last)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// settled waits until cascades have come to their end, and looks whether all
// promises were kept.
func (s *shop) settled(ctx context.Context, t *testing.T, watchers []string) {
	t.Helper()
	c := s.check(ctx, t, watchers)
	for deadline := time.Now().Add(60 * time.Second); c.bad() > 0 && time.Now().Before(deadline); c = s.check(ctx, t, watchers) {
		time.Sleep(200 * time.Millisecond)
	}
	t.Log(c)
	if c.bad() > 0 {
		t.Errorf("promises broken: %s", strings.Join(c.notes, "\n"))
	}
}
