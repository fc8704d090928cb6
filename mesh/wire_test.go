package mesh

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// A frame is a message that is kept as it goes over the bus.
type frame struct {
	name    string
	message Message
}

// frames has one of each message, with all its fields.
func frames() []frame {
	id := Identity{RuntimeID: "r-1", Component: "Shop", Name: "shop", Epoch: 7, Log: "log-1", Process: "p-1"}
	seq := uint64(12)
	row := Row{
		ID: "o-1", Machine: "Order", State: "Paid", Status: Active, Context: json.RawMessage(`{"amount":9007199254740993,"city":"Zürich"}`),
		PublicMember: json.RawMessage(`{"a":1}`), PendingTimeouts: json.RawMessage(`[{"event":"T"}]`), Version: 3, Part: 1, Seq: 12,
		Key: "order:1", Parent: "o-0", CreatedAt: 1795442574738, UpdatedAt: 1795442574739,
	}
	few := Row{ID: "o-2", Machine: "Order", State: "Paid", Status: Completed, Seq: 11}
	return []frame{
		{"announce", &Announce{Identity: id, Definition: json.RawMessage(`{"name":"Shop"}`), Host: "localhost", Port: 1, Protocol: 1, Seq: &seq, Timestamp: 1795442574738}},
		{"heartbeat", &Heartbeat{Identity: id, Seq: &seq, Timestamp: 1795442574738}},
		{"goodbye", &Goodbye{Identity: id, Seq: &seq, Timestamp: 1795442574738}},
		{"beacon", &Beacon{Runtimes: []BeaconEntry{{id, 12}}, Timestamp: 1795442574738}},
		{"bridge", &BridgeStatus{
			ID: "b-1", Broker: "redis://localhost:6379", Process: "p-1", Host: "host", Active: true, Behind: 2, Mirrored: 1, Queued: 3,
			Counters: map[string]uint64{"received": 5}, Followed: []Followed{{"r-2", 1795442574738}}, Timestamp: 1795442574738,
		}},
		{"discover", &Discover{Type: "discover", RuntimeID: "r-1", Timestamp: 1795442574738}},
		{"notices", &Notices{RuntimeID: "r-1", Notices: []Notice{
			{
				ID: "n-1", Kind: KindStateChange, Instance: "o-1", Machine: "Order", State: "Paid", Previous: "Placed", Status: Failed,
				Event:   &Event{ID: "e-1", Type: "PAY", Payload: json.RawMessage(`{"x":1}`), Timestamp: -5, SourceComponent: "Bank"},
				Context: row.Context, PublicMember: row.PublicMember, PendingTimeouts: row.PendingTimeouts, Version: 3, Part: 1, Seq: 12,
				Key: "order:1", Parent: "o-0", CreatedAt: 1795442574738, Timestamp: 1795442574739, Error: "bad",
			},
			{Kind: KindStateChange, Instance: "o-2", Machine: "Order", State: "Placed", Previous: "Paid", Event: &Event{Type: "PAY"}, Seq: 13},
		}}},
		{"repair-request", &RepairRequest{RuntimeID: "r-1", Missing: Ranges{{3, 5}, {9, 9}}}},
		{"repair-reply", &RepairReply{Identity: id, Covered: Ranges{{3, 5}, {9, 9}}, Rows: []Row{row, few}, Gone: []Gone{{"o-3", 12}}, Seq: 12}},
		{"repair-too-old", &RepairReply{Identity: id, TooOld: true, Seq: 12}},
		{"page-request", &PageRequest{RuntimeID: "r-1", Cursor: "0.5"}},
		{"page-reply", &PageReply{Identity: id, Cursor: "0.5", Next: "1.0", Rows: []Row{row, few}, AsOf: 11, Seq: 12}},
		{"page-bad-cursor", &PageReply{Identity: id, Cursor: "x", AsOf: 12, Seq: 12, BadCursor: true}},
		{"command", &Command{Do: doSend, Component: "Shop", Instance: "o-1", Event: &Event{ID: "e-1", Type: "PAY", Payload: json.RawMessage(`{"x":1}`)}, IfVersion: 2}},
		{"outcome", &Outcome{RuntimeID: "r-1", Component: "Shop", OK: true, Instance: "o-1", State: "Paid", Version: 3, Seq: 12}},
	}
}

// TestGoldenFrames: what goes over the bus is what it was.
func TestGoldenFrames(t *testing.T) {
	t.Parallel()
	for _, f := range frames() {
		body, err := Encode(f.message)
		if err != nil {
			t.Fatal(err)
		}
		text, path := string(body)+"\n", filepath.Join("testdata", "wire", f.name+".json")
		if body[0] == formBinary {
			path = strings.TrimSuffix(path, ".json") + ".hex"
			plain, err := json.Marshal(f.message)
			if err != nil {
				t.Fatal(err)
			}
			text = fmt.Sprintf("# %s\n%s", plain, wrapped(hex.EncodeToString(body)))
		}
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s has changed: the form on the bus is a promise to processes of other versions.\ngot  %s\nwant %s", path, text, want)
		}
		back := reflect.New(reflect.TypeOf(f.message).Elem()).Interface().(Message)
		if err := Decode(body, back); err != nil {
			t.Errorf("%s: %v", f.name, err)
		} else if !reflect.DeepEqual(back, f.message) {
			t.Errorf("%s: read %+v, want %+v", f.name, back, f.message)
		}
	}
}

func wrapped(s string) string {
	var b strings.Builder
	for len(s) > 64 {
		b.WriteString(s[:64] + "\n")
		s = s[64:]
	}
	return b.String() + s + "\n"
}

// binaryFrames are those in binary form.
func binaryFrames(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, f := range frames() {
		b, err := Encode(f.message)
		if err != nil {
			t.Fatal(err)
		}
		if b[0] == formBinary {
			out[f.name] = b
		}
	}
	return out
}

// TestDamagedFrames: a message that ends too early is refused, unless it ends
// between two fields, and one with a wrong byte harms nobody.
func TestDamagedFrames(t *testing.T) {
	t.Parallel()
	for name, body := range binaryFrames(t) {
		read := func(b []byte) error {
			m := Message(&Notices{})
			switch body[1] {
			case formPage:
				m = &PageReply{}
			case formRepair:
				m = &RepairReply{}
			}
			return Decode(b, m)
		}
		ends := map[int]bool{2: true} // where a field does
		for at := 2; at < len(body); {
			_, _, n := protowire.ConsumeField(body[at:])
			at += n
			ends[at] = true
		}
		for n := range body {
			if err := read(body[:n:n]); (err == nil) != ends[n] {
				t.Errorf("%s, the first %d of %d bytes: %v", name, n, len(body), err)
			}
			for bit := range 8 {
				b := bytes.Clone(body)
				b[n] ^= 1 << bit
				_ = read(b) // it must come back
			}
		}
	}
}

// TestUnknownFieldsAreIgnored puts fields of every type that nobody knows into
// a message and into what is in it.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	var unknown []byte
	unknown = protowire.AppendVarint(protowire.AppendTag(unknown, 1000, protowire.VarintType), 1<<63)
	unknown = protowire.AppendFixed32(protowire.AppendTag(unknown, 1001, protowire.Fixed32Type), 1)
	unknown = protowire.AppendFixed64(protowire.AppendTag(unknown, 1002, protowire.Fixed64Type), 1)
	unknown = protowire.AppendBytes(protowire.AppendTag(unknown, 1003, protowire.BytesType), []byte("more"))
	unknown = protowire.AppendTag(protowire.AppendTag(unknown, 1004, protowire.StartGroupType), 1004, protowire.EndGroupType)
	for _, f := range frames() {
		body, err := Encode(f.message)
		if err != nil {
			t.Fatal(err)
		}
		if body[0] != formBinary {
			continue
		}
		more := append(bytes.Clone(body[:2]), unknown...)
		for at := 2; at < len(body); {
			num, typ, n := protowire.ConsumeField(body[at:])
			if num == fieldItems || num == fieldGone {
				v, _ := protowire.ConsumeBytes(body[at+protowire.SizeTag(num):])
				more = protowire.AppendTag(more, num, typ)
				more = protowire.AppendBytes(more, append(bytes.Clone(unknown), v...))
			} else {
				more = append(more, body[at:at+n]...)
			}
			at += n
		}
		more = append(more, unknown...)
		back := reflect.New(reflect.TypeOf(f.message).Elem()).Interface().(Message)
		if err := Decode(more, back); err != nil || !reflect.DeepEqual(back, f.message) {
			t.Errorf("%s: read %+v, %v, want %+v", f.name, back, err, f.message)
		}
	}
}

func TestDecodeBinaryRefuses(t *testing.T) {
	t.Parallel()
	head := []byte{formBinary, formNotices}
	item := func(b []byte) []byte { return appendBytes(bytes.Clone(head), fieldItems, b) }
	for name, body := range map[string][]byte{
		"one byte":               {formBinary},
		"another message":        {formBinary, formPage},
		"an unknown form":        {2, formNotices},
		"an unknown message":     {formBinary, 99},
		"a wrong type":           protowire.AppendVarint(protowire.AppendTag(bytes.Clone(head), fieldRuntimeID, protowire.VarintType), 1),
		"field 0":                append(bytes.Clone(head), 0, 0),
		"a name that is not":     item(appendNumber(nil, rowMachine, 1)),
		"a context that is none": item(appendBytes(nil, rowContext, []byte(`{"a":`))),
		"text that is none":      item(appendBytes(nil, rowID, []byte("\xff"))),
		"two events":             item(appendBytes(appendBytes(nil, noticeEvent, nil), noticeEvent, nil)),
		"an item beyond its end": overlapping(),
		"too many items":         append(bytes.Clone(head), bytes.Repeat([]byte{byte(fieldItems)<<3 | 2, 0}, maxItems+1)...),
		"too many in JSON":       []byte(`{"notices":[` + strings.Repeat("{},", maxItems) + `{}]}`),
	} {
		err := Decode(body, &Notices{})
		if _, ok := err.(*DecodeError); !ok {
			t.Errorf("%s: got %v, want a *DecodeError", name, err)
		}
	}
	if err := Decode([]byte(`{"notices":[`+strings.Repeat("{},", maxItems-1)+`{}]}`), &Notices{}); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	if err := Decode(append([]byte{formBinary, formNotices}, bytes.Repeat([]byte{byte(fieldItems)<<3 | 2, 0}, maxItems)...), &Notices{}); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
}

// overlapping is a message whose item has a number that ends in the field after
// it. That field can be read from its second byte on, too.
func overlapping() []byte {
	b := []byte{formBinary, formNotices}
	b = appendBytes(b, fieldItems, []byte{byte(rowVersion) << 3, 0x80})
	const unknown = 13 << 3 // the tag of a number; and the length of the text
	text := append([]byte{0, unknown, 0x80, 0}, bytes.Repeat([]byte{unknown, 0}, 50)...)
	return appendBytes(b, fieldRuntimeID, text)
}

// TestShortMessagesStaySmall: what 100 bytes become is no more than some
// kilobytes, and what is refused for its number of items costs nothing.
// It is not parallel: it counts what all goroutines allocate.
func TestShortMessagesStaySmall(t *testing.T) {
	costs := func(body []byte, m Message) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = Decode(body, m)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	full := func(kind byte, field protowire.Number, size int) []byte {
		b := []byte{formBinary, kind}
		for len(b) < size {
			b = appendBytes(b, field, nil)
		}
		return b
	}
	for name, c := range map[string]struct {
		body []byte
		m    Message
		most uint64
	}{
		"notices":      {full(formNotices, fieldItems, 100), &Notices{}, 64 << 10},
		"rows":         {full(formPage, fieldItems, 100), &PageReply{}, 64 << 10},
		"ends":         {full(formRepair, fieldGone, 100), &RepairReply{}, 64 << 10},
		"names":        {full(formNotices, fieldNames, 100), &Notices{}, 64 << 10},
		"a long text":  {append([]byte{formBinary, formNotices}, 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), &Notices{}, 64 << 10},
		"8 MB of them": {full(formNotices, fieldItems, MaxBody-10), &Notices{}, 64 << 10},
	} {
		if n := costs(c.body, c.m); n > c.most {
			t.Errorf("%s: %d bytes became %d bytes of memory, want at most %d", name, len(c.body), n, c.most)
		}
	}
}

// TestDirectoryKeepsNoMessages: a row that stays does not keep the large message
// in memory that it came in. It is not parallel: it looks at the whole heap.
func TestDirectoryKeepsNoMessages(t *testing.T) {
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(0)
	s.read(0)
	const n = 200
	large := json.RawMessage(`{"x":"` + strings.Repeat("x", 100_000) + `"}`)
	before := liveHeap()
	for i := range n {
		body, err := Encode(&Notices{RuntimeID: "r1", Notices: []Notice{
			{
				Kind: KindCreated, Instance: fmt.Sprint("i", i), Machine: fmt.Sprint("M", i%3), State: fmt.Sprint("S", i%5), Key: fmt.Sprint("k", i),
				Parent: "p", Context: json.RawMessage(`{"a":1}`), PublicMember: json.RawMessage(`{"b":1}`), Seq: uint64(i + 1), Timestamp: 1795442574738,
			},
			{Kind: KindIgnored, Instance: "i", Context: large},
		}})
		if err != nil {
			t.Fatal(err)
		}
		var ns Notices
		if err := Decode(body, &ns); err != nil {
			t.Fatal(err)
		}
		s.d.Apply(&ns, s.now)
	}
	if c := s.d.Count(Filter{}); c.Active != n {
		t.Fatalf("got %+v, want %d", c, n)
	}
	if grown := int64(liveHeap()) - int64(before); grown > n*100_000/10 {
		t.Errorf("%d rows from messages of %d bytes keep %d bytes", n, len(large), grown)
	}
	runtime.KeepAlive(s)
}

// TestUnchangedTextIsKept: a context that is told again is not held anew.
func TestUnchangedTextIsKept(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(0)
	s.read(0)
	tell := func(seq uint64, context string) json.RawMessage {
		s.d.Apply(&Notices{RuntimeID: "r1", Notices: []Notice{
			{Kind: KindStateChange, Instance: "i", Machine: "M", State: "S", Seq: seq, Context: json.RawMessage(context), Timestamp: time.Now().UnixMilli()},
		}}, s.now)
		return s.d.Find("i")[0].Context
	}
	a, b, c := tell(1, `{"a":1}`), tell(2, `{"a":1}`), tell(3, `{"a":2}`)
	if &a[0] != &b[0] {
		t.Error("the same context was copied again")
	}
	if string(a) != `{"a":1}` || string(c) != `{"a":2}` {
		t.Errorf("got %s and %s", a, c)
	}
}

// TestDocumentedFields compares the tables of docs/wire-internal.md with the
// numbers in wire.go.
func TestDocumentedFields(t *testing.T) {
	t.Parallel()
	code := map[string]string{}
	f, err := parser.ParseFile(token.NewFileSet(), "wire.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	group := regexp.MustCompile(`^(field|row|notice|event|gone|form)([A-Z].*)$`)
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			name := group.FindStringSubmatch(v.Names[0].Name)
			if lit, ok := v.Values[0].(*ast.BasicLit); ok && name != nil {
				code[name[1]+" "+strings.ToLower(name[2])] = lit.Value
			}
		}
		return true
	})
	text, err := os.ReadFile("../docs/wire-internal.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]string{}
	in := ""
	heading, line := regexp.MustCompile(`^### .*\x60(\w+)\x60$`), regexp.MustCompile(`^\| (\d+) \| \x60(\w+)\x60 \|`)
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSpace(l)
		if m := heading.FindStringSubmatch(l); m != nil {
			in = m[1]
		} else if m := line.FindStringSubmatch(l); m != nil {
			doc[in+" "+strings.ToLower(m[2])] = m[1]
		}
	}
	if !maps.Equal(code, doc) {
		t.Errorf("the tables and wire.go differ:\nwire.go %v\ntables  %v", code, doc)
	}
}
