package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A disk replays what a process did to the files of a folder, as strace wrote
// it down, and knows of each file what the process sees and what would be left
// after a loss of power: the contents as of the last fsync. Names are taken to
// be durable at once, as a journal has them.
type disk struct {
	dir   string
	files map[string]*diskFile
	// open has where the next write of each descriptor goes.
	at map[string]int64
	// pending are the calls that have begun, by thread.
	pending map[string]string
	// syncing is what each thread's fsync began with.
	syncing map[string][]byte
}

type diskFile struct{ now, durable []byte }

func newDisk(dir string) *disk {
	return &disk{dir, map[string]*diskFile{}, map[string]int64{}, map[string]string{}, map[string][]byte{}}
}

// tracedCalls are those that a disk understands, and those that it has to
// refuse where they touch its folder.
const tracedCalls = "openat,write,pwrite64,writev,pwritev,pwritev2,rename,renameat,renameat2,fsync,fdatasync,ftruncate,unlink,unlinkat,lseek,copy_file_range,sendfile,sync_file_range"

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (\w+)\((.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>(.*)$`)
	quoted      = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?`)
	descriptor  = regexp.MustCompile(`^(\d+)<((?:\\x[0-9a-f]{2})*)>`)
	result_     = regexp.MustCompile(` = (-?\d+)`)
)

// step takes one line of the trace and returns its time.
func (d *disk) step(line string) (time.Time, error) {
	if m := resumedLine.FindStringSubmatch(line); m != nil {
		begun := d.pending[m[1]]
		delete(d.pending, m[1])
		return traceTime(m[2]), d.call(m[1], m[3], begun+m[4])
	}
	m := callLine.FindStringSubmatch(line)
	if m == nil {
		return time.Time{}, nil // a signal, an exit
	}
	thread, name, rest := m[1], m[3], m[4]
	if name == "fsync" || name == "fdatasync" {
		// It is good for what had been written when it began.
		if _, path, ok := d.fd(rest); ok {
			if f := d.files[path]; f != nil {
				d.syncing[thread] = slices.Clone(f.now)
			}
		}
	}
	if begun, unfinished := strings.CutSuffix(rest, " <unfinished ...>"); unfinished {
		d.pending[thread] = begun
		return traceTime(m[2]), nil
	}
	return traceTime(m[2]), d.call(thread, name, rest)
}

func traceTime(s string) time.Time {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(int64(f * 1e6))
}

func unhex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return ""
	}
	return string(b)
}

// fd reads a descriptor that is a file of the folder.
func (d *disk) fd(args string) (fd, path string, ok bool) {
	m := descriptor.FindStringSubmatch(args)
	if m == nil {
		return "", "", false
	}
	path = strings.TrimSuffix(unhex(m[2]), " (deleted)")
	return m[1], path, strings.HasPrefix(path, d.dir+"/")
}

// call replays one call that has returned.
func (d *disk) call(thread, name, args string) error {
	r := result_.FindAllStringSubmatch(args, -1)
	if len(r) == 0 {
		return nil // the process was killed in it
	}
	n, err := strconv.ParseInt(r[len(r)-1][1], 10, 64)
	if err != nil || n < 0 {
		return nil
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
			if at, err = lastNumber(args[:strings.LastIndex(args, ")")]); err != nil {
				return err
			}
		} else {
			d.at[fd] = at + n
		}
		f.write(data[:n], at)
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
	m := quoted.FindStringSubmatch(args)
	if m == nil || m[2] != "" {
		return "", errors.New("the trace does not hold all bytes")
	}
	return unhex(m[1]), nil
}

func lastNumber(args string) (int64, error) {
	return strconv.ParseInt(strings.TrimSpace(args[strings.LastIndex(args, ",")+1:]), 10, 64)
}

func (d *disk) open(args string, fd int64) error {
	m := quoted.FindStringSubmatch(args)
	if m == nil {
		return nil
	}
	path := unhex(m[1])
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
	d.at[strconv.FormatInt(fd, 10)] = at
	return nil
}

func (d *disk) names(name, args string) error {
	texts := quoted.FindAllStringSubmatch(args, -1)
	var paths []string
	for _, t := range texts {
		p := unhex(t[1])
		if !filepath.IsAbs(p) {
			return nil // not how the program names its files
		}
		paths = append(paths, p)
	}
	f := d.files[paths[0]]
	delete(d.files, paths[0])
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

// after lays out in a folder what is left when the power fails after so many
// lines of the trace, and returns the time of the failure. Files with lucky in their
// paths, unless it is empty, are there as they were written, synced or not.
func after(trace string, lines int, of, into, lucky string) (time.Time, error) {
	d := newDisk(of)
	f, err := os.Open(trace)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	var last time.Time
	for range lines {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		at, err := d.step(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return last, err
		}
		if !at.IsZero() {
			last = at
		}
	}
	for path, f := range d.files {
		to := filepath.Join(into, strings.TrimPrefix(path, of))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return last, err
		}
		left := f.durable
		if lucky != "" && strings.Contains(path, lucky) {
			left = f.now
		}
		if err := os.WriteFile(to, left, 0o600); err != nil {
			return last, err
		}
	}
	return last, nil
}

func countLines(file string) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	for n := 0; ; {
		part, more, err := in.ReadLine()
		switch {
		case err != nil && len(part) == 0:
			return n, nil
		case !more:
			n++
		}
	}
}
