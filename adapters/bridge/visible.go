package bridge

import (
	"context"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// tellEvery is how often the bridge tells the mesh how it stands.
const tellEvery = time.Second

// tellMesh tells the mesh how it stands with the bridge, until the context ends,
// so that whoever shows the mesh can show the bridge.
func (b *Bridge) tellMesh(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		b.tell(b.forMesh())
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.tell(&mesh.BridgeStatus{ID: b.id, Left: true, Timestamp: time.Now().UnixMilli()})
			return
		}
	}
}

func (b *Bridge) tell(s *mesh.BridgeStatus) {
	if err := b.c.Bus.TellBridge(s); err != nil {
		b.c.Logger.Debug("bridge: tell the mesh", "err", err)
	}
}

// forMesh is what the mesh is told.
func (b *Bridge) forMesh() *mesh.BridgeStatus {
	st := b.Status()
	out := &mesh.BridgeStatus{
		ID: b.id, Broker: st.Broker, Process: b.c.Process, Host: b.c.Host, Active: st.Active, Behind: len(st.Behind), Mirrored: len(st.Mirrored),
		Queued: st.Queued, Counters: st.Counters, Timestamp: time.Now().UnixMilli(),
	}
	for _, r := range st.Behind {
		if r.Numbered {
			continue
		}
		f := mesh.Followed{RuntimeID: r.RuntimeID}
		if !r.AsOf.IsZero() {
			f.AsOf = r.AsOf.UnixMilli()
		}
		out.Followed = append(out.Followed, f)
	}
	return out
}
