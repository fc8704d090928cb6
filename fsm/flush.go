package fsm

import (
	"context"
	"time"
)

// checkpoints hands the runtime to a log that keeps checkpoints.
func (rt *Runtime) checkpoints() {
	if log, ok := rt.log.(Checkpointer); ok {
		log.Checkpoint(checkpointSource{rt})
	}
}

// flush has the log write what is left for its checkpoints, in at most half of
// the time that the context has left.
func (rt *Runtime) flush(ctx context.Context) {
	log, ok := rt.log.(Checkpointer)
	if !ok || rt.halted.Load() {
		return
	}
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	if err := log.Flush(ctx); err != nil {
		rt.cfg.Logger.Info("checkpoints not finished: the next start takes longer", "runtime", rt.cfg.Name, "err", err)
	}
}

type checkpointSource struct{ rt *Runtime }

// Snapshots first lets through all that was appended before the call: the
// commit that is on its way, then what each shard has been told of commits. An
// instance that a transition of another shard created is in its table only
// then.
func (c checkpointSource) Snapshots(ctx context.Context, ids []string) ([]*Snapshot, error) {
	rt := c.rt
	if rt.committer != nil {
		if err := rt.committer.pass(ctx); err != nil {
			return nil, err
		}
	}
	if err := rt.visitAll(ctx, func(*shard) {}); err != nil {
		return nil, err
	}
	byShard := map[*shard][]string{}
	for _, id := range ids {
		sh := rt.shardOf(id)
		byShard[sh] = append(byShard[sh], id)
	}
	out := make([]*Snapshot, 0, len(ids))
	for sh, own := range byShard {
		var found []*Snapshot
		if err := sh.visit(ctx, func() { found = sh.committedSnapshots(own) }); err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// Remembers reports whether an effect of another runtime may come again.
func (c checkpointSource) Remembers(id RemoteID) bool { return c.rt.intake.remembers(id) }

// committedSnapshots returns those of the ids that are in the table, as they are
// stored.
func (sh *shard) committedSnapshots(ids []string) []*Snapshot {
	out := make([]*Snapshot, 0, len(ids))
	for _, id := range ids {
		s := sh.tab.get(id)
		if s == nil {
			continue
		}
		in := s.cur.Load()
		if in.status != StatusQuarantined {
			out = append(out, sh.rt.snapshot(s, in, s.seenList(false)))
		} else if q := sh.rt.quarantinedOf(id); q != nil {
			out = append(out, q.snap)
		}
	}
	return out
}

// visitAll runs f as the owner of each shard and waits for all of them.
func (rt *Runtime) visitAll(ctx context.Context, f func(*shard)) error {
	done := make(chan struct{}, len(rt.shards))
	for _, sh := range rt.shards {
		sh.post(item{f: func() {
			f(sh)
			done <- struct{}{}
		}})
	}
	for range rt.shards {
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-rt.dead:
			return rt.notRunning()
		}
	}
	return nil
}
