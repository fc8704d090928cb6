package main

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/fsmesh/fsmesh/ui/access"
	"github.com/fsmesh/fsmesh/ui/browsertest"
)

// A moment is what a page shows only at times, or where something is wrong.
type moment struct {
	name, address string
	// do brings it about on the page; nil is nothing to do.
	do func(*browsertest.Page)
}

// moments makes pictures of what the demo does not show.
func moments(ctx context.Context, b *browsertest.Browser, looks map[string]browsertest.Look, to string, wanted *regexp.Regexp) error {
	now := time.Now()
	trouble, err := browsertest.Trouble(now)
	if err != nil {
		return err
	}
	troubled := browsertest.Options{Shows: trouble, Now: func() time.Time { return now }}
	locked := browsertest.Options{Access: access.Config{Password: "correct horse"}}
	const order = "component=Orders&runtime=eu-1&id="
	return errors.Join(
		photograph(ctx, b, looks, to, wanted, browsertest.Options{}, func(*browsertest.Site) ([]moment, error) {
			return []moment{{"empty-overview", "", nil}, {"empty-runtimes", "runtimes", nil}, {"empty-instances", "instances", nil}, {"empty-create", "create", nil}, {"empty-404", "machine?component=Orders&machine=Order", nil}}, nil
		}),
		photograph(ctx, b, looks, to, wanted, locked, func(*browsertest.Site) ([]moment, error) {
			return []moment{{"login", "runtimes", nil}, {"login-wrong", "runtimes", func(p *browsertest.Page) {
				p.Fill("#password", "wrong horse")
				p.Press(kb.Enter)
				p.Wait("#fault", "not the password")
			}}}, nil
		}),
		photograph(ctx, b, looks, to, wanted, troubled, func(*browsertest.Site) ([]moment, error) {
			return []moment{
				{"trouble-overview", "", nil}, {"trouble-runtimes", "runtimes", nil}, {"trouble-instances", "instances?ended=too", nil},
				{"trouble-machine", "machine?component=Orders&machine=Order", nil}, {"trouble-quarantined", "instance?" + order + "quarantined-1", nil},
				{"trouble-stale", "instance?component=Orders&id=eu-2-1", nil}, {"trouble-overdue", "instance?" + order + "late-1", nil}, {"trouble-failed", "instance?" + order + "eu-1-1", nil},
				{"trouble-twins", "instance?id=twin", nil}, {"trouble-404-state", "machine?component=Orders&machine=order", nil}, {"trouble-404", "nowhere", nil},
			}, nil
		}),
		photograph(ctx, b, looks, to, wanted, browsertest.Options{}, func(s *browsertest.Site) ([]moment, error) {
			return []moment{
				// Every name below localhost is this machine for a browser.
				{"refused-host", "", func(p *browsertest.Page) { p.Open(strings.Replace(s.URL, "127.0.0.1", "fsmesh.localhost", 1)) }},
				{"no-mesh", "", func(p *browsertest.Page) {
					if err := s.StopMesh(ctx); err != nil {
						return // the page says so
					}
					p.Wait("#live-state", "No mesh")
				}},
			}, nil
		}),
		photograph(ctx, b, looks, to, wanted, browsertest.Options{}, func(s *browsertest.Site) ([]moment, error) {
			id, err := s.HostLong(ctx)
			page := "instance?component=Yard&id=" + id
			return []moment{
				{"long", page, nil}, {"long-at-2", page + "&at=2", nil}, {"long-at-440", page + "&at=440", nil}, {"long-at-gone", page + "&at=999", nil},
				{"long-400", page, func(p *browsertest.Page) {
					p.Click("summary", "PUSH")
					p.Fill("details[open] textarea", `{"amount": `)
					p.Click("button", "Send PUSH")
					p.Wait("#outcome", "PUSH")
				}},
				{"long-cut", page, func(p *browsertest.Page) {
					s.Cut()
					p.Wait("#stopped", "as of")
					s.Mend()
				}},
				{"long-overview-cut", "", func(p *browsertest.Page) {
					s.Cut()
					p.Wait("#stopped", "as of")
					s.Mend()
				}},
				{"keys", "runtimes", func(p *browsertest.Page) {
					p.Wait("#keys-open", "")
					p.Press("?")
					p.Wait("#keys h2", "Keys")
				}},
			}, err
		}),
	)
}

// photograph opens a site, and takes a picture of each of its moments in each look.
func photograph(ctx context.Context, b *browsertest.Browser, looks map[string]browsertest.Look, to string, wanted *regexp.Regexp, o browsertest.Options, list func(*browsertest.Site) ([]moment, error)) (err error) {
	site, err := browsertest.OpenSite(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	all, err := list(site)
	if err != nil {
		return err
	}
	for _, m := range all {
		if !wanted.MatchString(m.name) {
			continue
		}
		for name, look := range looks {
			if err := take(b, site.URL+m.address, look, filepath.Join(to, m.name+"-"+name+".png"), true, m.do); err != nil {
				return err
			}
		}
	}
	return nil
}
