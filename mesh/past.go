package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// What has been, over the runtimes of a mesh.

// A Moment says which: the record of a version, or else the last record that is
// not later than a time.
type Moment struct {
	Version uint64
	Time    time.Time
}

// StateAt returns an instance as it was after one of its records. It fails with
// fsm.ErrUnknownRecord if there is no such record, or it is not kept any more,
// and as Get does.
func (c *Client) StateAt(ctx context.Context, t Target, m Moment) (_ *fsm.Past, err error) {
	defer c.did(CallPast, time.Now(), &err)
	cmd := &Command{Do: doStateAt, After: m.Version}
	if m.Version == 0 {
		cmd.At = m.Time.UnixMilli()
	}
	out, err := c.toOwner(ctx, t, cmd)
	if err != nil {
		return nil, err
	}
	if len(out.Records) != 1 {
		return nil, &fsm.Error{Code: fsm.CodeUnknownRecord, Instance: t.ID, Key: t.Key, Detail: "the runtime's answer has none"}
	}
	return out.Records[0].Past(), nil
}

// Causes returns the chain that led to a record, across runtimes: the record
// itself first, then the one that led to it, and so on up to what came from
// outside or from a timer. It ends early, without an error, at a record that is
// not kept any more, or whose runtime is not there: the last one's CausedBy is
// not zero then. It fails with fsm.ErrUnknownRecord, or as Get does, if the
// record itself is not to be had.
func (c *Client) Causes(ctx context.Context, id fsm.RecordID) (_ []*fsm.Record, err error) {
	defer c.did(CallPast, time.Now(), &err)
	var chain []*fsm.Record
	for id != (fsm.RecordID{}) && len(chain) < maxChain {
		out, err := c.toOwner(ctx, Target{ID: id.Instance}, &Command{Do: doCauses, Record: &id})
		if err != nil || len(out.Records) == 0 {
			if len(chain) > 0 && ctx.Err() == nil {
				break
			}
			return nil, cmp.Or(err, error(&fsm.Error{Code: fsm.CodeUnknownRecord, Instance: id.Instance, Version: id.Version}))
		}
		chain = append(chain, out.Records...)
		id = chain[len(chain)-1].CausedBy
	}
	return chain, nil
}

// maxChain bounds the chain of causes that is followed.
const maxChain = 10_000

// Caused returns what a record led to, across instances and runtimes, level by
// level: what is cut off by the bounds is what lies deepest. What a record sent
// to other components is asked of the runtimes that host those. It fails as Causes
// does; with a tree, a *MissingError says who did not answer.
func (c *Client) Caused(ctx context.Context, id fsm.RecordID, o fsm.CausedOptions) (_ *fsm.CausedNode, err error) {
	defer c.did(CallPast, time.Now(), &err)
	o.Depth, o.Count = cmp.Or(o.Depth, 100), cmp.Or(o.Count, 1000)
	out, err := c.toOwner(ctx, Target{ID: id.Instance}, &Command{Do: doStateAt, After: id.Version})
	if err != nil {
		return nil, err
	}
	if len(out.Records) != 1 {
		return nil, &fsm.Error{Code: fsm.CodeUnknownRecord, Instance: id.Instance, Version: id.Version}
	}
	top := &fsm.CausedNode{Record: out.Records[0]}
	first, cancel := context.WithTimeout(ctx, c.o.Timeout)
	hosts, err := c.hosts(first, "", time.Time{})
	cancel()
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, h := range hosts.gone {
		missing = append(missing, h.label())
	}
	level, count := []*fsm.CausedNode{top}, 1
	for depth := 0; len(level) > 0; depth++ {
		caused, silent, err := c.causedBy(ctx, hosts.live, level)
		if err != nil {
			return nil, err
		}
		missing = append(missing, silent...)
		var below []*fsm.CausedNode
		for _, n := range level {
			for _, r := range caused[n.Record.ID()] {
				if depth >= o.Depth || count >= o.Count {
					n.Cut = true
					break
				}
				count++
				child := &fsm.CausedNode{Record: r}
				n.Caused = append(n.Caused, child)
				below = append(below, child)
			}
		}
		level = below
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return top, &MissingError{slices.Compact(missing)}
	}
	return top, nil
}

// maxCaused bounds the records that are asked about at once.
const maxCaused = 100

// causedBy asks all runtimes: what is kept without a store does not say to which
// components something was sent.
func (c *Client) causedBy(ctx context.Context, hosts []Identity, of []*fsm.CausedNode) (caused map[fsm.RecordID][]*fsm.Record, missing []string, err error) {
	var ids []fsm.RecordID
	for _, n := range of {
		ids = append(ids, n.Record.ID())
	}
	caused = map[fsm.RecordID][]*fsm.Record{}
	var mu sync.Mutex // guards caused and missing
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Go(func() {
			found, err := c.causedIn(ctx, h.RuntimeID, ids)
			mu.Lock()
			defer mu.Unlock()
			for _, r := range found {
				caused[r.CausedBy] = append(caused[r.CausedBy], r)
			}
			if err != nil {
				missing = append(missing, h.label())
			}
		})
	}
	wg.Wait()
	for _, list := range caused {
		slices.SortFunc(list, func(a, b *fsm.Record) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Version, b.Version))
		})
	}
	return caused, missing, context.Cause(ctx)
}

// causedIn asks one runtime.
func (c *Client) causedIn(ctx context.Context, runtimeID string, ids []fsm.RecordID) (found []*fsm.Record, err error) {
	for some := range slices.Chunk(ids, maxCaused) {
		for had := uint64(0); ; {
			once, cancel := context.WithTimeout(ctx, c.o.Timeout)
			out, err := c.request(once, c.bus.subjects.runtime(runtimeID, "command"), &Command{Do: doCaused, Records: some, After: had})
			cancel()
			if err != nil {
				return found, err
			}
			found = append(found, out.Records...)
			if !out.More || len(out.Records) == 0 {
				break
			}
			had += uint64(len(out.Records))
		}
	}
	return found, nil
}

// stateAt answers with the one record that is asked for.
func (a *Attachment) stateAt(ctx context.Context, id string, c *Command) (*Outcome, error) {
	var p *fsm.Past
	var err error
	if c.After > 0 {
		p, err = a.rt.StateAt(ctx, id, c.After)
	} else {
		p, err = a.rt.StateAtTime(ctx, id, time.UnixMilli(c.At))
	}
	if err != nil {
		return nil, err
	}
	return &Outcome{Instance: id, Records: []*fsm.Record{p.Record}}, nil
}

// causes answers with the part of a chain that this runtime has, as much of it as
// fits: the asker goes on from there.
func (a *Attachment) causes(ctx context.Context, c *Command) (*Outcome, error) {
	if c.Record == nil {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "the command names no record"}
	}
	chain, err := a.rt.Causes(ctx, *c.Record)
	if err != nil {
		return nil, err
	}
	out := &Outcome{Instance: c.Record.Instance}
	size := 0
	for _, r := range chain {
		if full, err := out.add(r, &size); full || err != nil {
			return out, err
		}
	}
	return out, nil
}

// caused answers with what records led to in a component.
func (a *Attachment) caused(ctx context.Context, component string, c *Command) (*Outcome, error) {
	if len(c.Records) > maxCaused {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Count: maxCaused, Detail: "too many records are asked about at once"}
	}
	out, n, size := &Outcome{}, uint64(0), 0
	for r, err := range a.rt.CausedBy(ctx, c.Records...) {
		if err != nil {
			return nil, err
		}
		if r.Component != component {
			continue
		}
		if n++; n <= c.After {
			continue
		}
		if full, err := out.add(r, &size); full || err != nil {
			return out, err
		}
	}
	return out, nil
}

// add takes a record in if there is room for it, and says in More if not.
func (o *Outcome) add(r *fsm.Record, size *int) (full bool, err error) {
	b, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	if *size += len(b); len(o.Records) > 0 && *size > MaxReply {
		o.More = true
		return true, nil
	}
	o.Records = append(o.Records, r)
	return false, nil
}
