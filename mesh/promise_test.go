package mesh

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A steadySource has n instances, of which one changes at a time.
type steadySource struct {
	rows []Row
	log  []int // by number less 1, the index of the row
}

func (s *steadySource) Seq() uint64 { return uint64(len(s.log)) }

func (s *steadySource) change(i int) Notice {
	s.log = append(s.log, i)
	r := &s.rows[i]
	r.Seq = s.Seq()
	r.Version++
	return Notice{Kind: KindStateChange, Instance: r.ID, Machine: r.Machine, State: r.State, Version: r.Version, Seq: r.Seq}
}

func (s *steadySource) Changed(seqs Ranges, most int) (out []Changed, tooOld bool) {
	for _, r := range seqs {
		for n := r.From; n <= min(r.To, s.Seq()) && len(out) < most; n++ {
			out = append(out, Changed{n, s.rows[s.log[n-1]].ID})
		}
	}
	return out, false
}

func (s *steadySource) Look(ids []string) (out []Found) {
	for _, id := range ids {
		i := 0
		fmt.Sscan(id, &i)
		out = append(out, Found{rowOf{s.rows[i]}, s.rows[i].Seq})
	}
	return out
}

func (s *steadySource) Shards() int { return 1 }

func (s *steadySource) Piece(_, slot, most int) Piece {
	p := Piece{AsOf: s.Seq(), Next: -1}
	for i := slot; i < len(s.rows); i++ {
		if len(p.Slots) == most {
			p.Next = i
			break
		}
		p.Slots = append(p.Slots, Slot{i, rowOf{s.rows[i]}})
	}
	return p
}

// TestUnderLoss: at 1,000 notices a second of which one in a thousand is lost,
// with 5 ms for a request, a directory is exact most of the time and reads
// about a row for each lost notice.
func TestUnderLoss(t *testing.T) {
	t.Parallel()
	src := &steadySource{}
	for i := range 2000 {
		src.rows = append(src.rows, live(fmt.Sprint(i), "S0", 1, 0))
	}
	s := newScript(rules{}, DirectoryConfig{})
	rng := rand.New(rand.NewPCG(8, 9))
	s.announce(0)
	type reply struct {
		at time.Time
		m  Message
	}
	var replies []reply
	lost, exact := 0, 0
	const ms, warm = 60_000, 1000
	for i := range ms {
		s.now = s.now.Add(time.Millisecond)
		if n := src.change(rng.IntN(len(src.rows))); rng.IntN(1000) == 0 {
			lost++
		} else {
			s.tell(&Notices{RuntimeID: "r1", Notices: []Notice{n}})
		}
		if i%1000 == 999 {
			s.tell(&Beacon{Runtimes: []BeaconEntry{{s.id, src.Seq()}}})
		}
		answered := false
		for len(replies) > 0 && !replies[0].at.After(s.now) {
			s.tell(replies[0].m)
			replies, answered = replies[1:], true
		}
		if answered || i%50 == 0 {
			for _, a := range s.d.Tick(s.now) {
				var m Message
				switch q := a.Message.(type) {
				case *PageRequest:
					m, _ = AnswerPage(src, s.id, q, 0)
				case *RepairRequest:
					m, _ = AnswerRepair(src, s.id, q, 0)
				default:
					continue
				}
				replies = append(replies, reply{s.now.Add(5 * time.Millisecond), m})
			}
		}
		if ok, _ := s.d.Exact("r1", s.now); ok && i >= warm {
			exact++
		}
	}
	share := float64(exact) / (ms - warm)
	rows := float64(s.d.Counters().RepairRows) / float64(lost)
	t.Logf("exact %.0f%% of the time, %.2f rows read for each of %d lost notices", 100*share, rows, lost)
	if share < 0.8 {
		t.Errorf("exact %.0f%% of the time, want 80%%", 100*share)
	}
	if rows > 1.5 {
		t.Errorf("%.2f rows read for each lost notice, want about one", rows)
	}
	if n := s.d.Counters().Readings; n != 1 {
		t.Errorf("read %d times, want once", n)
	}
	s.check(t)
}
