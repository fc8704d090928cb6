package mesh

import (
	"context"
	"time"
)

// awaitTick is how often is looked in any case: a view that is closed, or a
// change that does not show in a query, wakes nobody.
const awaitTick = 50 * time.Millisecond

// Await waits until the view has taken in all that a runtime told up to and
// including the number seq, the one of a command's outcome. Then it shows what
// the command did. It fails with the cause of the context's end, and the view
// does not show it yet; who waits therefore bounds the context.
func (v *View) Await(ctx context.Context, runtimeID string, seq uint64) error {
	tick := time.NewTicker(awaitTick)
	defer tick.Stop()
	for {
		changed := v.Changed()
		var floor int64
		v.Read(func(d *Directory) { floor = d.Floor(runtimeID) })
		if floor >= 0 && uint64(floor) >= seq {
			return nil
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
