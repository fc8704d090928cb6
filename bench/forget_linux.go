package main

import (
	"fmt"
	"os"
	"syscall"
)

// fadvDontNeed is POSIX_FADV_DONTNEED.
const fadvDontNeed = 4

// forget has the page cache forget a file, once all of it is on the disk.
func forget(path string) error {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil // it has gone meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("forget %s: %w", path, err)
	}
	if _, _, e := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, fadvDontNeed, 0, 0); e != 0 {
		return fmt.Errorf("forget %s: %w", path, e)
	}
	return nil
}
