package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
	"github.com/spf13/cobra"
)

// pageSize is how many instances are taken from the view at a time.
const pageSize = 1000

func (p *program) lsCommand() *cobra.Command {
	var f mesh.Filter
	var where []string
	var limit int
	var newest bool
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the instances of a running mesh",
		Long: `Lists the live instances of all runtimes, those that are asked for, and entry points
also when they have ended. Others that have ended are to be had by id or key (get,
history), and for a while on the pages and in the API of serve and dashboard.

It waits until it knows exactly what there is, or the timeout has passed; then it
says on the standard error which runtimes it is not sure of. Exit status 3 means that
nobody has a runtime, component, machine or state of that name.`,
		Example: `  fsmesh ls
  fsmesh ls --machine Order --state Paid --limit 20
  fsmesh ls --component Orders --key-prefix order: --live -o json
  fsmesh ls --where amount=12.5 --where 'customer="Ada"'`,
		Args: args(0, 0),
	}
	r := p.newRemote(c)
	fl := c.Flags()
	fl.StringVar(&f.Name, "runtime", "", "only those of runtimes of this name")
	fl.StringVar(&f.Component, "component", "", "only those of this component")
	fl.StringVar(&f.Machine, "machine", "", "only those of this machine")
	fl.StringVar(&f.State, "state", "", "only those in this state")
	fl.StringVar(&f.Prefix, "key-prefix", "", "only those whose key, or id, begins with this")
	fl.BoolVar(&f.Live, "live", false, "only those that have not ended")
	fl.StringArrayVar(&where, "where", nil, "only those whose data has this: NAME=JSON, or NAME.NAME=JSON")
	fl.IntVar(&limit, "limit", 0, "how many at most; 0 is all")
	fl.BoolVar(&newest, "newest", false, "those that came last first")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if limit < 0 {
			return usage("--limit %d is out of range; 0 is all", limit)
		}
		for _, w := range where {
			path, value, ok := strings.Cut(w, "=")
			if !ok || path == "" || !json.Valid([]byte(value)) {
				return usage("--where %q is not NAME=JSON, such as amount=12.5 or 'name=\"Ada\"'", w)
			}
			f.Properties = append(f.Properties, mesh.Property{Path: path, Value: json.RawMessage(value)})
		}
		return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
			return s.list(ctx, f, newest, limit)
		})
	}
	return c
}

func (s *session) list(ctx context.Context, f mesh.Filter, newest bool, limit int) error {
	v, infos, err := s.watch(ctx)
	if err != nil {
		return err
	}
	defer closeView(v)
	out := s.listing("ID", "KEY", "MACHINE", "STATE", "STATUS", "VERSION", "COMPONENT", "RUNTIME", "UPDATED")
	cursor := ""
	for {
		n := pageSize
		if limit > 0 {
			n = min(n, limit-out.n)
		}
		var page mesh.Page
		v.Read(func(d *mesh.Directory) { page, err = d.List(f, newest, cursor, n) })
		if err != nil {
			return err
		}
		for i := range page.Instances {
			in := &page.Instances[i]
			line := lineOf(in.Row, in.RuntimeID, in.Name, in.Component)
			line.Stale = in.Stale
			if err := out.add(line, in.ID, in.Key, in.Machine, in.State, string(in.Status), strconv.FormatUint(in.Version, 10), in.Component, in.Name, moment(in.UpdatedAt)); err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" || limit > 0 && out.n >= limit {
			break
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
	if out.n == 0 {
		if err := misnamed(infos, f); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	for _, i := range infos {
		if inexact(i) {
			fmt.Fprintf(s.p.stderr, "fsmesh: what is listed of runtime %s of component %s may be out of date or incomplete: %s\n", i.Name, i.Component, i.Exactness.Reason)
		}
	}
	if len(infos) == 0 {
		fmt.Fprintln(s.p.stderr, "fsmesh: no runtime is on the mesh")
	}
	return nil
}

func (p *program) runtimesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "runtimes",
		Short: "List the runtimes of a running mesh",
		Long: `Lists the runtimes that are on the mesh now, each component of one for itself:
whether they are live, whether what is known of their instances is exact, and if
not why, how many instances are live, and how many are quarantined if some are. One whose process was killed is lost, with
when it was last heard, for a minute after that and as long as another runtime is
there that has heard of it.`,
		Example: `  fsmesh runtimes
  fsmesh runtimes --url nats://127.0.0.1:4222 -o json`,
		Args: args(0, 0),
	}
	r := p.newRemote(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
			v, infos, err := s.watch(ctx)
			if err != nil {
				return err
			}
			closeView(v)
			return s.printRuntimes(infos)
		})
	}
	return c
}

// A runtimeLine is a runtime as it is printed.
type runtimeLine struct {
	mesh.Identity
	Host   string             `json:"host,omitempty"`
	Port   int                `json:"port,omitempty"`
	Status mesh.RuntimeStatus `json:"status,omitempty"`
	Exact  bool               `json:"exact"`
	Reason mesh.Reason        `json:"reason,omitempty"`
	// Live counts instances. Of a lost runtime they are not known.
	Live *int `json:"live,omitempty"`
	// Quarantined counts those that are set aside.
	Quarantined int `json:"quarantined,omitempty"`
	// Since is when a lost runtime was last heard. A command that has just come
	// does not know how long others are what they are.
	Since time.Time `json:"since,omitzero"`
}

func (s *session) printRuntimes(infos []mesh.RuntimeInfo) error {
	columns := []string{"NAME", "COMPONENT", "STATUS", "EXACT", "LIVE", "LAST HEARD"}
	held := slices.ContainsFunc(infos, func(i mesh.RuntimeInfo) bool { return i.Quarantined > 0 })
	if held {
		columns = append(columns, "QUARANTINED")
	}
	out := s.listing(columns...)
	for _, i := range infos {
		l := runtimeLine{Identity: i.Identity, Host: i.Host, Port: i.Port, Status: i.Status, Exact: i.Exactness.Exact, Reason: i.Exactness.Reason, Quarantined: i.Quarantined}
		live := ""
		if i.Status != mesh.Lost || i.Rows > 0 {
			n := i.InMotion()
			l.Live, live = &n, strconv.Itoa(n)
		}
		exact := "yes"
		if !l.Exact {
			exact = "no: " + string(l.Reason)
		}
		since := ""
		if l.Status == mesh.Lost {
			l.Since, since = i.Since, moment(i.Since.UnixMilli())
		}
		cells := []string{l.Name, l.Component, string(l.Status), exact, live, since}
		if held {
			cells = append(cells, strconv.Itoa(i.Quarantined))
		}
		if err := out.add(l, cells...); err != nil {
			return err
		}
	}
	if len(infos) == 0 {
		fmt.Fprintln(s.p.stderr, "fsmesh: no runtime is on the mesh")
	}
	return out.end()
}
