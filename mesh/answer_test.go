package mesh

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// A bigSource has instances whose rows are of different sizes.
type bigSource struct {
	rows []Row // row i was told of by notice i+1, and is in slot i
	gone int   // the first of them are gone
	old  uint64
}

type rowOf struct{ r Row }

func (r rowOf) Row() (Row, error) {
	if r.r.Machine == "" {
		return r.r, fmt.Errorf("cannot be written")
	}
	return r.r, nil
}

func (b bigSource) Seq() uint64 { return uint64(len(b.rows)) }

func (b bigSource) Changed(seqs Ranges, most int) (out []Changed, tooOld bool) {
	for _, r := range seqs {
		for n := r.From; n <= min(r.To, b.Seq()) && len(out) < most; n++ {
			if n < b.old {
				return nil, true
			}
			out = append(out, Changed{n, b.rows[n-1].ID})
		}
	}
	return out, false
}

func (b bigSource) Look(ids []string) (out []Found) {
	for _, id := range ids {
		i := 0
		fmt.Sscan(id, &i)
		if i < b.gone {
			out = append(out, Found{Seq: b.Seq()})
			continue
		}
		out = append(out, Found{rowOf{b.rows[i]}, b.rows[i].Seq})
	}
	return out
}

func (b bigSource) Shards() int { return 1 }

func (b bigSource) Piece(_, slot, most int) Piece {
	p := Piece{AsOf: b.Seq(), Next: -1}
	for i := max(slot, b.gone); i < len(b.rows); i++ {
		if len(p.Slots) == most {
			p.Next = i
			break
		}
		p.Slots = append(p.Slots, Slot{i, rowOf{b.rows[i]}})
	}
	return p
}

func newBigSource(n int, size func(int) int) bigSource {
	var b bigSource
	for i := range n {
		r := live(fmt.Sprint(i), "S0", 1, uint64(i+1))
		r.Context = json.RawMessage(`{"x":"` + strings.Repeat("x", size(i)) + `"}`)
		b.rows = append(b.rows, r)
	}
	return b
}

// TestAnswersStayUnderTheLimit asks for all of a source, bit by bit, and
// applies the answers.
func TestAnswersStayUnderTheLimit(t *testing.T) {
	t.Parallel()
	id := Identity{RuntimeID: "r1", Component: "C", Name: "A", Epoch: 1, Log: "log"}
	for name, b := range map[string]bigSource{
		"small":  newBigSource(5000, func(int) int { return 50 }),
		"large":  newBigSource(20, func(i int) int { return 200_000 }),
		"larger": newBigSource(5, func(i int) int { return 1_000_000 * (i % 2) }),
		"none":   {},
	} {
		for _, gone := range []int{0, len(b.rows) / 2, len(b.rows)} {
			b.gone = gone
			small := func(m Message, rows int) {
				t.Helper()
				body, err := Encode(m)
				if err != nil {
					t.Fatal(err)
				}
				if len(body) > MaxReply && rows > 1 {
					t.Errorf("%s: %d bytes with %d rows", name, len(body), rows)
				}
			}
			read := 0
			for cursor, n := "", 0; ; n++ {
				p, err := AnswerPage(b, id, &PageRequest{Cursor: cursor}, 0)
				if err != nil {
					t.Fatal(err)
				}
				small(p, len(p.Rows))
				read += len(p.Rows)
				if cursor = p.Next; cursor == "" {
					break
				}
				if n > len(b.rows) {
					t.Fatalf("%s: the pages do not end", name)
				}
			}
			if want := len(b.rows) - gone; read != want {
				t.Errorf("%s: read %d rows, want %d", name, read, want)
			}
			var seen Ranges
			told := 0
			for n := 0; ; n++ {
				missing := seen.Missing(0, b.Seq(), 10)
				if len(missing) == 0 {
					break
				}
				p, err := AnswerRepair(b, id, &RepairRequest{Missing: missing}, 0)
				if err != nil {
					t.Fatal(err)
				}
				small(p, len(p.Rows)+len(p.Gone))
				told += len(p.Rows) + len(p.Gone)
				for _, r := range p.Covered {
					seen.Add(r)
				}
				if n > len(b.rows) {
					t.Fatalf("%s: the repairs do not end", name)
				}
			}
			if told != len(b.rows) {
				t.Errorf("%s: repaired %d rows, want %d", name, told, len(b.rows))
			}
		}
	}
}

func TestAnswersRefuse(t *testing.T) {
	t.Parallel()
	b := newBigSource(10, func(int) int { return 1 })
	b.old = 5
	id := Identity{RuntimeID: "r1"}
	if p, err := AnswerRepair(b, id, &RepairRequest{Missing: Ranges{{4, 6}}}, 0); err != nil || !p.TooOld || len(p.Covered)+len(p.Rows) > 0 || p.Seq != 10 {
		t.Errorf("got %+v, %v, want too_old", p, err)
	}
	for _, bad := range []Ranges{{{0, 1}}, {{3, 2}}, {{1, 2}, {2, 3}}, make(Ranges, missingMost+1)} {
		if _, err := AnswerRepair(b, id, &RepairRequest{Missing: bad}, 0); err == nil {
			t.Errorf("%d ranges: got no error", len(bad))
		}
	}
	if p, err := AnswerRepair(b, id, &RepairRequest{Missing: Ranges{{8, MaxSeq}}}, 0); err != nil || fmt.Sprint(p.Covered) != "[{8 10}]" {
		t.Errorf("got %+v, %v, want 8 to 10 covered", p, err)
	}
	for _, c := range []string{"x", "1.0", "-1.0", "0.-1", "0", "0.0.0", "00.1", "0.99999999999999999999"} {
		if p, err := AnswerPage(b, id, &PageRequest{Cursor: c}, 0); err != nil || !p.BadCursor || len(p.Rows) > 0 {
			t.Errorf("%q: got %+v, %v, want a bad cursor", c, p, err)
		}
	}
	b.rows[3].Machine = ""
	if _, err := AnswerPage(b, id, &PageRequest{}, 0); err == nil {
		t.Error("a row that cannot be written: got no error")
	}
}
