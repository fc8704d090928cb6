package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fsmesh/fsmesh/mesh"
)

func TestDialects(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range Channels {
		if of(c.Kind).Kind != c.Kind {
			t.Errorf("%s is there twice", c.Kind)
		}
		for d, name := range c.Names {
			if name == "" {
				continue
			}
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
			got, dialect, ok := byName(name)
			if !ok || got.Kind != c.Kind || dialect != Dialect(d) {
				t.Errorf("%s is %v of %v", name, got, dialect)
			}
		}
	}
	for _, tt := range []struct {
		name string
		d    dialects
		want []string
		not  []string
	}{
		{"both", dialects{purposes: [4]bool{true, true, true, false}}, []string{"xcomponent:announce", "fsm:registry:announce", "fsm:events:state_change"}, []string{"external:commands"}},
		{"no package dialect", dialects{off: [2]bool{Package: true}, purposes: [4]bool{true, true, true, true}}, []string{"xcomponent:announce", "xcomponent:external:commands"}, []string{"fsm:registry:announce"}},
		{"no directory", dialects{purposes: [4]bool{true, false, true, false}}, []string{"fsm:commands:trigger_event", "fsm:registry:announce"}, []string{"fsm:events:state_change", "xcomponent:query_response"}},
		{"only one", dialects{only: []Kind{Announce}, purposes: [4]bool{true, true, true, false}}, []string{"xcomponent:announce"}, []string{"fsm:commands:trigger_event"}},
	} {
		got := tt.d.in()
		for _, w := range tt.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %s is not subscribed to", tt.name, w)
			}
		}
		for _, n := range tt.not {
			if slices.Contains(got, n) {
				t.Errorf("%s: %s is subscribed to", tt.name, n)
			}
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	g := newGuard("me", newCounts())
	body := []byte(`{"a":1}`)
	if g.again("x", now) || !g.again("x", now.Add(time.Minute)) {
		t.Error("an id is not known again, or was before it came")
	}
	g.forget("x")
	if g.again("x", now) {
		t.Error("an id that was taken back is known")
	}
	for i := range seenMost * 2 {
		g.again(fmt.Sprint(i), now.Add(time.Duration(i)*time.Millisecond))
	}
	if n := len(g.seen[0]) + len(g.seen[1]); n > seenMost+1 {
		t.Errorf("%d ids are remembered, at most %d may be", n, seenMost)
	}
	for _, tt := range []struct {
		body         string
		echo, copied bool
	}{
		{`{"a":{"b":1},"id":"x","origin":"me","hops":1}`, true, false},
		{`{"a":1,"origin":"me","seq":1,"copy":true}`, true, true},
		{`{"origin":"other","copy":true,"leftOut":1}`, false, true},
		{`{"data":{"context":{"origin":"me"}},"timestamp":1}`, false, false},
		{`{"data":{"context":{"x":1,"copy":true}}}`, false, false},
		{`{"origin":"me","x":{}}`, false, false},
	} {
		if got := g.echo([]byte(tt.body)); got != tt.echo {
			t.Errorf("echo of %s: %v", tt.body, got)
		}
		if got := copied([]byte(tt.body)); got != tt.copied {
			t.Errorf("copied, of %s: %v", tt.body, got)
		}
	}
	for want := 1; want <= 3; want++ {
		if _, n := g.arrival(body, now); n != want {
			t.Errorf("arrival %d, want %d", n, want)
		}
	}
	if _, n := g.arrival(body, now.Add(11*time.Second)); n != 1 {
		t.Errorf("after 10 s arrivals begin at %d, want 1", n)
	}
}

// TestTable checks that the numbers of a table rise, that older news of the
// runtime's own numbers is left out, and that an answer makes it equal.
func TestTable(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_795_000_000_000)
	tab := newTable(now, nil)
	first := tab.Seq()
	note := func(id, state string, wire uint64) (bool, uint64) {
		n := &mesh.Notice{Kind: mesh.KindStateChange, Instance: id, Machine: "M", State: state, Context: nothing}
		ok := tab.apply(n, wire)
		return ok, n.Seq
	}
	if ok, seq := note("a", "S", 5); !ok || seq != first+1 {
		t.Fatalf("applied %v with number %d, want %d", ok, seq, first+1)
	}
	if ok, _ := note("a", "Old", 5); ok {
		t.Error("a notice came twice and was applied twice")
	}
	note("b", "S", 6)
	tab.apply(&mesh.Notice{Kind: mesh.KindCompleted, Instance: "b", Machine: "M", State: "Done"}, 7)
	if ok, _ := note("b", "S", 6); ok {
		t.Error("an ended instance is back by an older notice")
	}
	changed, tooOld := tab.Changed(mesh.Ranges{{From: first + 1, To: first + 100}}, 10)
	if tooOld || len(changed) != 3 || changed[0].ID != "a" || changed[2].ID != "b" {
		t.Errorf("changed %v, too old %v", changed, tooOld)
	}
	if _, tooOld = tab.Changed(mesh.Ranges{{From: first, To: first}}, 10); !tooOld {
		t.Error("what was before the table is not too old")
	}
	found := tab.Look([]string{"a", "b", "c"})
	if found[0].Instance == nil || found[1].Instance == nil || found[2].Instance != nil || found[2].Seq != tab.Seq() {
		t.Errorf("found %+v", found)
	}
	ends := func(_, s string) mesh.Status {
		if s == "Done" {
			return mesh.Completed
		}
		return ""
	}
	notices := tab.reconcile([]Row{
		{ID: "c", Machine: "M", State: "S"}, {ID: "b", Machine: "M", State: "Done"}, {ID: "d", Machine: "M", State: "Done"},
	}, 1, nil, true, ends)
	if len(notices) != 2 || notices[0].Kind != mesh.KindCreated || notices[1].Kind != mesh.KindCompleted {
		t.Errorf("the answer led to %+v", notices)
	}
	if p := tab.Piece(0, 0, 10); len(p.Slots) != 1 || p.Slots[0].Instance.(heldRow).h.ID != "c" || p.Next != -1 {
		t.Errorf("the table holds %+v, want c alone", p)
	}
	before := tab.Seq()
	tab.rebase(now.Add(time.Second))
	if tab.Seq() <= before {
		t.Error("the numbers do not rise")
	}
	asOf := uint64(3)
	note("new", "S", 9)
	tab.reconcile(nil, 1, &asOf, true, ends)
	if tab.get("new") == nil {
		t.Error("an answer as of 3 removed what came with number 9")
	}
	asOf = 20
	tab.reconcile(nil, 1, &asOf, false, ends)
	if tab.get("new") == nil {
		t.Error("an answer that is not whole removed what it does not have")
	}
	if ok, _ := note("left out", "S", 15); !ok {
		t.Error("an answer that is not whole has a notice of what it left out dropped")
	}
}

// TestTableAndLateNews has an answer and notices of a runtime overtake each other,
// as those of one that numbers may: neither brings back what the other has ended.
func TestTableAndLateNews(t *testing.T) {
	t.Parallel()
	ends := func(string, string) mesh.Status { return "" }
	notice := func(kind mesh.Kind, state string) *mesh.Notice {
		return &mesh.Notice{Kind: kind, Instance: "a", Machine: "M", State: state, Context: nothing}
	}
	live := func(tab *table) (rows []string) {
		for _, s := range tab.Piece(0, 0, 10).Slots {
			h := s.Instance.(heldRow).h
			rows = append(rows, h.ID+" "+h.State)
		}
		return rows
	}
	four, five := uint64(4), uint64(5)
	for _, tt := range []struct {
		name string
		f    func(*table)
		want []string
	}{
		// Instances that have not changed since their runtime started have no number.
		{"an answer from before the end", func(tab *table) {
			tab.reconcile([]Row{{ID: "a", Machine: "M", State: "S"}}, 1, &four, true, ends)
			tab.apply(notice(mesh.KindCompleted, "Done"), 5)
			tab.reconcile([]Row{{ID: "a", Machine: "M", State: "S"}}, 1, &four, true, ends)
		}, nil},
		{"an answer from before the change", func(tab *table) {
			tab.apply(notice(mesh.KindStateChange, "T"), 5)
			tab.reconcile([]Row{{ID: "a", Machine: "M", State: "S"}}, 1, &four, true, ends)
		}, []string{"a T"}},
		{"the change before the end comes after the answer, and the end is lost", func(tab *table) {
			tab.apply(notice(mesh.KindStateChange, "S"), 3)
			tab.reconcile(nil, 1, &five, true, ends)
			tab.apply(notice(mesh.KindStateChange, "T"), 4)
		}, nil},
		{"a change there and back comes after the answer", func(tab *table) {
			tab.apply(notice(mesh.KindStateChange, "S"), 3)
			tab.reconcile([]Row{{ID: "a", Machine: "M", State: "S", Seq: 5}}, 1, &five, true, ends)
			tab.apply(notice(mesh.KindStateChange, "T"), 4)
		}, []string{"a S"}},
		{"what comes after the answer is applied", func(tab *table) {
			tab.reconcile(nil, 1, &five, true, ends)
			tab.apply(notice(mesh.KindCreated, "S"), 6)
		}, []string{"a S"}},
	} {
		tab := newTable(time.UnixMilli(1_795_000_000_000), nil)
		tt.f(tab)
		if got := live(tab); !slices.Equal(got, tt.want) {
			t.Errorf("%s: live are %q, want %q", tt.name, got, tt.want)
		}
	}
	tab := newTable(time.UnixMilli(1_795_000_000_000), nil)
	tab.apply(notice(mesh.KindStateChange, "S"), 3)
	tab.reconcile(nil, 1, &five, true, ends)
	end := notice(mesh.KindCompleted, "Done")
	end.Status = mesh.Completed
	if !tab.apply(end, 5) || tab.get("a") == nil || tab.get("a").Status != mesh.Completed {
		t.Errorf("how an instance ended that an answer left out is not taken in: %+v", tab.get("a"))
	}
}

// TestMissing follows the numbers of a runtime.
func TestMissing(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_795_000_000_000)
	seq := func(n uint64) *uint64 { return &n }
	var m missing
	if gap := m.note(5); gap != 0 {
		t.Errorf("before the first number %d are missing", gap)
	}
	if gap := m.note(9); gap != 3 || m.behind != 3 {
		t.Errorf("between 5 and 9 %d are missing, %d in all; want 3", gap, m.behind)
	}
	if m.answered(seq(6)) || m.behind == 0 {
		t.Error("an answer as of 6, which was on its way, is taken for what was missing up to 8")
	}
	if !m.answered(seq(8)) || m.behind != 0 {
		t.Error("an answer as of 8 has not told what was missing up to 8")
	}
	m.hint(9, now)
	if gap := m.overdue(now.Add(time.Hour)); gap != 0 {
		t.Errorf("%d are missing of those that came", gap)
	}
	m.hint(11, now)
	m.hint(12, now.Add(hintFor/2))
	if gap := m.overdue(now.Add(hintFor - 1)); gap != 0 {
		t.Errorf("%d are missing at once, though they may be on their way", gap)
	}
	if gap := m.note(10); gap != 0 {
		t.Errorf("before the next number %d are missing", gap)
	}
	if gap := m.overdue(now.Add(hintFor)); gap != 2 || m.behind != 2 {
		t.Errorf("of the last ones that a heartbeat spoke of %d are missing, want 2", gap)
	}
	if m.note(12) != 0 || m.overdue(now.Add(time.Hour)) != 0 {
		t.Error("they are missing twice")
	}
	if !m.answered(nil) || m.behind != 0 {
		t.Error("an answer without a number does not tell all that was sent before it")
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	var rows []mesh.Instance
	big := json.RawMessage(`{"x":"` + string(bytes.Repeat([]byte("y"), 10_000)) + `"}`)
	for i := range 300 {
		rows = append(rows, mesh.Instance{Row: mesh.Row{ID: fmt.Sprint(i), Machine: "M", State: "S", Context: big}})
	}
	rows[7].Context = json.RawMessage(`{"x":"` + string(bytes.Repeat([]byte("y"), 2*chunkBytes)) + `"}`)
	n := 0
	chunks := answer(&mesh.RuntimeInfo{}, rows, 9)
	for i, b := range chunks {
		raw, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > chunkBytes && len(*b.Instances) > 1 {
			t.Errorf("chunk %d has %d bytes and %d rows", i, len(raw), len(*b.Instances))
		}
		if b.Chunk != i+1 || b.Last != (i == len(chunks)-1) {
			t.Errorf("chunk %d is number %d, last %v", i, b.Chunk, b.Last)
		}
		n += len(*b.Instances)
	}
	if n != len(rows) || len(chunks) < 6 {
		t.Errorf("%d rows in %d chunks", n, len(chunks))
	}
}

// TestMergedAnswer has an answer for one of three runtimes of a component, with more
// instances than it may have: it is read as what each that it is given for has.
func TestMergedAnswer(t *testing.T) {
	t.Parallel()
	var rows []mesh.Instance
	for i := range mergedMost + 5 {
		rows = append(rows, mesh.Instance{Row: mesh.Row{ID: fmt.Sprint(i), Machine: "M", State: "S", UpdatedAt: int64(-i)}, RuntimeID: []string{"few", "many", "elsewhere"}[min(i, 2)]})
	}
	for i := range rows[100:] {
		rows[100+i].RuntimeID = "many"
	}
	nine := uint64(9)
	b := mergedAnswer(&mesh.RuntimeInfo{Identity: mesh.Identity{RuntimeID: "few", Component: "C"}}, rows, []Answering{{RuntimeID: "few", AsOf: &nine}, {RuntimeID: "many", Hops: 2}})
	raw, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if b, err = Decode(QueryResponse, raw); err != nil {
		t.Fatal(err)
	}
	parts := b.parts()
	if len(*b.Instances) != mergedMost || b.LeftOut != 5 || len(parts) != 2 {
		t.Fatalf("%d rows, %d left out, %d parts; want %d, 5 and 2", len(*b.Instances), b.LeftOut, len(parts), mergedMost)
	}
	for i, want := range []struct {
		id                  string
		rows, leftOut, hops int
		asOf                *uint64
	}{{"few", 1, 0, 0, &nine}, {"many", mergedMost - 99, 5, 2, nil}} {
		p := parts[i]
		if p.RuntimeID != want.id || p.Component != "C" || len(*p.Instances) != want.rows || p.LeftOut != want.leftOut || p.Hops != want.hops || (p.AsOf == nil) != (want.asOf == nil) {
			t.Errorf("part %d is of %s with %d rows, %d left out, %d hops; want %+v", i, p.RuntimeID, len(*p.Instances), p.LeftOut, p.Hops, want)
		}
	}
}

// TestMergedTwice reads a merged answer that names a runtime again and again: its
// rows are taken over once.
func TestMergedTwice(t *testing.T) {
	t.Parallel()
	b, err := Decode(QueryResponse, []byte(`{"runtimeId": "r", "componentName": "C", "merged": true, "instances": [],
		"runtimes": [{"runtimeId": "r", "asOf": 9}, {"runtimeId": "s"}, {"runtimeId": "r", "asOf": 1}, {"runtimeId": "r"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range b.parts() {
		ids = append(ids, p.RuntimeID)
	}
	if !slices.Equal(ids, []string{"r", "s"}) || *b.Runtimes[0].AsOf != 9 {
		t.Errorf("it is of %q", ids)
	}
}

// TestErrorTexts reads errors of others that are long or have several lines: what
// they say is kept, in one line.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ raw, want string }{
		{`"it broke"`, "it broke"},
		{`"it broke\n\tat line 1\r\n\u0000\u007f"`, "it broke at line 1"},
		{`"` + strings.Repeat("x", 600) + `"`, strings.Repeat("x", maxText-len("…")) + "…"},
		{`"` + strings.Repeat("é", 300) + `"`, strings.Repeat("é", 254) + "…"},
		{`"a\ud800b"`, "a\ufffdb"},
		{`7`, ""},
	} {
		b, err := Decode(CommandResponse, []byte(`{"correlationId":"c","ok":false,"message":`+tt.raw+`}`))
		if err != nil || b.Message != tt.want {
			t.Errorf("the message %s is %q, %v; want %q", tt.raw, b.Message, err, tt.want)
		}
		b, err = Decode(HookError, []byte(`{"runtimeId":"r","componentName":"C","data":{"error":`+tt.raw+`}}`))
		if err != nil || b.Data.Error != tt.want || !goodText(b.Data.Error) {
			t.Errorf("the error %s is %q, %v; want %q", tt.raw, b.Data.Error, err, tt.want)
		}
	}
}

// TestEncodeNotice compares the two ways of writing the body of a notice.
func TestEncodeNotice(t *testing.T) {
	t.Parallel()
	event := &mesh.Event{ID: "e", Type: "GO <now>", Payload: json.RawMessage(`{"a":[1,2]}`), SourceComponent: "Größe"}
	for _, n := range []mesh.Notice{
		{Kind: mesh.KindCreated, Instance: "i\"1\"", Machine: "M", State: "S", Context: json.RawMessage(`{"x":1}`), Version: 1, Seq: 1, Key: "k", Timestamp: 5},
		{Kind: mesh.KindStateChange, Instance: "i", Machine: "M", State: "S", Previous: "R", Event: event, Part: 2, PublicMember: json.RawMessage(`{"y":2}`), PendingTimeouts: json.RawMessage(`[{"event":"T"}]`)},
		{Kind: mesh.KindStateChange, Instance: "i", Machine: "M", State: "S", Event: &mesh.Event{Type: "X"}},
		{Kind: mesh.KindCompleted, Instance: "i", Machine: "M", State: "S", Status: mesh.Failed, Parent: "p"},
		{Kind: mesh.KindHookError, Instance: "i", Machine: "M", State: "S", Error: "line\nbreak"},
	} {
		k, b := fromNotice(&mesh.Told{RuntimeID: "r", Component: "C", Notice: n})
		b.ID, b.Origin, b.Hops = "id", "me", 1
		want, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		n.ID = "id"
		o := &outer{info: mesh.RuntimeInfo{Identity: mesh.Identity{RuntimeID: "r", Component: "C"}}, hops: 1}
		if got := string(appendNotice(nil, o, &n, "me")) + "}"; got != string(want) {
			t.Errorf("%s:\n got %s\nwant %s", k, got, want)
		}
	}
	if id := string(appendID(nil)); uuid.Validate(id) != nil || id == newID() {
		t.Errorf("id %q", id)
	}
}

// frames are the recorded bodies.
func frames(t testing.TB) map[string][][]byte {
	t.Helper()
	out := map[string][][]byte{}
	for _, f := range []string{"capture-redis.json", "capture-rabbitmq.json"} {
		raw, err := os.ReadFile("bridgetest/testdata/" + f)
		if err != nil {
			t.Fatal(err)
		}
		var lines []struct {
			Channel string          `json:"channel"`
			Key     string          `json:"routing_key"`
			Message json.RawMessage `json:"message"`
		}
		if err := json.Unmarshal(raw, &lines); err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			for _, c := range Channels {
				if n := c.Names[Package]; l.Message != nil && n != "" && (l.Channel == n || l.Key == string(bytes.ReplaceAll([]byte(n), []byte(":"), []byte(".")))) {
					out[n] = append(out[n], l.Message)
				}
			}
		}
	}
	return out
}

// TestRoundTrip reads each recorded body and writes it again: nothing is lost but
// what nobody uses.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	n := 0
	for channel, bodies := range frames(t) {
		c, _, _ := byName(channel)
		for _, raw := range bodies {
			b, err := Decode(c.Kind, raw)
			if err != nil {
				t.Errorf("%s: %v", channel, err)
				continue
			}
			again, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			var x, y map[string]any
			_, _ = json.Unmarshal(raw, &x), json.Unmarshal(again, &y)
			if gone := without(x, y); gone != "" {
				t.Errorf("%s: %s is gone:\n%s\n%s", channel, gone, raw, again)
			}
			n++
		}
	}
	if n != 84 {
		t.Errorf("%d bodies are recorded, want 84", n)
	}
}

// without names a field of x that y has not.
func without(x, y map[string]any) string {
	for k, v := range x {
		if _, ok := y[k]; !ok && k != "timestamp" {
			return k
		}
		a, isA := v.(map[string]any)
		if b, isB := y[k].(map[string]any); isA && isB {
			if gone := without(a, b); gone != "" {
				return k + "." + gone
			}
		}
	}
	return ""
}

// FuzzDecode reads anything as any kind: it does not panic, and what it accepts
// can be written, read again, and put onto the mesh.
func FuzzDecode(f *testing.F) {
	for channel, bodies := range frames(f) {
		for i, c := range Channels {
			if c.Names[Package] == channel {
				for _, b := range bodies {
					f.Add(uint8(i), b)
				}
			}
		}
	}
	f.Add(uint8(len(Channels)), []byte(`{"targetComponent":"C","targetMachine":"M","targetState":"*","event":"GO","payload":{"a":1},"filters":[{"property":"a.b","value":1}]}`))
	for _, s := range []string{"", "{}", "[]", "null", `{"runtimeId":7}`, `{"data":{"context":[]}}`, `{"instances":[{}]}`, `{"seq":-1,"port":1e99}`} {
		f.Add(uint8(6), []byte(s))
	}
	for i, c := range Channels {
		switch c.Kind {
		case QueryResponse:
			f.Add(uint8(i), []byte(`{"runtimeId":"r","componentName":"C","merged":true,"runtimes":[{"runtimeId":"r","asOf":1},{"runtimeId":"s"}],"instances":[{"id":"i","machineName":"M","currentState":"S","runtimeId":"r"}]}`))
		case CrossEvent:
			f.Add(uint8(i), []byte(`{"targetComponent":"C","event":{"type":"E","payload":{"a":1}},"matchingRules":[{"eventProperty":"a","instanceProperty":"b","operator":"===","value":{"c":[]}}]}`))
		case ExternalBroadcast:
			f.Add(uint8(i), []byte(`{"componentName":"C","machineName":"M","currentState":"*","event":{"type":"E"},"context":{"a":{"b":1}},"filters":[{"property":"a.b","operator":">=","value":1}]}`))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		k := ComponentBroadcast
		if n := int(kind) % (len(Channels) + 1); n < len(Channels) {
			k = Channels[n].Kind
		}
		b, err := Decode(k, raw)
		if err != nil {
			if _, ok := err.(*PoisonError); !ok || err.Error() == "" {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		out, err := b.Encode()
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		again, err := Decode(k, out)
		if err != nil {
			t.Fatalf("cannot be read again: %v\n%s", err, out)
		}
		if again.RuntimeID != b.RuntimeID || again.Component != b.Component || again.Instance != b.Instance {
			t.Fatalf("%+v became %+v", b, again)
		}
		if n := toNotice(k, b); n != nil {
			if b.Data.Instance != n.Instance {
				t.Fatalf("%+v", n)
			}
			fuzzNotice(t, n, b.Seq)
		}
		passes(&mesh.Instance{Row: mesh.Row{Context: b.Context}}, b.Filters)
		if k == CrossEvent {
			if e, err := (&session{}).effect(b); err == nil && (e.Effect.Event != b.Event.Type || len(e.Effect.Rules) != len(*b.Rules)) {
				t.Fatalf("%+v became %+v", b, e)
			}
		}
		if k == QueryResponse {
			rows := 0
			for _, part := range b.parts() {
				rows += len(*part.Instances)
			}
			if most := len(*b.Instances) * max(1, len(b.Runtimes)); rows > most {
				t.Fatalf("%d rows of %d", rows, most)
			}
		}
		if b.Instances != nil {
			tab := newTable(time.UnixMilli(1), nil)
			tab.reconcile(*b.Instances, 1, b.AsOf, true, endings(b.Definition))
			if got := len(tab.byID); got > len(*b.Instances) {
				t.Fatalf("%d instances of %d rows", got, len(*b.Instances))
			}
		}
		endings(b.Definition)("a", "b")
		entryMachine(b.Definition)
	})
}

// fuzzNotice puts a notice into a table, twice: what it holds is what it was told, and
// the same number is no news.
func fuzzNotice(t *testing.T, n *mesh.Notice, number *uint64) {
	if !n.Kind.Numbered() {
		return
	}
	var seq uint64
	if number != nil {
		seq = *number
	}
	tab := newTable(time.UnixMilli(1), nil)
	if !tab.apply(n, seq) {
		return
	}
	if h := tab.get(n.Instance); h == nil || h.State != n.State {
		t.Fatalf("%+v is held as %+v", n, h)
	}
	if again := *n; seq != 0 && tab.apply(&again, seq) {
		t.Fatalf("%+v is news a second time", n)
	}
}

// FuzzComponentChannel sees that the channel of a component is no other channel,
// and that different names have different channels on every broker.
func FuzzComponentChannel(f *testing.F) {
	for _, s := range []string{"Orders", "announce", "external:commands", "events:state_change", "a.b", "*", "#", "", "a b", "\n", "Größe"} {
		f.Add(s, "Orders")
	}
	key := func(channel string) string {
		return string(bytes.ReplaceAll([]byte(channel), []byte(":"), []byte(".")))
	}
	f.Fuzz(func(t *testing.T, name, other string) {
		channel := ComponentChannel(name)
		if channel == "" {
			return
		}
		if _, _, taken := byName(channel); taken || len(channel) > 255 {
			t.Fatalf("%q has the channel %q", name, channel)
		}
		for _, c := range Channels {
			for _, n := range c.Names {
				if n != "" && key(n) == key(channel) {
					t.Fatalf("%q has the routing key of %s", name, n)
				}
			}
		}
		if second := ComponentChannel(other); second != "" && (key(second) == key(channel)) != (name == other) {
			t.Fatalf("%q and %q have the channels %q and %q", name, other, channel, second)
		}
		if r, ok := routeOf(guestProcess(name, len(other)%30)); ok && r.via != name {
			t.Fatalf("the way over %q is read as %+v", name, r)
		}
	})
}

// TestUnheeded has commands ask for what cannot be heeded: they are refused, as what is
// done without it would not be what was asked for.
func TestUnheeded(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", maxText+1) + `"`
	for _, tt := range []struct {
		kind   Kind
		name   string
		values []string // the first three are heeded, or no wish
	}{
		{CreateInstance, "instanceId", []string{`"i"`, `""`, `null`, `7`, `"a\nb"`, `{}`, long}},
		{CreateInstance, "key", []string{`"k"`, `""`, `null`, `7`, `"a\u0000b"`, `true`, long}},
		{CreateInstance, "currentState", []string{`"Open"`, `""`, `null`, `7`, `"a\rb"`, `[]`, long}},
		{CreateInstance, "orGet", []string{`true`, `false`, `null`, `"true"`, `1`}},
		{TriggerEvent, "ifVersion", []string{`3`, `0`, `null`, `"3"`, `-1`, `2.5`, `true`, `1e300`}},
		{ExternalCommand, "ifVersion", []string{`3`, `0`, `null`, `"3"`}},
	} {
		for i, v := range tt.values {
			raw := fmt.Appendf(nil, `{"componentName":"C","instanceId":"i","event":{"type":"GO"},%q:%s}`, tt.name, v)
			if tt.name == "instanceId" {
				raw = fmt.Appendf(nil, `{"componentName":"C","instanceId":%s}`, v)
			}
			_, err := Decode(tt.kind, raw)
			if i < 3 != (err == nil) || err != nil && !strings.Contains(err.Error(), `"`+tt.name+`"`) {
				t.Errorf("%s with %s %.40s: %v", tt.kind, tt.name, v, err)
			}
		}
	}
}
