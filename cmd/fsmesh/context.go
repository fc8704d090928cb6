package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/internal/redact"
)

func (p *program) contextCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "context",
		Short: "Keep names for the meshes that commands are for",
		Long: `A context is a name for a mesh: its URL, its name and the file of its token. The
selected one is what commands against a running mesh use, unless --context or
FSMESH_CONTEXT names another. Flags come before the environment, and that before
the context.

Contexts are kept in fsmesh/contexts.json in the user's folder for configuration
(XDG_CONFIG_HOME, else ~/.config), which only the user can read.`,
		Example: `  fsmesh context add prod --url nats://mesh.example:4222 --token-file ~/.fsmesh-token
  fsmesh context select prod
  fsmesh ls --context prod`,
		Args: p.knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.contextAdd(), p.contextList(), p.contextShow(), p.contextSelect(), p.contextRemove())
	return c
}

func (p *program) contextAdd() *cobra.Command {
	var add meshContext
	var choose bool
	c := &cobra.Command{
		Use:     "add NAME --url URL",
		Short:   "Add a context",
		Example: `  fsmesh context add test --url nats://127.0.0.1:4222 --mesh test --select`,
		Args:    args(1, 1),
	}
	c.Flags().StringVar(&add.URL, "url", "", "URL of the mesh, nats://HOST:PORT")
	c.Flags().StringVar(&add.Mesh, "mesh", "", "name of the mesh")
	c.Flags().StringVar(&add.TokenFile, "token-file", "", "file that holds the token the node asks for")
	c.Flags().BoolVar(&choose, "select", false, "select it, too")
	c.RunE = func(_ *cobra.Command, words []string) error {
		name := words[0]
		if !contextName.MatchString(name) {
			return usage("%q is no name for a context: 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first", name)
		}
		if add.URL == "" {
			return usage("a context needs --url, such as nats://127.0.0.1:4222")
		}
		if scheme, _, ok := strings.Cut(add.URL, "://"); !ok || scheme != "nats" && scheme != "tls" {
			return usage("--url does not begin with nats:// or tls://, such as nats://127.0.0.1:4222")
		}
		if add.TokenFile != "" {
			path, err := filepath.Abs(add.TokenFile)
			if err != nil {
				return err
			}
			add.TokenFile = path
		}
		return p.changeContexts(func(c *contexts) error {
			if _, there := c.Contexts[name]; there {
				return usage("there is a context %q; fsmesh context rm %s removes it", name, name)
			}
			c.Contexts[name] = add
			if choose {
				c.Selected = name
			}
			return nil
		})
	}
	return c
}

// changeContexts reads, changes and writes the contexts.
func (p *program) changeContexts(change func(*contexts) error) error {
	c, err := p.readContexts()
	if err == nil {
		err = change(c)
	}
	if err != nil {
		return err
	}
	return p.writeContexts(c)
}

// A contextLine is a context as it is printed.
type contextLine struct {
	Name      string `json:"name"`
	Selected  bool   `json:"selected"`
	URL       string `json:"url"`
	Mesh      string `json:"mesh,omitempty"`
	TokenFile string `json:"tokenFile,omitempty"`
}

func (c *contexts) line(name string) contextLine {
	of := c.Contexts[name]
	return contextLine{name, name == c.Selected, redact.URLs(of.URL), of.Mesh, of.TokenFile}
}

func (p *program) contextList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the contexts", Example: "  fsmesh context ls -o json", Args: args(0, 0)}
	r := &remote{p: p, form: outputFlag(c, "table", "json", "yaml")}
	c.RunE = func(*cobra.Command, []string) error {
		all, err := p.readContexts()
		if err != nil {
			return err
		}
		out := r.listing("NAME", "SELECTED", "URL", "MESH", "TOKEN FILE")
		for _, name := range all.names() {
			l := all.line(name)
			selected := ""
			if l.Selected {
				selected = "*"
			}
			if err := out.add(l, l.Name, selected, l.URL, l.Mesh, l.TokenFile); err != nil {
				return err
			}
		}
		return out.end()
	}
	return c
}

func (p *program) contextShow() *cobra.Command {
	c := &cobra.Command{Use: "show [NAME]", Short: "Show a context, by default the selected one", Example: "  fsmesh context show prod", Args: args(0, 1)}
	r := &remote{p: p, form: outputFlag(c, "table", "json", "yaml")}
	c.RunE = func(_ *cobra.Command, words []string) error {
		all, err := p.readContexts()
		if err != nil {
			return err
		}
		name := all.Selected
		if len(words) > 0 {
			name = words[0]
		}
		if name == "" {
			return notFound("no context is selected; fsmesh context select NAME does that")
		}
		if _, err := all.find(name); err != nil {
			return err
		}
		l := all.line(name)
		selected := "no"
		if l.Selected {
			selected = "yes"
		}
		return r.print(l, "name", l.Name, "selected", selected, "url", l.URL, "mesh", l.Mesh, "token file", l.TokenFile)
	}
	return c
}

func (p *program) contextSelect() *cobra.Command {
	return &cobra.Command{
		Use: "select NAME", Short: "Select the context that commands use", Example: "  fsmesh context select prod", Args: args(1, 1),
		RunE: func(_ *cobra.Command, words []string) error {
			return p.changeContexts(func(c *contexts) error {
				_, err := c.find(words[0])
				c.Selected = words[0]
				return err
			})
		},
	}
}

func (p *program) contextRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove a context", Example: "  fsmesh context rm prod", Args: args(1, 1),
		RunE: func(_ *cobra.Command, words []string) error {
			return p.changeContexts(func(c *contexts) error {
				if _, err := c.find(words[0]); err != nil {
					return err
				}
				delete(c.Contexts, words[0])
				if c.Selected == words[0] {
					c.Selected = ""
				}
				return nil
			})
		},
	}
}
