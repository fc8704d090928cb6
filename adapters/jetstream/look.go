package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsmesh/fsmesh/internal/natsserver"
)

// lookFolder opens a copy of a folder, which goes at Close: a server changes files
// as it reads them, and cuts off what is damaged.
func lookFolder(ctx context.Context, dir string, o Options) (*Store, error) {
	temp, err := copyFolder(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("look into the store: %w", err)
	}
	o.Reserve, o.Sync = -1, SyncNone
	f, err := openFolder(ctx, temp, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look into a copy of the store in %s: %w", dir, err), os.RemoveAll(temp))
	}
	f.temporary = true
	s, err := f.connect(ctx, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look into a copy of the store in %s: %w", dir, err), f.close())
	}
	return s, nil
}

// copyFolder copies what a store is made of to a folder of its own, while nobody
// else may use the store.
func copyFolder(ctx context.Context, dir string, o Options) (copied string, err error) {
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoStore, err)
	}
	streams, err := filepath.Glob(filepath.Join(globQuoted(dir), "jetstream", "*", "streams", logStream))
	if err != nil {
		return "", err
	}
	if len(streams) == 0 {
		return "", fmt.Errorf("%w: %s has no stream %s in a folder jetstream; nothing was made there", ErrNoStore, dir, logStream)
	}
	unlock, err := natsserver.LockToRead(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	temp, err := os.MkdirTemp("", "fsmesh-look-")
	if err != nil {
		return "", fmt.Errorf("a folder for a copy: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	data := filepath.Join(dir, "jetstream")
	size, err := sizeOf(data)
	if err != nil {
		return "", err
	}
	if free, ok := o.freeSpace(temp); ok && free < size+probeSize {
		return "", fmt.Errorf("it is a copy that is looked into, and %s has %d MB free for %d MB; TMPDIR in the environment names another folder", os.TempDir(), free>>20, size>>20)
	}
	if err := copyTree(ctx, data, filepath.Join(temp, "jetstream")); err != nil {
		return "", fmt.Errorf("copy the store to look into it: %w", err)
	}
	made := filepath.Join(dir, madeFile)
	if err := copyFile(made, filepath.Join(temp, madeFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("copy the store to look into it: %w", err)
	}
	return temp, nil
}

// globQuoted has a folder's name stand for itself in a pattern.
func globQuoted(dir string) string {
	var out []byte
	for i := range len(dir) {
		if c := dir[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, dir[i])
	}
	return string(out)
}

// sizeOf is what the files below a folder hold, in bytes.
func sizeOf(dir string) (size uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		i, err := e.Info()
		if err == nil {
			size += uint64(i.Size())
		}
		return err
	})
	return size, err
}

func copyTree(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch target := filepath.Join(to, rest); {
		case e.IsDir():
			return os.MkdirAll(target, 0o700)
		case e.Type().IsRegular():
			return copyFile(path, target)
		}
		return nil
	})
}

func copyFile(from, to string) (err error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	_, err = io.Copy(w, r)
	return err
}
