//go:build linux || darwin || freebsd

package jetstream

import "syscall"

// freeSpace is what a user may still write at the folder, in bytes.
func freeSpace(dir string) (uint64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true
}
