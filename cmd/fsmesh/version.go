package main

import (
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// A build is what the binary knows of how it was made.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// String says it in words, with a line for each thing.
func (b build) String() string {
	s := "fsmesh " + b.Version + "\n"
	if b.Revision != "" {
		s += "revision " + b.Revision + " of " + b.Time
		if b.Modified {
			s += ", changed since"
		}
		s += "\n"
	}
	return s + b.Go + ", " + b.Platform + "\n"
}

// pseudo is the end of a version that nobody released: a time and a revision.
var pseudo = regexp.MustCompile(`[-.]\d{14}-[0-9a-f]{12}(\+|$)`)

// released reports whether others can get this version of the module.
func (b build) released() bool {
	return strings.HasPrefix(b.Version, "v") && !pseudo.MatchString(b.Version) && !b.Modified
}

func readBuild() build {
	b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (p *program) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Say which fsmesh this is",
		Example: `  fsmesh version
  fsmesh version -o json`,
		Args: args(0, 0),
	}
	form := outputFlag(c, "table", "json", "yaml")
	c.RunE = func(*cobra.Command, []string) error {
		b := readBuild()
		if form.value != "table" {
			return writeDocument(p.stdout, form.value, b)
		}
		fmt.Fprint(p.stdout, b)
		return nil
	}
	return c
}
