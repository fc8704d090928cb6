package bridgetest

import (
	"context"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// ahead is the source of a rival that has numbered far.
type ahead struct{ seq uint64 }

func (a ahead) Seq() uint64                                           { return a.seq }
func (a ahead) Changed(mesh.Ranges, int) (c []mesh.Changed, old bool) { return nil, true }
func (a ahead) Look(ids []string) []mesh.Found                        { return make([]mesh.Found, len(ids)) }
func (a ahead) Shards() int                                           { return 1 }
func (a ahead) Piece(int, int, int) mesh.Piece                        { return mesh.Piece{AsOf: a.seq, Next: -1} }

// rival has another bridge speak for the same runtime for a moment, over a worse
// route and with higher numbers: the directory is right again afterwards.
func (c Case) rival(t *testing.T) {
	a := bus(t)
	active(t, start(t, c.config(a, c.Server.URL)))
	v := watch(t, a)
	p := c.peer(t)
	r := newTheirs(p, "Orders")
	r.announce(t)
	r.serve(t)
	r.create(t, "one")
	eventually(t, func() string { return r.equal(v) })
	seq := uint64(time.Now().UnixMilli())*1000 + 500
	other, err := a.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: r.id, Component: "Orders", Name: r.id, Process: "bridge/z/other"}, Logger: quiet(),
		Source:  ahead{seq},
		Command: func(context.Context, *mesh.Command) *mesh.Outcome { return &mesh.Outcome{NotMine: true} },
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		wrong := "the directory has not heard of the rival's numbers"
		v.Read(func(d *mesh.Directory) {
			if info, _ := d.Runtime(r.id, time.Now()); info.Known >= int64(seq) {
				wrong = ""
			}
		})
		return wrong
	})
	other.Leave()
	r.move(t, "one", "Elsewhere")
	eventually(t, func() string { return r.equal(v) })
}
