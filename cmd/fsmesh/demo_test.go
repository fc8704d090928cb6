package main

import (
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// The demo may be left on: it keeps an hour. Other runtimes lose nothing that
// nobody asked to lose.
func TestDemoKeepsAnHour(t *testing.T) {
	t.Parallel()
	p := &program{}
	for want, c := range map[time.Duration]*cobra.Command{time.Hour: p.demoCommand(), 0: p.serveCommand()} {
		for _, name := range []string{"keep-ended", "keep-records"} {
			if got, err := c.Flags().GetDuration(name); err != nil || got != want {
				t.Errorf("%s --%s: %v, %v, want %v", c.Name(), name, got, err, want)
			}
		}
	}
}
