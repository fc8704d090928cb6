package natsserver

import (
	"errors"
	"os"
	"path/filepath"
)

// Fits fails if so many bytes cannot be written in a folder.
func Fits(dir string, size int64) error {
	path := filepath.Join(dir, "probe")
	return errors.Join(Fill(path, size), os.Remove(path))
}

// Fill makes a file of so many bytes, which are on the disk when it returns.
func Fill(path string, size int64) (err error) {
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	block := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(block)) {
		// As the server writes.
		if _, err := w.WriteAt(block[:min(size-at, int64(len(block)))], at); err != nil {
			return err
		}
	}
	return w.Sync()
}
