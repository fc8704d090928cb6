package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

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
		fmt.Fprintf(p.stdout, "fsmesh %s\n", b.Version)
		if b.Revision != "" {
			changed := ""
			if b.Modified {
				changed = ", changed since"
			}
			fmt.Fprintf(p.stdout, "revision %s of %s%s\n", b.Revision, b.Time, changed)
		}
		fmt.Fprintf(p.stdout, "%s, %s\n", b.Go, b.Platform)
		return nil
	}
	return c
}
