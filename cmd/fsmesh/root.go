package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/internal/nearest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// root returns the command tree.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fsmesh",
		Short: "Durable fleets of finite-state machines",
		Long: `fsmesh checks, draws, tries out and hosts state machines that are defined in
YAML. Begin with "fsmesh demo" and a browser. node, serve --broker and the
commands with --url are for fleets of several processes, bridge for those that
run on Redis or RabbitMQ.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused by the
machine (the event is ignored, the instance has ended).`,
		Example: `  fsmesh demo
  fsmesh validate order.yaml
  fsmesh simulate order.yaml Order SUBMIT PAY
  fsmesh serve order.yaml
  fsmesh ls --url nats://127.0.0.1:4222`,
		Args:          p.knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.Version = readBuild().Version // which makes --version and -v
	root.SetVersionTemplate(readBuild().String())
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(p.validateCommand(), p.simulateCommand(), p.runCommand(), p.diagramCommand(),
		p.schemaCommand(), p.serveCommand(), p.dashboardCommand(), p.demoCommand(), p.versionCommand(), p.initCommand(), p.nodeCommand(), p.bridgeCommand(), p.readyCommand(),
		p.runtimesCommand(), p.lsCommand(), p.getCommand(), p.sendCommand(), p.createCommand(), p.broadcastCommand(),
		p.historyCommand(), p.watchCommand(), p.deadLettersCommand(), p.storeCommand(), p.contextCommand())
	p.completions(root)
	root.SetHelpCommand(p.helpCommand(root))
	// Cobra makes this one, and would show its help for a shell that it does
	// not know.
	root.InitDefaultCompletionCmd("completion")
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = p.knownCommand
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	return root
}

// helpCommand is that of cobra but for a command that is not there: that is an
// error.
func (p *program) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(_ *cobra.Command, words []string) error {
			c := root
			for _, w := range words {
				if err := p.knownCommand(c, []string{w}); err != nil {
					return err
				}
				next, _, err := c.Find([]string{w})
				if err != nil || next == c {
					return usage("no command %q; %s --help lists all", strings.Join(words, " "), root.Name())
				}
				c = next
			}
			return c.Help()
		},
	}
}

// knownCommand refuses what is not a command and names the nearest.
func (p *program) knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() || s.Name() == "help" {
			names = append(names, s.Name())
		}
	}
	if slices.Contains(names, args[0]) {
		return nil
	}
	if len(names) == 0 {
		return usage("%s has no commands of its own", c.CommandPath())
	}
	if name, ok := nearest.Match(args[0], names); ok {
		return usage("no command %q; did you mean %q? (%s --help lists all)", args[0], name, c.CommandPath())
	}
	is := "are"
	if len(names) == 1 {
		is = "is"
	}
	return usage("no command %q; there %s %s", args[0], is, strings.Join(names, ", "))
}

// flagError says in one line what is wrong with a flag, and names the nearest
// where it is not known.
func flagError(c *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		name := unknown.GetSpecifiedName()
		if near, ok := nearest.Match(name, names); ok {
			return usage("%s has no flag --%s; did you mean --%s?", c.CommandPath(), name, near)
		}
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		what := ""
		switch f := wrong.GetFlag(); f.Value.Type() {
		case "int", "int64":
			what = "a whole number"
		case "uint64":
			what = "a whole number, 0 or more"
		case "float64":
			what = "a number"
		case "duration":
			what = "a time, such as 250ms, 5s, 10m or 24h"
			if _, ok := f.Value.(*keeping); ok {
				what += ", or that of a machine, such as Order=24h"
			}
		}
		if what != "" {
			return usage("--%s %q is not %s", wrong.GetFlag().Name, wrong.GetValue(), what)
		}
	}
	return usage("%w (%s --help lists what is allowed)", err, c.CommandPath())
}

// args checks the number of arguments: at least low, at most high (-1 is any).
func args(low, high int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return usage("%s needs more arguments: %s", c.CommandPath(), c.UseLine())
		case high >= 0 && len(args) > high:
			return usage("%s takes no argument %q: %s", c.CommandPath(), args[high], c.UseLine())
		}
		return nil
	}
}

// oneOf is the value of a flag that takes one of a few words.
type oneOf struct {
	value   string
	allowed []string
}

// outputFlag adds -o with the allowed forms, the first of which is the default.
func outputFlag(c *cobra.Command, allowed ...string) *oneOf {
	v := &oneOf{allowed[0], allowed}
	c.Flags().VarP(v, "output", "o", "form of the output: "+strings.Join(allowed, ", "))
	// The list of a flag's values can't be registered twice; this is once.
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
	return v
}

// String returns the word.
func (v *oneOf) String() string { return v.value }

// Type is shown in the help.
func (v *oneOf) Type() string { return "form" }

// Set takes one of the allowed words.
func (v *oneOf) Set(s string) error {
	for _, a := range v.allowed {
		if a == s {
			v.value = s
			return nil
		}
	}
	if near, ok := nearest.Match(s, v.allowed); ok {
		return errors.New("did you mean " + near + "? Allowed: " + strings.Join(v.allowed, ", "))
	}
	return errors.New("allowed: " + strings.Join(v.allowed, ", "))
}
