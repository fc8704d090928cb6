package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/jsonobject"
	"github.com/fsmesh/fsmesh/internal/nearest"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxLine bounds a line of the standard input.
const maxLine = 4 << 20

func (p *program) runCommand() *cobra.Command {
	var data, state string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "run FILE MACHINE [EVENT…]",
		Short: "Run one instance of a machine, by hand or by script",
		Long: `Creates one instance on a real runtime and sends it events: those given, else the
lines of the standard input. On a terminal it asks for them. Timers run, children
are created, events are sent on; hooks are named but do nothing. A script ends
with exit status 4 at the first event that is refused.

A line is EVENT, EVENT=JSON or EVENT JSON, or one of: help, timers, data, wait
DURATION, quit; "send EVENT" sends an event that has such a name.`,
		Example: `  fsmesh run order.yaml Order                       # ask for events
  fsmesh run order.yaml Order SUBMIT 'PAY={"amount": 12.5}'
  printf 'SUBMIT\nwait 2s\n' | fsmesh run order.yaml Order
  fsmesh run order.yaml Order --data '{"orderId": "ORD-1"}' --state Paid PACK`,
		Args: args(2, -1),
	}
	c.Flags().StringVar(&data, "data", "", "the instance's data, a JSON object")
	c.Flags().StringVar(&state, "state", "", "state to create the instance in (default: the initial one)")
	c.Flags().DurationVar(&wait, "wait", 0, "how long to go on after the last event, for timers")
	c.RunE = func(c *cobra.Command, args []string) error {
		events, err := parseEvents(args[2:])
		if err != nil {
			return err
		}
		comp, err := p.load(args[0])
		if err != nil {
			return err
		}
		m, err := machine(comp, args[0], args[1])
		if err != nil {
			return err
		}
		in := &console{p: p, m: m, hosted: comp.Name}
		start, err := in.parseStart(data, state)
		if err != nil {
			return err
		}
		if err := in.start(c.Context(), comp, start); err != nil {
			return err
		}
		err = in.play(c.Context(), events, wait)
		return errors.Join(err, in.stop())
	}
	return c
}

// A console runs one instance and prints what happens to it.
type console struct {
	p      *program
	m      *fsm.Machine
	hosted string
	rt     *fsm.Runtime
	out    screen
	id     string
	asking bool // a person types the events
}

// A startingPoint is what the instance is created with.
type startingPoint struct {
	data map[string]any
	opts []fsm.CreateOption
}

func (c *console) parseStart(data, state string) (startingPoint, error) {
	s := startingPoint{}
	if data != "" {
		var err error
		if s.data, err = jsonobject.Read(data); err != nil {
			return s, usage("--data is not a JSON object: %w", err)
		}
	}
	if state != "" {
		var names []string
		for _, st := range c.m.States {
			names = append(names, st.Name)
		}
		if near, ok := nearest.Match(state, names); ok && near != state {
			return s, notFound("machine %s has no state %q; did you mean %q?", c.m.Name, state, near)
		}
		s.opts = append(s.opts, fsm.InState(state))
	}
	return s, nil
}

// checkData refuses data that does not fit the machine's schema, and none where
// the schema requires some.
func (c *console) checkData(data map[string]any) error {
	faults := c.m.CheckContext(data)
	if len(faults) == 0 {
		return nil
	}
	var words []string
	for _, f := range faults {
		words = append(words, f.Field+": "+f.Message)
	}
	if data == nil {
		return usage("%s needs data, and there is no --data: %s", c.m.Name, strings.Join(words, "; "))
	}
	return usage("--data does not fit the contextSchema of %s: %s", c.m.Name, strings.Join(words, "; "))
}

// start starts the runtime and creates the instance.
func (c *console) start(ctx context.Context, comp *fsm.Component, s startingPoint) error {
	c.out.w = c.p.stdout
	rt, err := fsm.NewRuntime(fsm.Config{
		Components: []*fsm.Component{comp},
		Hooks:      fsm.Hooks{Default: func(*fsm.Call) error { return nil }},
		// One shard, in order: what is printed comes in the order in which
		// it happens.
		Shards:  1,
		Ordered: true,
		Trace:   c.trace,
		Logger:  slog.New(slog.NewTextHandler(c.p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	if err := rt.Start(ctx); err != nil {
		return err
	}
	c.rt = rt
	in, err := c.create(ctx, comp, s)
	if err != nil {
		return errors.Join(err, c.stop())
	}
	c.out.follow(in)
	c.id = in.ID()
	return nil
}

// create makes the instance, or takes the one that the component has of
// itself where nothing is said about it.
func (c *console) create(ctx context.Context, comp *fsm.Component, s startingPoint) (*fsm.Instance, error) {
	if s.data == nil && len(s.opts) == 0 {
		for entry := range c.rt.Instances(fsm.Filter{Component: comp.Name, Machine: c.m.Name}) {
			return entry, nil
		}
	}
	if err := c.checkData(s.data); err != nil {
		return nil, err
	}
	return c.rt.Create(ctx, c.m.Name, s.data, append(s.opts, fsm.WithID(c.m.Name+"-1"))...)
}

func (c *console) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.rt.Stop(ctx)
}

// play sends the events, or those of the standard input, then waits.
func (c *console) play(ctx context.Context, events []fsm.Event, wait time.Duration) error {
	c.out.status(c.accepts())
	for _, ev := range events {
		if err := c.send(ctx, ev); err != nil {
			return stopped(ctx, err)
		}
	}
	if len(events) == 0 {
		if err := c.read(ctx); err != nil {
			return stopped(ctx, err)
		}
	}
	pause(ctx, wait)
	return nil
}

// stopped drops the error of what was under way when the program was told to
// end.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (c *console) send(ctx context.Context, ev fsm.Event) error {
	if !c.asking {
		c.out.line("> " + ev.Type)
	}
	if _, err := c.rt.Send(ctx, c.id, ev, fsm.Settled()); err != nil {
		return err
	}
	c.out.status(c.accepts())
	return nil
}

// accepts asks the runtime, as a timer may have moved the instance on.
func (c *console) accepts() []string {
	in, err := c.rt.Get(c.id)
	if err != nil {
		return nil
	}
	return in.Accepts()
}

// read takes lines until there are no more. On a terminal it prompts, and goes
// on after a refusal.
func (c *console) read(ctx context.Context) error {
	c.asking = isTerminal(c.p.stdin)
	lines := readLines(c.p.stdin)
	for {
		c.out.prompt(c.asking)
		select {
		case <-ctx.Done():
			c.out.leave()
			return nil
		case l, ok := <-lines:
			c.out.leave()
			if !ok && c.asking {
				c.out.line("") // the prompt has a line of its own
			}
			if !ok || l.text == "quit" || l.text == "exit" {
				return nil
			}
			err := l.err
			if err == nil {
				err = c.do(ctx, l.text)
			}
			switch {
			case err == nil:
			case c.asking && l.err == nil && ctx.Err() == nil:
				c.out.line(oneLine(err.Error()))
			default:
				return err
			}
		}
	}
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

type inputLine struct {
	text string
	err  error
}

// readLines reads lines on a goroutine, as a read of a terminal can't be
// interrupted: it ends with its reader, or with the process.
func readLines(r io.Reader) <-chan inputLine {
	lines := make(chan inputLine, 1)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(r)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			lines <- inputLine{text: strings.TrimSpace(s.Text())}
		}
		if err := s.Err(); err != nil {
			lines <- inputLine{err: fmt.Errorf("read the standard input: %w", err)}
		}
	}()
	return lines
}

const consoleHelp = `EVENT, EVENT=JSON, EVENT JSON  send an event
send EVENT                     the same, for one named like a word below
timers                         what will happen by itself, and when
data                           the instance's data
wait DURATION                  let time pass: wait 2s
quit                           end`

// do takes one line.
func (c *console) do(ctx context.Context, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "":
		return nil
	case "help", "?":
		c.out.line(consoleHelp)
		return nil
	case "timers":
		return c.timers()
	case "data":
		return c.data()
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return usage("wait %q is not a duration; say wait 500ms or wait 2s", rest)
		}
		pause(ctx, d)
		c.out.status(c.accepts())
		return nil
	case "send":
		line = rest
	}
	// EVENT JSON is EVENT=JSON for people.
	if name, payload, ok := strings.Cut(line, " "); ok && strings.HasPrefix(strings.TrimSpace(payload), "{") {
		line = name + "=" + strings.TrimSpace(payload)
	}
	ev, err := parseEvent(line)
	if err != nil {
		return err
	}
	return c.send(ctx, ev)
}

func (c *console) timers() error {
	in, err := c.rt.Get(c.id)
	if err != nil {
		return err
	}
	timers := in.Timers()
	for _, t := range timers {
		c.out.line(fmt.Sprintf("  %s → %s in %v of %v", t.Event, t.TargetState, time.Until(t.Due).Round(100*time.Millisecond), t.Total))
	}
	if len(timers) == 0 {
		c.out.line("  no timer is running")
	}
	return nil
}

func (c *console) data() error {
	in, err := c.rt.Get(c.id)
	if err != nil {
		return err
	}
	var b strings.Builder
	writeJSON(&b, in.Data())
	c.out.line(strings.TrimSpace(b.String()))
	return nil
}
