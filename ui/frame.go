package ui

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui/api"
)

// A frame is what all pages show around their content.
type frame struct {
	title   string
	active  string // the entry of the navigation that is this page
	mesh    string
	version string
	logOut  string // where a post logs out, "" for nowhere
	theme   string // "light", "dark", or "" for the system's
	now     time.Time
	live    bool
	fixed   bool   // it never is
	self    string // this page's address, but for what live and theme add
	query   string // what was searched for
	nav     []navComponent
	total   int // instances in motion
	hosts   int // runtimes that are live
	alerts  alerts
	// attention is the list of the overview.
	attention []attentionView
	away      bool
	inexact   []inexactView
}

// alerts are what the navigation counts, so that it is seen from every page.
type alerts struct {
	all, urgent  int // of the list of the overview
	lost, silent int // runtimes and bridges
}

type navComponent struct {
	name, version string
	machines      []navMachine
}

type navMachine struct {
	name, href string
	active     bool
	count      int
}

// a badge is a state as it is shown: its kind decides shape and colour.
type badge struct{ name, kind string }

// frame makes what is around a page. about says which runtimes the page is
// about; nil is all.
func (d *Dashboard) frame(r *http.Request, fl *fleet, title, active string, about func(*member) bool) frame {
	f := frame{
		title: title, active: active, mesh: fl.mesh, version: d.config.Version, logOut: d.config.LogOut, away: !fl.connected,
		theme: themeOf(r), now: fl.now, live: r.URL.Query().Get("live") != "off", self: selfOf(r),
		inexact: fl.inexact(about), attention: attentionOf(fl),
	}
	f.alerts = alertsOf(fl, f.attention)
	q := r.URL.Query()
	for _, c := range fl.components {
		nc := navComponent{name: c.name, version: c.version}
		for _, m := range c.machines {
			n := inMotion(m.count)
			f.total += n
			nc.machines = append(nc.machines, navMachine{
				name: m.name, href: href("machine", "component", c.name, "machine", m.name), count: n,
				active: active == "machine" && q.Get("component") == c.name && q.Get("machine") == m.name,
			})
		}
		f.nav = append(f.nav, nc)
	}
	for i := range fl.runtimes {
		if fl.runtimes[i].Status == mesh.Live {
			f.hosts++
		}
	}
	return f
}

// selfOf is the page's own address, to which links may add their parameters.
func selfOf(r *http.Request) string {
	// Relative and from "./" on: nothing in a path that somebody made up may
	// look like another host or scheme.
	page := "./" + url.PathEscape(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	q := r.URL.Query()
	q.Del("live")
	q.Del("theme")
	q.Del("done")
	q.Del("behind")
	if len(q) == 0 {
		return page
	}
	return page + "?" + q.Encode()
}

// with adds a parameter to an address of selfOf.
func with(self, key, value string) string {
	if strings.Contains(self, "?") {
		return self + "&" + key + "=" + value
	}
	return self + "?" + key + "=" + value
}

const themeCookie = "fsmesh-theme"

func themeOf(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

// setTheme keeps the theme that a link asks for, and leads back to the page.
func setTheme(w http.ResponseWriter, r *http.Request) bool {
	theme := r.URL.Query().Get("theme")
	if theme == "" {
		return false
	}
	c := &http.Cookie{Name: themeCookie, Value: theme, MaxAge: 365 * 24 * 3600, SameSite: http.SameSiteStrictMode, HttpOnly: true}
	if theme != "light" && theme != "dark" {
		c.Value, c.MaxAge = "", -1
	}
	http.SetCookie(w, c)
	redirect(w, selfOf(r))
	return true
}

// show renders a page as a whole before anything of it is sent, so that an
// error can still be one.
func (d *Dashboard) show(w http.ResponseWriter, r *http.Request, p page) {
	var b strings.Builder
	if err := p.body.Render(r.Context(), &b); err != nil {
		if r.Context().Err() == nil {
			d.config.Logger.Error("page not shown", "path", r.URL.Path, "error", err)
		}
		http.Error(w, "The page could not be made; the log says why.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(showMarks(b.String()))) // the reader may have gone
	}
}

// A problemView is a page that says why there is no other.
type problemView struct {
	frame
	status  int
	heading string
	text    string
	near    linkView // what was meant, perhaps; no text is nothing
}

// problem says why a request gets nothing else.
func (d *Dashboard) problem(r *http.Request, status int, heading, text string) page {
	return d.problemNear(r, status, heading, text, linkView{})
}

// problemNear has a link to what was meant, perhaps.
func (d *Dashboard) problemNear(r *http.Request, status int, heading, text string, near linkView) page {
	f := d.frame(r, d.read(nil), heading, "", none)
	f.live, f.fixed = false, true
	return page{status, problemPage(problemView{f, status, heading, text, near})}
}

// none is for pages that are about no runtime.
func none(*member) bool { return false }

// httpStatus is the status that the API gives an error: there is one table of them.
func httpStatus(err error) int { return api.Mean(api.CodeOf(err)).Status }

// sentence begins with a capital letter.
func sentence(s string) string {
	if s == "" {
		return s
	}
	first, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[n:]
}

func sum(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

// kindOf is the kind of a state; an undeclared one is regular.
func kindOf(m *fsm.Machine, state string) string {
	if m != nil {
		for _, s := range m.States {
			if s.Name == state && s.Type != "" {
				return s.Type
			}
		}
	}
	return "regular"
}

func badgeOf(m *fsm.Machine, state string) badge { return badge{state, kindOf(m, state)} }
