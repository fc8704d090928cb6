package mesh

import (
	"encoding/json"
	"fmt"
	"time"
)

// simIDs are the ids that the simulated runtimes use, over and over.
var simIDs = [...]string{"a", "b", "c", "d"}

const simShards = 2

// simContexts saves making them anew.
var simContexts = func() (out [64]json.RawMessage) {
	for i := range out {
		out[i] = json.RawMessage(fmt.Sprintf(`{"v":%d}`, i))
	}
	return out
}()

// A simRow is an instance of a simulated runtime.
type simRow struct {
	there   bool // in the table
	status  Status
	state   string
	version uint64
	seq     uint64
	slot    int
}

func (r simRow) row(i int) Row {
	return Row{
		ID: simIDs[i], Machine: "M", State: r.state, Status: r.status, Context: simContexts[r.version%64],
		Version: r.version, Seq: r.seq, UpdatedAt: simStart.UnixMilli(),
	}
}

// simFound makes a Rower of it.
type simFound struct {
	i int
	r simRow
}

func (f simFound) Row() (Row, error) { return f.r.row(f.i), nil }

// simBad says what a simulated runtime does wrong: each breaks what Source and
// the messages ask of it.
type simBad struct {
	ForgetSilently bool // H5: what the ring does not hold is left out
	GoneLate       bool // H5: an end carries a number from after the looking
	AsOfAfter      bool // H6: asOf is read after the page
	SlotsMove      bool // H6: an instance changes its slot
	SeqAsAsked     bool // H8: a reply carries the number of before it was read
	NoBeacon       bool // H3: no beacons
	EarlyNumber    bool // H1: a number is given before the change can be seen
}

// A simProc is one start of a runtime: a table with its numbers and its ring.
// It is a Source, so it is asked by the code that ships.
type simProc struct {
	w     *world
	id    Identity
	alive bool
	table [len(simIDs)]simRow
	ended [len(simIDs)]simRow // the last end of each, as long as it is remembered
	slots [simShards][]int    // index of the id, -1: free
	seq   uint64
	asked uint64 // seq when it was last asked something
	// log has what each notice was about, and the row then; times is when it
	// was committed.
	log    []simChange
	beacon time.Time

	// What the invariants remember of it. truth is the table after the notice
	// truthAt, floor what the directory's was, exactAt the floor when it was
	// last exact, and gone what was not live then.
	base    [len(simIDs)]simRow // at its start
	truth   [len(simIDs)]simRow
	truthAt int64
	floor   int64
	knownAt []time.Time // when the directory first knew of a number, from 1
	exactAt int64
	gone    [len(simIDs)]bool
}

type simChange struct {
	i   int
	row simRow
	at  time.Time
}

func (p *simProc) put(i int, r simRow) {
	shard := i % simShards
	switch old := p.table[i]; {
	case r.there && old.there:
		r.slot = old.slot
	case r.there:
		r.slot = -1
		for n, x := range p.slots[shard] {
			if x < 0 {
				r.slot = n
				break
			}
		}
		if r.slot < 0 {
			r.slot = len(p.slots[shard])
			p.slots[shard] = append(p.slots[shard], -1)
		}
		p.slots[shard][r.slot] = i
	case old.there:
		p.slots[shard][old.slot] = -1
		p.ended[i] = r
	}
	p.table[i] = r
}

// change gives the next number to a row.
func (p *simProc) change(i int, r simRow, kind Kind) Notice {
	p.seq++
	r.seq = p.seq
	p.put(i, r)
	p.log = append(p.log, simChange{i, r, p.w.now})
	return Notice{
		Kind: kind, Instance: simIDs[i], Machine: "M", State: r.state, Status: r.status, Context: simContexts[r.version%64],
		Version: r.version, Seq: r.seq, Timestamp: simStart.UnixMilli(),
	}
}

// commit makes one commit and returns its notices.
func (p *simProc) commit(i int, what uint8) []Notice {
	r := p.table[i]
	if !r.there {
		if what%4 == 0 && p.seq > 0 {
			return nil
		}
		return []Notice{p.change(i, simRow{there: true, status: Active, state: "S0", version: 1}, KindCreated)}
	}
	r.version++
	switch what % 8 {
	case 0, 1, 2:
		r.state = [...]string{"S0", "S1"}[r.version%2]
		return []Notice{p.change(i, r, KindStateChange)}
	case 3, 4: // into a final state: the transition and the end
		r.state = "F"
		first := p.change(i, r, KindStateChange)
		r.there, r.status = false, Completed
		return []Notice{first, p.change(i, r, KindCompleted)}
	case 5: // an error
		r.there, r.status = false, Failed
		return []Notice{p.change(i, r, KindCompleted)}
	case 6:
		r.there, r.status = false, Quarantined
		return []Notice{p.change(i, r, KindQuarantined)}
	}
	// A transition that creates another instance, in the other shard.
	var out []Notice
	if j := (i + 1) % len(simIDs); !p.table[j].there {
		out = append(out, p.change(j, simRow{there: true, status: Active, state: "S0", version: 1}, KindCreated))
	}
	return append(out, p.change(i, r, KindStateChange))
}

// The methods of Source. Between any two of them the world may go on.

func (p *simProc) Seq() uint64 {
	if p.w.cfg.bad.SeqAsAsked && p.w.inside != 0 {
		return p.asked
	}
	return p.seq
}

func (p *simProc) Changed(seqs Ranges, most int) (out []Changed, tooOld bool) {
	p.w.meanwhile(p)
	p.asked = p.seq
	first := uint64(max(0, len(p.log)-p.w.cfg.ring)) + 1
	for _, r := range seqs {
		for n := r.From; n <= min(r.To, p.seq) && len(out) < most; n++ {
			if n < first {
				if p.w.cfg.bad.ForgetSilently {
					continue
				}
				return nil, true
			}
			out = append(out, Changed{n, simIDs[p.log[n-1].i]})
		}
	}
	return out, false
}

func (p *simProc) Look(ids []string) []Found {
	p.w.meanwhile(p)
	if p.w.cfg.bad.EarlyNumber && len(p.log) > 0 {
		// The last change has its number and is not there yet.
		now := p.table
		p.table = p.tableAt(int64(p.seq) - 1)
		defer func() { p.table = now }()
	}
	out := make([]Found, len(ids))
	for n, id := range ids {
		i := int(id[0] - 'a')
		switch r := p.table[i]; {
		case r.there:
			out[n] = Found{simFound{i, r}, r.seq}
		case p.w.cfg.remembers && p.ended[i].version > 0:
			out[n] = Found{simFound{i, p.ended[i]}, p.ended[i].seq}
		default:
			out[n] = Found{nil, p.seq}
		}
	}
	if p.w.cfg.bad.GoneLate {
		p.w.meanwhile(p)
		for n := range out {
			if out[n].Instance == nil {
				out[n].Seq = p.seq
			}
		}
	}
	return out
}

func (p *simProc) Shards() int { return simShards }

func (p *simProc) Piece(shard, slot, most int) (out Piece) {
	p.w.meanwhile(p)
	out = Piece{AsOf: p.seq, Next: -1}
	if p.w.cfg.bad.AsOfAfter {
		defer func() {
			p.w.meanwhile(p)
			out.AsOf = p.seq
		}()
	}
	for n := slot; n < len(p.slots[shard]); n++ {
		if i := p.slots[shard][n]; i >= 0 {
			if len(out.Slots) == min(most, p.w.cfg.piece) {
				out.Next = n
				break
			}
			r := p.table[i]
			if p.w.cfg.bad.SlotsMove && p.slots[shard][0] != i && p.slots[shard][0] < 0 {
				p.slots[shard][0], p.slots[shard][n], p.table[i].slot = i, -1, 0
			}
			out.Slots = append(out.Slots, Slot{n, simFound{i, r}})
		}
	}
	return out
}
