package ui

import (
	"fmt"
	"net/http"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// A runtimesView answers: who hosts what, who is lost, is what I see exact?
type runtimesView struct {
	frame
	rows    []runtimeView
	bridges []bridgeView
	note    string
}

// A runtimeView is one component of a runtime.
type runtimeView struct {
	name, host, component, version, id string
	store                              string // where instances are kept, in words
	componentHref, instancesHref       string
	status                             string // a word
	kind                               string // ok, warn or err
	since                              time.Time
	sinceFor                           string
	epoch                              string
	exact                              bool
	why                                string
	exactSince                         time.Time
	exactFor                           string
	followed                           bool // it does not number what it tells
	asOf                               time.Time
	heard                              time.Time
	heardFor                           string
	inMotion, ended, quarantined       int
	quarantinedHref                    string
	floor, known                       int64
	machines                           int
	twin                               bool // another live one has its name and component
}

func (d *Dashboard) runtimes(r *http.Request) page {
	fl := d.read(nil)
	v := runtimesOf(d.frame(r, fl, "Runtimes", "runtimes", nil), fl)
	v.bridges = fl.bridges
	return page{http.StatusOK, runtimesPage(v)}
}

func runtimesOf(f frame, fl *fleet) runtimesView {
	v := runtimesView{frame: f}
	live := map[[2]string]int{}
	for i := range fl.runtimes {
		if m := &fl.runtimes[i]; m.Status == mesh.Live {
			live[[2]string{m.Name, m.Component}]++
		}
	}
	lost, stopped := 0, 0
	for i := range fl.runtimes {
		m := &fl.runtimes[i]
		switch m.Status {
		case mesh.Lost:
			lost++
		case mesh.Stopped:
			stopped++
		}
		row := runtimeOf(m, fl.now)
		row.twin = m.Status == mesh.Live && live[[2]string{m.Name, m.Component}] > 1
		v.rows = append(v.rows, row)
	}
	v.note = fmt.Sprintf("%s of %s live", number(f.hosts), counted(len(fl.runtimes), "runtime"))
	if lost > 0 {
		v.note += ", " + number(lost) + " lost"
	}
	if stopped > 0 {
		v.note += ", " + number(stopped) + " stopped"
	}
	return v
}

func runtimeOf(m *member, now time.Time) runtimeView {
	v := runtimeView{
		name: m.Name, component: m.Component, id: m.RuntimeID, store: m.Store, status: string(m.Status), kind: "ok",
		componentHref: href("instances", "component", m.Component), instancesHref: href("instances", "component", m.Component, "runtime", m.Name),
		since: m.Since, sinceFor: ago(now, m.Since), epoch: "none", exact: m.Exactness.Exact, exactSince: m.Exactness.Since,
		exactFor: ago(now, m.Exactness.Since), heard: m.Heard, heardFor: heardText(now.Sub(m.Heard)),
		followed: m.Followed, asOf: m.AsOf, inMotion: m.InMotion(), ended: m.Ended, quarantined: m.Quarantined, quarantinedHref: quarantinedOf(m), floor: m.Floor, known: m.Known,
	}
	if m.Host != "" {
		v.host = m.Host
		if m.Port != 0 {
			v.host = fmt.Sprintf("%s:%d", m.Host, m.Port)
		}
	}
	if m.Epoch > 0 {
		v.epoch = fmt.Sprint(m.Epoch)
	}
	if m.definition != nil {
		v.version, v.machines = m.definition.Version, len(m.definition.StateMachines)
	}
	switch m.Status {
	case mesh.Lost:
		v.kind = "err"
	case mesh.Stopped:
		v.kind = "warn"
	}
	if !v.exact {
		v.why = whyInexact(m)
	}
	return v
}

// heardText is the age of the last beacon or heartbeat; one comes a second.
func heardText(d time.Duration) string {
	if d < 2*time.Second {
		return "now"
	}
	return span(d) + " ago"
}
