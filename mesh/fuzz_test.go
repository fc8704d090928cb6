package mesh

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// messages has a fresh message of each type that comes from outside.
func messages() []Message {
	return []Message{
		&Announce{}, &Heartbeat{}, &Goodbye{}, &Beacon{}, &Discover{}, &Notices{}, &RepairRequest{}, &RepairReply{},
		&PageRequest{}, &PageReply{},
	}
}

// FuzzDecode decodes any bytes as each message. What can be read has to come
// back the same after it was written, and no directory may be harmed by it.
func FuzzDecode(f *testing.F) {
	for i, s := range []string{
		`{"runtimeId":"r","componentName":"C","name":"A","epoch":3,"log":"l","process":"p","component":{"name":"C"},"host":"h","port":1,"protocol":1,"seq":0,"timestamp":1795442573523}`,
		`{"runtimeId":"r","componentName":"C","timestamp":1}`,
		`{"runtimeId":"r","componentName":"C","seq":7,"timestamp":-5}`,
		`{"runtimes":[{"runtimeId":"r","componentName":"C","name":"A","epoch":3,"seq":9007199254740991}],"timestamp":1}`,
		`{"type":"discover","timestamp":1,"more":[{}]}`,
		`{"runtimeId":"r","notices":[{"eventType":"state_change","instanceId":"i","machineName":"M","currentState":"S","event":{"type":"E","payload":{"a":1e400}},"context":{"x":9007199254740993},"seq":5,"version":2,"timestamp":1}]}`,
		`{"runtimeId":"r","missing":[[1,5],[7,7]]}`,
		`{"runtimeId":"r","componentName":"C","covered":[[1,5]],"rows":[{"id":"i","machineName":"M","currentState":"S","seq":5}],"gone":[{"id":"j","seq":9}],"seq":9}`,
		`{"runtimeId":"r","cursor":"1.5"}`,
		`{"runtimeId":"r","componentName":"C","cursor":"","next":"0.1","rows":[{"id":"a\nb","machineName":"M","currentState":"S","status":"none"}],"asOf":3,"seq":4}`,
		`null`, `[]`, `{"seq":-1}`, `{"seq":1e3}`, `{"seq":18446744073709551615}`, `{} {}`, ``,
	} {
		f.Add(uint8(i), []byte(s))
	}
	for _, m := range frames() {
		b, err := Encode(m.message)
		if err != nil {
			f.Fatal(err)
		}
		for i, o := range messages() {
			if reflect.TypeOf(o) == reflect.TypeOf(m.message) {
				f.Add(uint8(i), b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		all := messages()
		m := all[int(which)%len(all)]
		if Decode(body, m) != nil {
			return
		}
		for _, write := range []func(Message) ([]byte, error){Encode, func(m Message) ([]byte, error) { return json.Marshal(m) }} {
			out, err := write(m)
			if err != nil {
				t.Fatalf("write %+v: %v", m, err)
			}
			back := messages()[int(which)%len(all)]
			if err := Decode(out, back); err != nil {
				t.Fatalf("read %q: %v", out, err)
			}
			again, err := write(back)
			if err != nil || string(again) != string(out) {
				t.Fatalf("got %q, %v, want %q", again, err, out)
			}
		}
		d := NewDirectory(DirectoryConfig{})
		id := Identity{RuntimeID: "r", Component: "C", Name: "A", Epoch: 3, Log: "l"}
		d.Apply(&Announce{Identity: id}, simStart)
		d.Tick(simStart)
		for i := range 3 {
			d.Apply(m, simStart.Add(time.Duration(i)*time.Second))
			for _, a := range d.Tick(simStart.Add(time.Duration(i) * time.Second)) {
				if _, err := json.Marshal(a.Message); err != nil {
					t.Fatal(err)
				}
			}
		}
		if bad := unsound(d); bad != "" {
			t.Fatal(bad)
		}
		for _, a := range []string{"", "1.5", string(body)} {
			if p, err := AnswerPage(emptySource{}, id, &PageRequest{Cursor: a}, 0); err != nil || p.Cursor != a {
				t.Fatalf("page %q: %+v, %v", a, p, err)
			}
		}
		if q, ok := m.(*RepairRequest); ok {
			if p, err := AnswerRepair(emptySource{}, id, q, 0); err == nil && !p.Covered.Valid() {
				t.Fatalf("covered %v", p.Covered)
			}
		}
	})
}

type emptySource struct{}

func (emptySource) Seq() uint64                           { return 0 }
func (emptySource) Changed(Ranges, int) ([]Changed, bool) { return nil, false }
func (emptySource) Look(ids []string) []Found             { return make([]Found, len(ids)) }
func (emptySource) Shards() int                           { return 1 }
func (emptySource) Piece(_, _, _ int) Piece               { return Piece{Next: -1} }

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	big := make([]byte, MaxBody+1)
	for _, body := range []string{"", "null", "[]", `"x"`, "5", "{", "{} x", `{"runtimeId":5}`, `{"timestamp":"now"}`, string(big)} {
		err := Decode([]byte(body), &Heartbeat{})
		if _, ok := err.(*DecodeError); !ok {
			t.Errorf("%.20q: got %v, want a *DecodeError", body, err)
		}
	}
	var h Heartbeat
	if err := Decode([]byte(` {"runtimeId":"r","colour":"red","seq":3,"timestamp":1}`), &h); err != nil || *h.Seq != 3 {
		t.Errorf("got %+v, %v", h, err)
	}
	want := Heartbeat{Identity: Identity{RuntimeID: "r"}, Seq: h.Seq, Timestamp: 1}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got %+v, want %+v", h, want)
	}
}

// FuzzField compares the scanner with encoding/json.
func FuzzField(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":{"a":[{}]}}`, ` { "a" : "x\"}," , "\u0061" : null } `, `{"":"","a":[1,"]",{"b":2}]}`, `[]`, `{}`} {
		f.Add([]byte(s), "a")
	}
	f.Fuzz(func(t *testing.T, doc []byte, name string) {
		got := field(doc, name)
		var all map[string]json.RawMessage
		if json.Unmarshal(doc, &all) != nil {
			return
		}
		want, ok := all[name]
		if (got != nil) != ok || string(got) != string(want) {
			t.Fatalf("%q in %s: got %s, want %s", name, doc, got, want)
		}
	})
}

// FuzzValidJSON compares the check of JSON with that of encoding/json.
func FuzzValidJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-0.5e+3,"x\u00e9\n",null,true,false,{}]}`, ` [ ] `, `{"a":1,}`, `[1,]`, `01`, `-`, `1.`, `1e`, `"\x"`, "\"\n\"", `nul`, `{"a" 1}`,
		`[[[[`, ``, `{} {}`, `"\u12"`, `{1:2}`, `--1`, "\xff", "\"\xff\"", `1E-2`, `.5`, `[,1]`, `tru`, `"`, `{"a":}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := validJSON(b), json.Valid(b); got != want {
			t.Fatalf("%q: got %v, want %v", b, got, want)
		}
	})
}

// TestValidJSONNesting: what is nested as deep as encoding/json allows is
// valid, and no deeper.
func TestValidJSONNesting(t *testing.T) {
	t.Parallel()
	for _, n := range []int{9999, 10_000, 10_001, 1_000_000} {
		b := []byte(strings.Repeat("[", n) + strings.Repeat("]", n))
		if got, want := validJSON(b), json.Valid(b); got != want {
			t.Errorf("%d levels: got %v, want %v", n, got, want)
		}
	}
}
