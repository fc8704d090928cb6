// Pictures makes the pictures of the documentation: the pages of the demo as a
// browser shows them.
//
//	go run ./pictures -to ../../docs/pictures
//
// With -all it makes each page light and dark, wide and narrow, and what pages show
// only at times or where something is wrong, to be looked at by who changes them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/fsmesh/fsmesh/internal/demo"
	"github.com/fsmesh/fsmesh/ui/browsertest"
)

func main() {
	to := flag.String("to", "docs/pictures", "folder to write to")
	all := flag.Bool("all", false, "every page in both themes and both widths, whole")
	only := flag.String("only", "", "with -all, a regular expression for the names of pages")
	run := flag.Duration("run", 20*time.Second, "how long the demo runs before")
	flag.Parse()
	if err := pictures(context.Background(), *to, *all, *only, *run); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A shot is a page and its picture's name.
type shot struct{ name, address string }

func pictures(ctx context.Context, to string, all bool, only string, run time.Duration) (err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	site, err := browsertest.OpenSite(ctx, browsertest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	stop, err := shop(ctx, site)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b, err := browsertest.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	time.Sleep(run) // so that the pages have something to tell
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	shots, err := addresses(b, site, all)
	if err != nil {
		return err
	}
	looks := map[string]browsertest.Look{"light": {Width: 1280, Height: 800}, "dark": {Width: 1280, Height: 800, Dark: true}}
	if all {
		looks = map[string]browsertest.Look{"light": {Width: 1440, Height: 900}, "dark": {Width: 1440, Height: 900, Dark: true}}
		looks["light-390"], looks["dark-390"] = browsertest.Look{Width: 390, Height: 844}, browsertest.Look{Width: 390, Height: 844, Dark: true}
	}
	for _, s := range shots {
		if !wanted.MatchString(s.name) {
			continue
		}
		for name, look := range looks {
			if err := take(b, site.URL+s.address, look, filepath.Join(to, s.name+"-"+name+".png"), all, nil); err != nil {
				return err
			}
		}
	}
	if all {
		return moments(ctx, b, looks, to, wanted)
	}
	return nil
}

// shop runs the demo until it is stopped.
func shop(ctx context.Context, site *browsertest.Site) (stop func() error, err error) {
	components, err := demo.Components()
	if err != nil {
		return nil, err
	}
	load := demo.Load{Runtimes: map[string]demo.Runtime{}, Rate: 12, Instances: 160, Seed: 1, Logger: slog.New(slog.DiscardHandler)}
	for i, c := range components {
		rt, err := site.Host(ctx, fmt.Sprintf("shop-%d", i+1), demo.Hooks(1), c)
		if err != nil {
			return nil, err
		}
		load.Runtimes[c.Name] = rt
	}
	// What is hosted by one sends to the other by the mesh.
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- load.Run(ctx) }()
	return func() error { cancel(); return <-ended }, nil
}

// addresses are the pages worth a picture, or all of them.
func addresses(b *browsertest.Browser, site *browsertest.Site, all bool) ([]shot, error) {
	p := b.Page(browsertest.Look{})
	defer p.Close()
	p.Open(site.URL + "instances?component=Shop&machine=Order&state=OnHold") // which somebody has to look at
	id := p.Address("tbody th a")
	if err := p.Err(); err != nil {
		return nil, err
	}
	shots := []shot{{"overview", ""}, {"machine", "machine?component=Shop&machine=Order"}, {"instance", id}}
	if all {
		shots = append(shots, shot{"instances", "instances?component=Shop&machine=Order"}, shot{"record", id + "&at=3"}, shot{"runtimes", "runtimes"},
			shot{"create", "create?component=Shop&machine=Order"}, shot{"nothing", "instances?q=nothing"}, shot{"problem", "instance?id=nobody"})
	}
	return shots, nil
}

// take opens a page, does something there unless do is nil, and takes its picture.
func take(b *browsertest.Browser, address string, look browsertest.Look, file string, whole bool, do func(*browsertest.Page)) error {
	p := b.Page(look)
	defer p.Close()
	p.Open(address)
	if p.Address(`#live a[title="Pause"]`) != "" {
		p.Until("the stream has come", func() bool { return p.Text("#live-state") != "As of" })
	}
	if do != nil {
		do(p)
	}
	png := p.Screenshot(whole)
	if err := p.Err(); err != nil {
		return err
	}
	png, err := small(png)
	if err != nil {
		return err
	}
	return os.WriteFile(file, png, 0o644)
}
