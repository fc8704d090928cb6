package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/internal/scaffold"
)

func (p *program) initCommand() *cobra.Command {
	var clone string
	c := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a program to begin with",
		Long: `Writes into a folder what an application begins with: a component (order.yaml), a
Go program that hosts it with its code and serves its pages (main.go, go.mod),
containers for it (Dockerfile, compose.yaml), and passwords and tokens that nobody
else has (.env, readable by its owner only). Nothing is overwritten.

There is no release of fsmesh yet, so --replace names a clone to build with; without
it, a build of fsmesh that is no release says how to name one later.`,
		Example: `  fsmesh init shop --replace ~/fsmesh
  cd shop && go mod tidy && go run .`,
		Args: args(1, 1),
	}
	c.Flags().StringVar(&clone, "replace", "", "folder of a clone of fsmesh to build with (default: the released version of this program)")
	c.RunE = func(_ *cobra.Command, words []string) error {
		o := scaffold.Options{Replace: clone}
		b := readBuild()
		if b.released() {
			o.Version = b.Version
		}
		if clone != "" {
			if _, err := os.Stat(filepath.Join(clone, "go.mod")); err != nil {
				return usage("--replace %q is no clone of fsmesh: it has no go.mod", clone)
			}
		}
		names, err := scaffold.Write(words[0], o)
		if _, exists := errors.AsType[*scaffold.ExistsError](err); exists {
			return &exitError{exitUsage, err}
		}
		if noFolder(err) {
			return usage("a program cannot be written into the folder %q: %w; give another", words[0], err)
		}
		if err != nil {
			return err
		}
		slices.Sort(names)
		fmt.Fprintf(p.stdout, "%s: wrote %s\n\n", words[0], strings.Join(names, ", "))
		replace := ""
		if clone == "" && !b.released() {
			fmt.Fprintln(p.stderr, "fsmesh: this build is no release, so the module cannot be had from anywhere yet: name a clone of fsmesh as below, or use --replace next time")
			replace = "    go mod edit -replace github.com/fsmesh/fsmesh=" + cmp.Or(cloneOf(os.Executable()), "PATH/OF/THE/CLONE") + "\n"
		}
		fmt.Fprintf(p.stdout, "    cd %s\n%s    go mod tidy\n    go run .                    # http://127.0.0.1:3000, on this machine only\n    docker compose up --build   # with a broker, and the credentials of .env\n", words[0], replace)
		return nil
	}
	return c
}

// cloneOf is the clone of fsmesh that make build has put a program into, "" if it
// is in none.
func cloneOf(program string, err error) string {
	if err != nil {
		return ""
	}
	clone := filepath.Dir(filepath.Dir(program))
	mod, err := os.ReadFile(filepath.Join(clone, "go.mod"))
	if err != nil || !bytes.HasPrefix(mod, []byte("module github.com/fsmesh/fsmesh\n")) {
		return ""
	}
	return clone
}
