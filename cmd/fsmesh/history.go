package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/spf13/cobra"
)

// A looking says how history looks back.
type looking struct {
	target     targetFlag
	after      uint64
	limit      int
	at         string
	correlated string
	tree, diff bool
}

func (p *program) historyCommand() *cobra.Command {
	var o looking
	c := &cobra.Command{
		Use:   "history (ID | --key KEY | --correlated FIELD=VALUE)",
		Short: "Show what happened to an instance of a running mesh",
		Long: `Shows the records of an instance, oldest first, also of one that ended as long as
its store keeps it. Runtimes without a store keep the last 16 of each instance.

With --at it shows the instance as it was after the record of a version, or at a
time. With --tree it shows for each record that came from outside what it led to,
across components. With --diff it shows what each record changed in the data. With
--correlated it lists all instances, live or ended, that have a value in a field.`,
		Example: `  fsmesh history 0198c5a8-3c4e-7a6b-9d55-0a4f6f1f2f10
  fsmesh history --key order:42 --after 3 -o json
  fsmesh history --key order:42 --at 3
  fsmesh history --key order:42 --at 2026-01-31T12:00:00Z
  fsmesh history --key order:42 --tree
  fsmesh history --correlated orderId=ORD-7`,
	}
	r := p.newRemote(c)
	o.target.flags(c)
	f := c.Flags()
	f.Uint64Var(&o.after, "after", 0, "only what came after this version")
	f.IntVar(&o.limit, "limit", 0, "how many records, or instances, at most; 0 is all")
	f.StringVar(&o.at, "at", "", "show the instance as it was: after the record of this version, or at this time, such as 2026-01-31T12:00:00Z")
	f.BoolVar(&o.tree, "tree", false, "show what the records led to")
	f.BoolVar(&o.diff, "diff", false, "show what the records changed in the data")
	f.StringVar(&o.correlated, "correlated", "", "list all instances that have this: FIELD=VALUE")
	c.RunE = func(c *cobra.Command, words []string) error {
		if o.limit < 0 {
			return usage("--limit %d is out of range; 0 is all", o.limit)
		}
		if err := o.one(); err != nil {
			return err
		}
		if o.correlated != "" {
			return r.correlatedWith(c, words, &o)
		}
		t, _, err := o.target.split(c, words, 0, 0)
		if err != nil {
			return err
		}
		var at mesh.Moment
		if o.at != "" {
			if at, err = parseMoment(o.at); err != nil {
				return err
			}
		}
		return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
			switch {
			case o.at != "":
				return s.stateAt(ctx, t, at)
			case o.tree:
				return s.tree(ctx, t, &o)
			case o.diff:
				return s.diff(ctx, t, &o)
			}
			return s.history(ctx, t, &o)
		})
	}
	return c
}

// one checks that it looks back in one way.
func (o *looking) one() error {
	n := 0
	for _, given := range []bool{o.at != "", o.tree, o.diff, o.correlated != ""} {
		if given {
			n++
		}
	}
	if n > 1 {
		return usage("--at, --tree, --diff and --correlated are different things; give one of them")
	}
	return nil
}

// records goes through the records of an instance.
func (s *session) records(ctx context.Context, t mesh.Target, after uint64, limit int, take func(*fsm.Record) error) error {
	for n := 0; ; {
		left := limit
		if limit > 0 {
			left -= n
		}
		out, err := s.client.History(ctx, t, after, left)
		if err == nil && n > 0 {
			err = out.Follows(after)
		}
		if err != nil {
			return unanswered(err)
		}
		for _, rec := range out.Records {
			after = rec.Version
			n++
			if err := take(rec); err != nil {
				return err
			}
		}
		if !out.More || len(out.Records) == 0 || limit > 0 && n >= limit {
			return nil
		}
	}
}

func (s *session) history(ctx context.Context, t mesh.Target, o *looking) error {
	list := s.later("VERSION", "TIME", "EVENT", "FROM", "TO", "STATUS", "CAUSED BY")
	err := s.records(ctx, t, o.after, o.limit, func(rec *fsm.Record) error {
		return list().add(rec, strconv.FormatUint(rec.Version, 10), moment(rec.Time), rec.Event.Type, rec.Before, rec.After, rec.Status.String(), rec.CausedBy.String())
	})
	if err != nil {
		return err
	}
	return list().end()
}

// later begins a list where it is first needed, so that an error before it is
// all that is said.
func (r *remote) later(head ...string) func() *listing {
	var l *listing
	return func() *listing {
		if l == nil {
			l = r.listing(head...)
		}
		return l
	}
}

// parseMoment reads --at.
func parseMoment(text string) (m mesh.Moment, err error) {
	if m.Version, err = strconv.ParseUint(text, 10, 64); err == nil && m.Version > 0 {
		return m, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05"} {
		if m.Time, err = time.ParseInLocation(layout, text, time.Local); err == nil {
			return mesh.Moment{Time: m.Time}, nil
		}
	}
	return m, usage("--at %q is no version, from 1, and no time such as 2026-01-31T12:00:00Z", text)
}

// A pastLine is an instance as it was, as it is printed.
type pastLine struct {
	ID        string      `json:"instanceId"`
	Key       string      `json:"key,omitempty"`
	Component string      `json:"componentName"`
	Machine   string      `json:"machineName"`
	State     string      `json:"currentState"`
	Status    string      `json:"status"`
	Version   uint64      `json:"version"`
	Data      fsm.Data    `json:"data"`
	Context   fsm.Data    `json:"context"`
	Record    *fsm.Record `json:"record"`
}

func (s *session) stateAt(ctx context.Context, t mesh.Target, at mesh.Moment) error {
	p, err := s.client.StateAt(ctx, t, at)
	if err != nil {
		return unanswered(err)
	}
	r := p.Record
	data, err := marshal(p.Data)
	if err != nil {
		return err
	}
	key := s.keyOf(ctx, mesh.Target{ID: r.Instance, Component: r.Component})
	return s.print(&pastLine{r.Instance, key, r.Component, r.Machine, p.State, p.Status.String(), r.Version, p.Data, p.Context, r},
		"id", r.Instance, "key", key, "component", r.Component, "machine", r.Machine, "state", p.State, "status", p.Status.String(),
		"version", strconv.FormatUint(r.Version, 10), "event", r.Event.Type, "time", moment(r.Time), "caused by", r.CausedBy.String(), "data", string(data))
}

// keyOf is the key of an instance: its creation has it, or, where that is not
// kept any more, the instance itself. It is "" where neither tells.
func (s *session) keyOf(ctx context.Context, t mesh.Target) string {
	if out, err := s.client.History(ctx, t, 0, 1); err == nil && len(out.Records) > 0 && out.Records[0].Origin != nil {
		return out.Records[0].Origin.Key
	}
	if out, err := s.client.Get(ctx, t); err == nil && out.Row != nil {
		return out.Row.Key
	}
	return ""
}

// A diffLine is what a record changed.
type diffLine struct {
	Version uint64       `json:"version"`
	Event   string       `json:"event"`
	State   string       `json:"stateAfter"`
	Time    int64        `json:"persistedAt"`
	Changes []fsm.Change `json:"changes"`
}

func (s *session) diff(ctx context.Context, t mesh.Target, o *looking) error {
	var before fsm.Data
	if o.after > 0 {
		p, err := s.client.StateAt(ctx, t, mesh.Moment{Version: o.after})
		if err != nil {
			return unanswered(err)
		}
		before = p.Data
	}
	list := s.later("VERSION", "EVENT", "TO", "PATH", "BEFORE", "AFTER")
	last := o.after
	err := s.records(ctx, t, o.after, o.limit, func(rec *fsm.Record) error {
		now := rec.Past()
		line := &diffLine{Version: rec.Version, Event: rec.Event.Type, State: rec.After, Time: rec.Time}
		if rec.Version == last+1 {
			line.Changes = fsm.Diff(before, now.Data)
		} else {
			fmt.Fprintf(s.p.stderr, "fsmesh: records before version %d are not kept: what it changed is not known\n", rec.Version)
		}
		before, last = now.Data, rec.Version
		return list().addChanges(line)
	})
	if err != nil {
		return err
	}
	return list().end()
}

// addChanges prints a row for each change in a table.
func (l *listing) addChanges(d *diffLine) error {
	version := strconv.FormatUint(d.Version, 10)
	if l.form != "table" {
		if d.Changes == nil {
			d.Changes = []fsm.Change{}
		}
		return l.add(d)
	}
	if len(d.Changes) == 0 {
		return l.add(d, version, d.Event, d.State, "", "", "")
	}
	for _, c := range d.Changes {
		before, err := marshal(c.Before)
		if err != nil {
			return err
		}
		after, err := marshal(c.After)
		if err != nil {
			return err
		}
		if c.Added {
			before = nil
		}
		if c.Removed {
			after = nil
		}
		if err := l.add(d, version, d.Event, d.State, c.Path, string(before), string(after)); err != nil {
			return err
		}
	}
	return nil
}

// tree shows what the records of an instance led to. One that is in the tree of
// an earlier one is not shown again.
func (s *session) tree(ctx context.Context, t mesh.Target, o *looking) error {
	shown := map[fsm.RecordID]bool{}
	missing := map[string]bool{}
	list := s.later("RECORD", "TIME", "COMPONENT", "MACHINE", "EVENT", "TO")
	err := s.records(ctx, t, o.after, o.limit, func(rec *fsm.Record) error {
		if shown[rec.ID()] {
			return nil
		}
		tree, err := s.client.Caused(ctx, rec.ID(), fsm.CausedOptions{})
		if m, ok := errors.AsType[*mesh.MissingError](err); ok && tree != nil {
			for _, r := range m.Runtimes {
				missing[r] = true
			}
		} else if err != nil {
			return unanswered(err)
		}
		note(shown, tree)
		if s.form.value != "table" {
			return list().add(tree)
		}
		return list().addTree(tree, 0)
	})
	if err != nil {
		return err
	}
	if err := list().end(); err != nil {
		return err
	}
	s.warnMissing(missing)
	return nil
}

func note(shown map[fsm.RecordID]bool, n *fsm.CausedNode) {
	shown[n.Record.ID()] = true
	for _, c := range n.Caused {
		note(shown, c)
	}
}

// addTree prints a row for each record, what it led to below it.
func (l *listing) addTree(n *fsm.CausedNode, depth int) error {
	r := n.Record
	name := r.ID().String()
	if depth > 0 {
		name = strings.Repeat("·", depth) + name // leading blanks would be lost
	}
	if err := l.add(n, name, moment(r.Time), r.Component, r.Machine, r.Event.Type, r.After); err != nil {
		return err
	}
	for _, c := range n.Caused {
		if err := l.addTree(c, depth+1); err != nil {
			return err
		}
	}
	if n.Cut {
		return l.add(n, strings.Repeat("·", depth+1)+"…", "", "", "", "", "")
	}
	return nil
}

// warnMissing says who did not answer.
func (s *session) warnMissing(runtimes map[string]bool) {
	for _, name := range sortedNames(runtimes) {
		fmt.Fprintf(s.p.stderr, "fsmesh: runtime %s did not answer: what it has is not shown\n", name)
	}
}

func sortedNames(set map[string]bool) []string {
	var out []string
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// correlatedWith lists the instances that have a value in a field.
func (r *remote) correlatedWith(c *cobra.Command, words []string, o *looking) error {
	field, value, ok := strings.Cut(o.correlated, "=")
	if !ok || field == "" {
		return usage("--correlated %q is not FIELD=VALUE, such as orderId=ORD-7", o.correlated)
	}
	if len(words) > 0 || o.target.key != "" {
		return usage("--correlated finds instances by itself; leave the id and --key out")
	}
	return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
		search := fsm.Search{Component: o.target.component, Field: field, Value: value}
		list, missing := s.later("ID", "KEY", "MACHINE", "STATE", "STATUS", "VERSION", "COMPONENT", "RUNTIME", "UPDATED"), map[string]bool{}
		for in, err := range s.client.Search(ctx, search, o.limit) {
			if m, ok := errors.AsType[*mesh.MissingError](err); ok {
				for _, name := range m.Runtimes {
					missing[name] = true
				}
				break
			}
			if err != nil {
				return unanswered(err)
			}
			line := lineOf(in.Row, in.RuntimeID, in.Name, in.Component)
			if err := list().add(line, in.ID, in.Key, in.Machine, in.State, string(in.Status), strconv.FormatUint(in.Version, 10), in.Component, in.Name, moment(in.UpdatedAt)); err != nil {
				return err
			}
		}
		if err := list().end(); err != nil {
			return err
		}
		s.warnMissing(missing)
		return nil
	})
}
