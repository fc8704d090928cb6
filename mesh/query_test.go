package mesh

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// crowd is a directory with many instances of several runtimes, some of them
// ended, entered in a mixed order.
func crowd(n int) *script {
	s := newScript(rules{}, DirectoryConfig{})
	rng := rand.New(rand.NewPCG(1, 2))
	var seqs [3]uint64
	runtimes := [3]Identity{}
	for i := range runtimes {
		s.id = Identity{RuntimeID: fmt.Sprint("r", i), Component: []string{"C", "C", "D"}[i], Name: fmt.Sprint("N", i), Epoch: 1, Log: "log"}
		runtimes[i] = s.id
		s.announce(0)
		s.read(0)
	}
	for range n {
		r := rng.IntN(3)
		s.id = runtimes[r]
		seqs[r]++
		k := []Kind{KindCreated, KindStateChange, KindStateChange, KindCompleted, KindQuarantined}[rng.IntN(5)]
		i := rng.IntN(n / 3)
		s.tell(&Notices{RuntimeID: s.id.RuntimeID, Notices: []Notice{{
			Kind: k, Instance: fmt.Sprintf("id-%d", i), Machine: []string{"M", "O"}[i%2], State: fmt.Sprint("S", rng.IntN(4)), Seq: seqs[r],
			Key: fmt.Sprintf("key-%d", i/10), Context: json.RawMessage(fmt.Sprintf(`{"n":%d,"s":"x%d","deep":{"b":%v}}`, i%7, i%5, i%2 == 0)),
		}}})
	}
	return s
}

// TestListAgainstAll compares pages of lists with going through everything.
func TestListAgainstAll(t *testing.T) {
	t.Parallel()
	s := crowd(1500)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var f Filter
		pick := func(p *string, xs ...string) {
			if rng.IntN(3) == 0 {
				*p = xs[rng.IntN(len(xs))]
			}
		}
		pick(&f.Component, "C", "D", "E")
		pick(&f.Name, "N0", "N2")
		pick(&f.RuntimeID, "r0", "r1")
		pick(&f.Machine, "M", "O", "X")
		pick(&f.State, "S0", "S1", "s1")
		pick(&f.Prefix, "id-1", "key-3", "x")
		f.Live, f.Ended = rng.IntN(4) == 0, rng.IntN(4) == 0
		if rng.IntN(3) == 0 {
			f.Properties = append(f.Properties, Property{"n", json.RawMessage([]string{"3", "3.0", `"3"`, "null"}[rng.IntN(4)])})
		}
		if rng.IntN(3) == 0 {
			f.Properties = append(f.Properties, Property{"deep.b", json.RawMessage("true")})
		}
		var want []whose
		var count Count
		for _, m := range s.d.list {
			for _, e := range m.table.byID {
				in := m.instance(e)
				if f.Component != "" && in.Component != f.Component || f.Name != "" && in.Name != f.Name ||
					f.RuntimeID != "" && in.RuntimeID != f.RuntimeID || f.Machine != "" && in.Machine != f.Machine ||
					f.State != "" && in.State != f.State || f.Live && !in.Status.live() || f.Ended && (in.Status.live() || in.Status == Quarantined) ||
					!strings.HasPrefix(in.ID, f.Prefix) && !strings.HasPrefix(in.Key, f.Prefix) {
					continue
				}
				var c struct {
					N    int
					Deep struct{ B bool }
				}
				if err := json.Unmarshal(in.Context, &c); err != nil {
					t.Fatal(err)
				}
				ok := true
				for _, p := range f.Properties {
					ok = ok && (p.Path == "n" && p.Value[0] == '3' && c.N == 3 || p.Path == "deep.b" && c.Deep.B)
				}
				if !ok {
					continue
				}
				want = append(want, whose{m, e})
				switch {
				case e.live():
					count.Active++
				case e.status == quarantined:
					count.Quarantined++
				default:
					count.Ended++
				}
			}
		}
		slices.SortFunc(want, func(a, b whose) int { return cmp.Compare(a.e.order, b.e.order) })
		newest := rng.IntN(2) == 0
		if newest {
			slices.Reverse(want)
		}
		if got := s.d.Count(f); got != count {
			t.Fatalf("%+v: got %+v, want %+v", f, got, count)
		}
		for _, scan := range []bool{false, true} {
			got := pages(t, s.d, f, newest, 1+rng.IntN(40), scan)
			if len(got) != len(want) {
				t.Fatalf("%+v, scan %v: got %d, want %d", f, scan, len(got), len(want))
			}
			for i := range got {
				if got[i].ID != want[i].e.id || got[i].RuntimeID != want[i].m.RuntimeID {
					t.Fatalf("%+v, scan %v: at %d got %s, want %s", f, scan, i, got[i].ID, want[i].e.id)
				}
			}
		}
	}
	if bad := unsound(s.d); bad != "" {
		t.Error(bad)
	}
}

// pages goes through all pages of a list, one way or the other.
func pages(t *testing.T, d *Directory, f Filter, newest bool, limit int, scan bool) (all []Instance) {
	t.Helper()
	for cursor := ""; ; {
		few := fewRows
		if scan {
			few = -1
		}
		p, err := d.page(f, newest, cursor, limit, few)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Instances) > limit {
			t.Fatalf("got %d rows, the limit is %d", len(p.Instances), limit)
		}
		all = append(all, p.Instances...)
		if cursor = p.Next; cursor == "" {
			return all
		}
	}
}

// TestListWhileItMoves: who is there all the while is met once, wherever it
// moves.
func TestListWhileItMoves(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{EndedPerMachine: 5})
	s.announce(0)
	s.read(0)
	seq := uint64(0)
	change := func(k Kind, i, state int) {
		seq++
		s.notice(k, fmt.Sprint(i), fmt.Sprint("S", state), 1, seq)
	}
	for i := range 5000 {
		change(KindCreated, i, 0)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	met := map[string]int{}
	for cursor := ""; ; {
		p, err := s.d.List(Filter{}, false, cursor, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range p.Instances {
			met[in.ID]++
		}
		if cursor = p.Next; cursor == "" {
			break
		}
		for range 100 {
			if i := rng.IntN(5000); i%2 == 0 {
				change(KindStateChange, i, rng.IntN(9))
			} else {
				change(KindCompleted, i, 9)
			}
		}
	}
	for i := 0; i < 5000; i += 2 {
		if n := met[fmt.Sprint(i)]; n != 1 {
			t.Fatalf("%d was met %d times", i, n)
		}
	}
	s.check(t)
}

func TestListBadCursor(t *testing.T) {
	t.Parallel()
	s := crowd(30)
	for _, c := range []string{"!", "-1", "zzzzzzzzzzzzzzzzzzzz", "1.5"} {
		if _, err := s.d.List(Filter{}, false, c, 10); !errors.Is(err, ErrCursor) {
			t.Errorf("%q: got %v, want ErrCursor", c, err)
		}
	}
	for _, n := range []int{-1, 0, 1 << 40} {
		if p, err := s.d.List(Filter{}, false, "", n); err != nil || len(p.Instances) == 0 {
			t.Errorf("limit %d: got %d rows, %v", n, len(p.Instances), err)
		}
	}
}

func TestPropertyEquals(t *testing.T) {
	t.Parallel()
	doc := `{"a":{"b":[1,{"c":null}]},"n":9007199254740993,"f":1.50,"s":"\u0041<","q\"":true,"":0,"z":-0}`
	for _, c := range []struct {
		path, value string
		want        bool
	}{
		{"a.b", `[1,{"c":null}]`, true}, {"a.b", `[1.0,{"c":null}]`, true}, {"a.b", `[1]`, false}, {"a", `{"b":[1,{"c":null}]}`, true},
		{"n", "9007199254740993", true}, {"n", "9007199254740992", false}, {"f", "1.5", true}, {"f", `"1.5"`, false},
		{"s", `"A<"`, true}, {"s", `"A\u003c"`, true}, {"q\"", "true", true}, {"", "0", true}, {"z", "0", true},
		{"missing", "null", false}, {"a.b.c", "1", false}, {"f", "", false}, {"f", "{", false},
	} {
		p := properties([]Property{{c.path, json.RawMessage(c.value)}})
		if got := p[0].holds(&entry{context: json.RawMessage(doc)}); got != c.want {
			t.Errorf("%s = %s: got %v, want %v", c.path, c.value, got, c.want)
		}
	}
	p := properties([]Property{{"p", json.RawMessage("1")}})
	if !p[0].holds(&entry{rare: &rare{public: json.RawMessage(`{"p":1}`)}}) {
		t.Error("the public member is not looked at")
	}
}
