package mesh_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// A directory is told what came from the bus, and says what to ask.
func ExampleDirectory() {
	now := time.UnixMilli(1795442574738)
	d := mesh.NewDirectory(mesh.DirectoryConfig{})
	orders := mesh.Identity{RuntimeID: "r1", Component: "Orders", Name: "Orders", Epoch: 1, Log: "l1"}

	seq := uint64(1)
	d.Apply(&mesh.Announce{Identity: orders, Protocol: 1, Seq: &seq}, now)
	for _, ask := range d.Tick(now) {
		fmt.Printf("ask %s: %+v\n", ask.To, ask.Message)
	}
	d.Apply(&mesh.PageReply{Identity: orders, AsOf: 1, Seq: 1, Rows: []mesh.Row{
		{ID: "o-1", Machine: "Order", State: "Draft", Context: json.RawMessage(`{"amount":5}`), Version: 1, Seq: 1},
	}}, now)
	d.Apply(&mesh.Notices{RuntimeID: "r1", Notices: []mesh.Notice{
		{Kind: mesh.KindStateChange, Instance: "o-1", Machine: "Order", State: "Paid", Version: 2, Seq: 2},
	}}, now)

	o, _ := d.Get("Orders", "Orders", "o-1")
	exact, _ := d.Exact("r1", now)
	fmt.Println(o.State, o.Version, exact)

	// Number 3 is lost.
	d.Apply(&mesh.Beacon{Runtimes: []mesh.BeaconEntry{{Identity: orders, Seq: 3}}}, now)
	exact, _ = d.Exact("r1", now)
	fmt.Println(exact, d.Exactness("r1", now).Reason)
	d.Tick(now)
	for _, ask := range d.Tick(now.Add(200 * time.Millisecond)) {
		fmt.Printf("ask %s: %+v\n", ask.To, ask.Message)
	}
	// Output:
	// ask r1: &{RuntimeID:r1 Cursor:}
	// Paid 2 true
	// false missing
	// ask r1: &{RuntimeID:r1 Missing:[{From:3 To:3}]}
}
