package ui

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// TestTwoRuntimesOfOneComponent shows both, also where they have one id.
func TestTwoRuntimesOfOneComponent(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	north, south := s.host("north", orders), s.host("south", orders)
	s.createIn(north, "Order", nil, fsm.WithID("twin"))
	s.createIn(south, "Order", nil, fsm.WithID("twin"))
	s.createIn(south, "Order", nil, fsm.WithID("alone"))
	s.show(Config{})

	wantPage(t, s.get("/"), http.StatusOK, "2 runtimes live, all exact", "3 instances in motion, on north, south", "Draft 3")
	wantPage(t, s.get("/runtimes"), http.StatusOK, "2 of 2 runtimes live", "north host-of-north:4000", "south host-of-south:4000")
	wantPage(t, s.get("/instances"), http.StatusOK, "3 match", "twin Order north Draft", "twin Order south Draft")
	wantPage(t, s.get("/instances?runtime=south"), http.StatusOK, "2 match")
	wantPage(t, s.get("/machine?component=Orders&machine=Order"), http.StatusOK, "on north, south", "Draft 3 entry in motion")

	wantPage(t, s.get("/instance?id=alone"), http.StatusOK, "Runtime south")
	wantPage(t, s.get("/instance?id=twin"), http.StatusOK, "2 runtimes have an instance of this id", "twin Order north", "twin Order south")
	wantPage(t, s.get("/instance?id=twin&runtime=south"), http.StatusOK, "Order twin", "Runtime south")

	// What is sent goes to the one that is meant.
	sent := s.post("/instance", "id", "twin", "component", "Orders", "runtime", "south", "event", "SUBMIT")
	wantPage(t, s.follow(sent), http.StatusOK, "Order twin went to Pending", "Runtime south")
	wantPage(t, s.get("/instance?id=twin&runtime=north"), http.StatusOK, "Runtime north", "SUBMIT to Pending", "CANCEL to Cancelled")
	wantPage(t, s.post("/instance", "id", "twin", "event", "SUBMIT"), http.StatusOK, "2 runtimes have an instance of this id")
}

// TestDefinitionsDiffer shows an instance by the definition of its own runtime.
func TestDefinitionsDiffer(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	changed := strings.Replace(strings.Replace(orders, "event: SUBMIT", "event: HAND_IN", 1), "1.2.0", "1.3.0", 1)
	older, newer := s.host("older", orders), s.host("newer", changed)
	s.createIn(older, "Order", nil, fsm.WithID("a"))
	s.createIn(newer, "Order", nil, fsm.WithID("b"))
	s.show(Config{})
	wantPage(t, s.get("/"), http.StatusOK, "definitions differ")
	wantPage(t, s.get("/machine?component=Orders&machine=Order"), http.StatusOK, "Its runtimes have different definitions.")
	wantPage(t, s.get("/instance?id=a"), http.StatusOK, "SUBMIT to Pending")
	wantPage(t, s.get("/instance?id=b"), http.StatusOK, "HAND_IN to Pending")
}

// TestStopped keeps what a runtime left, and says that it did.
func TestStopped(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	gone := s.host("gone", orders)
	s.host("here", strings.Replace(orders, "name: Orders", "name: Others", 1))
	s.createIn(gone, "Order", nil, fsm.WithID("left"))
	s.show(Config{})
	if err := s.atts[0].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until("the runtime is shown as stopped", func() bool { return strings.Contains(text(s.get("/runtimes")), "1 stopped") })
	const says = "Runtime gone (Orders) has stopped; what is shown is how it was left, since"
	wantPage(t, s.get("/instances?component=Orders"), http.StatusOK, says, "stale")
	wantPage(t, s.get("/"), http.StatusOK, says, "1 stale", "on gone (stopped)")
	wantPage(t, s.get("/instance?id=left"), http.StatusOK, says, "nothing can be sent", "Its runtime is not there, and gives none.")
	wantPage(t, s.post("/instance", "id", "left", "event", "SUBMIT"), http.StatusServiceUnavailable, "SUBMIT was not sent: runtime gone does not have Order left")
	// A page that is not about it does not say so.
	if page := text(s.get("/machine?component=Others&machine=Order")); strings.Contains(page, "has stopped") {
		t.Errorf("a page about another component says it:\n%s", page)
	}
}

func TestNoRuntime(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	s.show(Config{})
	wantPage(t, s.get("/"), http.StatusOK, "No runtime is on the mesh", "fsmesh serve order.yaml --broker")
	wantPage(t, s.get("/runtimes"), http.StatusOK, "0 of 0 runtimes live", "No runtime is on the mesh")
	wantPage(t, s.get("/instances"), http.StatusOK, "0 match", "No runtime is on the mesh", "fsmesh serve order.yaml --broker")
	wantPage(t, s.get("/instances?q=x"), http.StatusOK, "No instance matches", "Drop all filters")
	wantPage(t, s.get("/create"), http.StatusOK, "of which machine?", "No runtime is on the mesh")
	wantPage(t, s.get("/machine?component=Orders&machine=Order"), http.StatusNotFound, "No runtime on the mesh hosts that component now.")
}

// A lateView shows what it knew when it was made, as one would that has fallen
// behind.
type lateView struct {
	*mesh.View
	then *mesh.Directory
}

func (v *lateView) Read(f func(*mesh.Directory)) { f(v.then) }
func (v *lateView) Await(ctx context.Context, runtimeID string, seq uint64) error {
	if v.then.Floor(runtimeID) >= int64(seq) {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestBehind has posts whose effect the view does not show in time: the pages
// say so.
func TestBehind(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	rt := s.host("test", orders)
	late := &lateView{s.view, mesh.NewDirectory(mesh.DirectoryConfig{})}
	for component, id := range s.atts[0].RuntimeIDs() {
		var i mesh.RuntimeInfo
		s.view.Read(func(d *mesh.Directory) { i, _ = d.Runtime(id, time.Now()) })
		seq := uint64(0)
		late.then.Apply(&mesh.Announce{Identity: i.Identity, Definition: i.Definition, Seq: &seq}, time.Now())
		row := mesh.Row{ID: "o-1", Machine: "Order", State: "Draft", Version: 1}
		late.then.Apply(&mesh.Notices{RuntimeID: id, Notices: []mesh.Notice{{Kind: mesh.KindCreated, Instance: row.ID, Machine: row.Machine, State: row.State, Version: 1, Seq: 1}}}, time.Now())
		_ = component
	}
	if _, err := rt.Create(t.Context(), "Order", nil, fsm.WithID("o-1")); err != nil {
		t.Fatal(err)
	}
	s.show(Config{View: late})
	begin := time.Now()
	sent := s.post("/instance", "id", "o-1", "event", "SUBMIT")
	if took := time.Since(begin); took < awaitTime/2 || took > 5*awaitTime {
		t.Errorf("the post took %v, want about %v", took, awaitTime)
	}
	wantPage(t, s.follow(sent), http.StatusOK, "Done, as version 2, but not shown yet")
	// What is not in the view at all comes from who has it.
	created := s.post("/create", "component", "Orders", "machine", "Letter", "data", "{}")
	wantPage(t, s.follow(created), http.StatusOK, "is created in Written")
}
