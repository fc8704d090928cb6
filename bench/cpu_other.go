//go:build !unix

package main

import "time"

var start = time.Now()

// cpuTime stands in for what the process has used of the processor, where the
// system has no simple way to tell.
func cpuTime() time.Duration { return time.Since(start) }
