package browsertest

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui"
)

// TestPopulation reads the numbers that are drawn into the diagram of a machine:
// they are what the directory says, and follow what happens.
func TestPopulation(t *testing.T) {
	w := newWorld(t)
	for number, state := range []string{"Draft", "Draft", "Draft", "Pending", "Paid", "Paid"} {
		w.order(number+1, state)
	}
	moving := w.order(7, "Draft")
	p := w.page(Look{})
	p.Patience = time.Minute // what lays the diagram out may have to be started
	p.Open(w.URL + "machine?component=Orders&machine=Order")
	p.Wait("#live-state", "Live")
	loads := p.Loads()
	w.drawn(p, w.View, map[string]string{"Draft": "4", "Pending": "1", "Paid": "2", "Cancelled": "0", "Failed": "0"})
	for _, step := range []struct {
		event string
		want  map[string]string
	}{
		{"SUBMIT", map[string]string{"Draft": "3", "Pending": "2", "Paid": "2", "Cancelled": "0", "Failed": "0"}},
		{"REFUSE", map[string]string{"Draft": "3", "Pending": "1", "Paid": "2", "Cancelled": "0", "Failed": "1"}},
	} {
		if _, err := w.rt.Send(t.Context(), moving.ID(), fsm.Event{Type: step.event}); err != nil {
			t.Fatal(err)
		}
		w.drawn(p, w.View, step.want)
	}
	if got := p.Loads(); got != loads {
		t.Errorf("the page was loaded %d times again", got-loads)
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

// drawn waits until the diagram of Order shows numbers by state, and compares them
// with the list of states beside it and with the directory that the pages read.
func (w *world) drawn(p *Page, view ui.View, want map[string]string) {
	w.t.Helper()
	var diagram, list map[string]string
	p.Until("the diagram shows the population", func() bool {
		p.eval("read the diagram", &diagram, `() => Object.fromEntries([...document.querySelectorAll("#diagram g.node")].map(n => {
			const shown = e => { const r = e.getBoundingClientRect(); return e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && r.width > 0 && r.height > 0 ? e.textContent : "" };
			return [shown(n.querySelector(".nm")), shown(n.querySelector(".ct"))];
		}))`)
		return maps.Equal(diagram, want)
	})
	if p.Err() != nil {
		w.t.Errorf("the diagram shows %v, want %v", diagram, want)
		return
	}
	p.eval("read the list", &list, `() => Object.fromEntries([...document.querySelectorAll("#states a")].map(a => [a.querySelector(".nm").innerText, a.querySelector(".nm + span").innerText]))`)
	if !maps.Equal(list, want) {
		w.t.Errorf("the list of states says %v, want %v", list, want)
	}
	said := map[string]string{}
	for state := range want {
		said[state] = "0"
	}
	view.Read(func(d *mesh.Directory) {
		for _, c := range d.Components() {
			for _, m := range c.Machines {
				if c.Name != "Orders" || m.Name != "Order" {
					continue
				}
				for _, s := range m.States {
					// Where instances end they are counted when they have ended.
					n := s.Count.Active + s.Count.Stale
					if s.Name == "Failed" || s.Name == "Cancelled" || s.Name == "Shipped" {
						n += s.Count.Ended
					}
					said[s.Name] = strconv.Itoa(n)
				}
			}
		}
	})
	if !maps.Equal(said, want) {
		w.t.Errorf("the directory says %v, want %v", said, want)
	}
}
