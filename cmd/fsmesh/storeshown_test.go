package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

// What a runtime's store and its mode are is shown where one looks at it.
func TestStoreIsShown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	node := nodeProcess(t, t.TempDir())
	for _, tt := range []struct {
		v    *victim
		args []string
		want string
	}{
		{newVictim(t, t.TempDir()), nil, "folder: sync always"},
		{newVictim(t, t.TempDir()), []string{"--sync", "1s"}, "folder: sync every 1s"},
		{newVictim(t, t.TempDir()), []string{"--sync", "none"}, "folder: sync none"},
		{beside(t, node), nil, "JetStream elsewhere: sync as its server has it"},
	} {
		tt.v.args = append(tt.v.args, tt.args...)
		tt.v.start()
		tt.v.ready(ctx)
		for _, path := range []string{"/api/runtimes", "/runtimes"} {
			waitFor(t, tt.want+" in "+path, func() bool {
				body, _ := fetch(tt.v.url() + path)
				return strings.Contains(body, tt.want)
			})
		}
		tt.v.kill()
		if said := tt.v.stderr.String(); !strings.Contains(said, tt.want) {
			t.Errorf("the log says nothing of %q:\n%s", tt.want, said)
		}
	}
}
