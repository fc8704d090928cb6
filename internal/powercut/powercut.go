// Package powercut tells what a loss of power would have left of a folder, at any
// moment of a run that strace has written down. It is for tests.
package powercut

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Disk replays what a process did to the files of a folder, as strace wrote
// it down, and knows of each file what the process sees and what would be left
// after a loss of power: the contents as of the last fsync. Names are taken to
// be durable at once, as a journal has them.
type Disk struct {
	dir   string
	files map[string]*diskFile
	// open has where the next write of each descriptor goes.
	at map[string]int64
	// synced are the descriptors whose writes are durable when they return: O_SYNC.
	synced map[string]bool
	// pending are the calls that have begun, by thread.
	pending map[string]string
	// syncing is what each thread's fsync began with.
	syncing map[string][]byte
	// moved counts what was renamed and removed, by extension.
	moved map[string]int
}

type diskFile struct{ now, durable []byte }

// New returns a disk on which the folder is empty.
func New(dir string) *Disk {
	return &Disk{dir: dir, files: map[string]*diskFile{}, at: map[string]int64{}, synced: map[string]bool{}, pending: map[string]string{}, syncing: map[string][]byte{}, moved: map[string]int{}}
}

// calls are those that a disk understands, and those that it has to refuse where
// they touch its folder.
const calls = "openat,write,pwrite64,writev,pwritev,pwritev2,rename,renameat,renameat2,fsync,fdatasync,ftruncate,unlink,unlinkat,lseek,copy_file_range,sendfile,sync_file_range"

// A line is one of the trace: a call that begins, with what it was given, or one that
// goes on. Lines are long, and there are many: no regular expression reads them.
type line struct {
	thread, time, call string
	resumed            bool
	rest               string
}

func parse(text string) (l line, ok bool) {
	l.thread, text, _ = strings.Cut(text, " ")
	l.time, text, _ = strings.Cut(strings.TrimLeft(text, " "), " ")
	if on, is := strings.CutPrefix(text, "<... "); is {
		l.resumed = true
		l.call, l.rest, ok = strings.Cut(on, " resumed>")
		return l, ok
	}
	l.call, l.rest, ok = strings.Cut(text, "(")
	return l, ok && !strings.ContainsAny(l.call, " +-") // a signal, an exit
}

// result is what a call has returned.
func result(args string) (n int64, ok bool) {
	at := strings.LastIndex(args, " = ")
	if at < 0 {
		return 0, false
	}
	text, _, _ := strings.Cut(strings.TrimSpace(args[at+3:]), " ")
	text, _, _ = strings.Cut(text, "<") // the path of a descriptor
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// texts are what is quoted in the arguments of a call; whole says that nothing was
// left out of them.
func texts(args string) (out []string, whole bool) {
	whole = true
	for {
		_, rest, found := strings.Cut(args, `"`)
		if !found {
			return out, whole
		}
		text, after, found := strings.Cut(rest, `"`)
		if !found {
			return out, false
		}
		out, whole, args = append(out, unhex(text)), whole && !strings.HasPrefix(after, "..."), after
	}
}

// Strace is the command line before that of a program to write down, into a file,
// what it does.
func Strace(strace, trace string) []string {
	return []string{strace, "-f", "--seccomp-bpf", "-y", "-xx", "-ttt", "-s", "16777216", "-e", "trace=" + calls, "-o", trace}
}

// Step takes one line of the trace and returns its time.
func (d *Disk) Step(text string) (time.Time, error) {
	l, ok := parse(text)
	if !ok {
		return time.Time{}, nil
	}
	if l.resumed {
		begun := d.pending[l.thread]
		delete(d.pending, l.thread)
		return traceTime(l.time), d.call(l.thread, l.call, begun+l.rest)
	}
	if l.call == "fsync" || l.call == "fdatasync" {
		// It is good for what had been written when it began.
		if _, path, ok := d.fd(l.rest); ok {
			if f := d.files[path]; f != nil {
				d.syncing[l.thread] = slices.Clone(f.now)
			}
		}
	}
	if begun, unfinished := strings.CutSuffix(l.rest, " <unfinished ...>"); unfinished {
		d.pending[l.thread] = begun
		return traceTime(l.time), nil
	}
	return traceTime(l.time), d.call(l.thread, l.call, l.rest)
}

func traceTime(s string) time.Time {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(int64(f * 1e6))
}

// unhex reads a text of \x00 and the like; what is none is "".
func unhex(s string) string {
	if len(s)%4 != 0 {
		return ""
	}
	out := make([]byte, len(s)/4)
	for i := range out {
		high, low := digit(s[4*i+2]), digit(s[4*i+3])
		if s[4*i] != '\\' || s[4*i+1] != 'x' || high > 15 || low > 15 {
			return ""
		}
		out[i] = high<<4 | low
	}
	return string(out)
}

// Text is how a text stands in a trace.
func Text(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return b.String()
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 16
}

// fd reads a descriptor that is a file of the folder.
func (d *Disk) fd(args string) (fd, path string, ok bool) {
	fd, rest, ok := strings.Cut(args, "<")
	path, _, closed := strings.Cut(rest, ">")
	if _, err := strconv.Atoi(fd); !ok || !closed || err != nil {
		return "", "", false
	}
	path = strings.TrimSuffix(unhex(path), " (deleted)")
	return fd, path, strings.HasPrefix(path, d.dir+"/")
}

// call replays one call that has returned.
func (d *Disk) call(thread, name, args string) error {
	n, ok := result(args)
	if !ok || n < 0 {
		return nil // it failed, or the process was killed in it
	}
	fd, path, ours := d.fd(args)
	f := d.files[path]
	if ours && f == nil {
		// It was removed meanwhile, or is a folder: nobody will see what happens
		// to it.
		f = &diskFile{}
	}
	switch name {
	case "openat":
		return d.open(args, n)
	case "rename", "renameat", "renameat2", "unlink", "unlinkat":
		return d.names(name, args)
	case "fsync", "fdatasync":
		if now, ok := d.syncing[thread]; ok && ours {
			f.durable = now
		}
		delete(d.syncing, thread)
	}
	if !ours {
		return nil
	}
	switch name {
	case "write", "pwrite64":
		data, err := onlyText(args)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, path, err)
		}
		at := d.at[fd]
		if name == "pwrite64" {
			var err error
			if at, err = lastNumber(args[:strings.LastIndex(args, ")")]); err != nil {
				return err
			}
		} else {
			d.at[fd] = at + n
		}
		f.write(data[:n], at)
		if d.synced[fd] {
			f.durable = slices.Clone(f.now)
		}
	case "ftruncate":
		size, err := lastNumber(args[:strings.LastIndex(args, ")")])
		if err != nil {
			return err
		}
		f.resize(size)
	case "lseek":
		d.at[fd] = n
	case "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile", "sync_file_range":
		return fmt.Errorf("the program writes files by %s, which this replay does not know", name)
	}
	return nil
}

func onlyText(args string) (string, error) {
	list, whole := texts(args)
	if len(list) == 0 || !whole {
		return "", errors.New("the trace does not hold all bytes")
	}
	return list[0], nil
}

func lastNumber(args string) (int64, error) {
	return strconv.ParseInt(strings.TrimSpace(args[strings.LastIndex(args, ",")+1:]), 10, 64)
}

func (d *Disk) open(args string, fd int64) error {
	list, _ := texts(args)
	if len(list) == 0 {
		return nil
	}
	path := list[0]
	if !strings.HasPrefix(path, d.dir+"/") {
		return nil
	}
	f := d.files[path]
	if strings.Contains(args, "O_DIRECTORY") {
		return nil
	}
	if f == nil && strings.Contains(args, "O_CREAT") {
		f = &diskFile{}
		d.files[path] = f
	}
	if f == nil {
		return nil // a folder
	}
	if strings.Contains(args, "O_TRUNC") {
		f.now = nil
	}
	at := int64(0)
	if strings.Contains(args, "O_APPEND") {
		at = int64(len(f.now))
	}
	d.at[strconv.FormatInt(fd, 10)], d.synced[strconv.FormatInt(fd, 10)] = at, strings.Contains(args, "O_SYNC")
	return nil
}

func (d *Disk) names(name, args string) error {
	paths, _ := texts(args)
	if len(paths) == 0 {
		return nil
	}
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			return nil // not how the program names its files
		}
	}
	f := d.files[paths[0]]
	delete(d.files, paths[0])
	if strings.HasPrefix(paths[0], d.dir+"/") {
		d.moved[filepath.Ext(paths[len(paths)-1])]++
	}
	if strings.HasPrefix(name, "rename") && len(paths) == 2 {
		// Of a folder, all that is in it.
		for p, of := range maps.Clone(d.files) {
			if rest, in := strings.CutPrefix(p, paths[0]+"/"); in {
				delete(d.files, p)
				d.files[paths[1]+"/"+rest] = of
			}
		}
		if f != nil {
			d.files[paths[1]] = f
		}
	}
	return nil
}

func (f *diskFile) write(data string, at int64) {
	if end := at + int64(len(data)); end > int64(len(f.now)) {
		f.resize(end)
	}
	copy(f.now[at:], data)
}

func (f *diskFile) resize(size int64) {
	if size <= int64(len(f.now)) {
		f.now = f.now[:size]
		return
	}
	f.now = append(f.now, make([]byte, size-int64(len(f.now)))...)
}

// Moved is how many files with an extension were removed so far, or came to be by
// another being renamed.
func (d *Disk) Moved(extension string) int { return d.moved[extension] }

// Lay lays out in a folder what is left when the power fails now. Files with lucky in
// their paths, unless it is empty, are there as they were written, synced or not.
func (d *Disk) Lay(into, lucky string) error {
	for path, f := range d.files {
		to := filepath.Join(into, strings.TrimPrefix(path, d.dir))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		left := f.durable
		if lucky != "" && strings.Contains(path, lucky) {
			left = f.now
		}
		if err := os.WriteFile(to, left, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Lines yields the lines of a trace.
func Lines(trace string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f, err := os.Open(trace)
		if err != nil {
			yield("", err)
			return
		}
		defer f.Close()
		in := bufio.NewReaderSize(f, 1<<20)
		for {
			line, err := in.ReadString('\n')
			if err == io.EOF {
				return // what is left was being written when the process ended
			}
			if !yield(strings.TrimSuffix(line, "\n"), err) || err != nil {
				return
			}
		}
	}
}

// After lays out in a folder what is left when the power fails after so many lines of
// the trace, as Lay does, and returns the time of the failure.
func After(trace string, lines int, of, into, lucky string) (last time.Time, err error) {
	d := New(of)
	n := 0
	for line, err := range Lines(trace) {
		if err != nil {
			return last, err
		}
		if n++; n > lines {
			break
		}
		at, err := d.Step(line)
		if err != nil {
			return last, err
		}
		if !at.IsZero() {
			last = at
		}
	}
	return last, d.Lay(into, lucky)
}

// Count returns how many lines a trace has.
func Count(trace string) (n int, err error) {
	for _, err := range Lines(trace) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
