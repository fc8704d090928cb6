package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// forged are bodies that no runtime sends, about a runtime that there is.
func forged(id Identity, seq uint64) map[string][]byte {
	js := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return b
	}
	with := func(change func(*Notice)) []byte {
		n := Notice{Kind: KindStateChange, Instance: "forged", Machine: "Order", State: "Draft", Seq: seq + 1<<40}
		change(&n)
		return js(&Notices{RuntimeID: id.RuntimeID, Notices: []Notice{n}})
	}
	var rows []Row
	for i := range scaled(100_000) {
		rows = append(rows, Row{ID: fmt.Sprint("forged-", i), Machine: "Order", State: "Draft", Seq: seq + 1<<40})
	}
	giant := js(&PageReply{Identity: id, Rows: rows, AsOf: seq, Seq: seq})
	if len(giant) > 900_000 {
		giant = giant[:900_000] // the bus takes no more, and it is cut off
	}
	old := uint64(0)
	return map[string][]byte{
		"empty": nil, "text": []byte("x"), "array": []byte("[]"), "null": []byte("null"), "object": []byte("{}"),
		"trailing garbage": []byte(`{"runtimeId":"` + id.RuntimeID + `"}}`),
		"wrong types":      []byte(`{"runtimeId":5,"notices":"x","seq":"y","missing":7}`),
		"NaN":              []byte(`{"runtimeId":"` + id.RuntimeID + `","seq":NaN}`),
		"deep":             []byte(`{"runtimeId":"` + id.RuntimeID + `","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`),
		"giant":            giant,
		"giant text":       js(map[string]string{"runtimeId": strings.Repeat("x", 900_000)}),
		"unknown runtime":  js(&Notices{RuntimeID: "nobody", Notices: []Notice{{Kind: KindCreated, Instance: "a", Machine: "Order", State: "Draft", Seq: 1}}}),
		"far ahead":        with(func(*Notice) {}),
		"over 2^53":        with(func(n *Notice) { n.Seq = 1 << 60 }),
		"no id":            with(func(n *Notice) { n.Instance, n.Seq = "", old }),
		"newline in id":    with(func(n *Notice) { n.Instance, n.Seq = "a\nb", old }),
		"unknown kind":     with(func(n *Notice) { n.Kind = "nonsense" }),
		"seconds":          with(func(n *Notice) { n.Timestamp, n.Kind, n.Seq = 1_700_000_000, KindIgnored, 0 }),
		"negative time":    with(func(n *Notice) { n.Timestamp, n.Kind, n.Seq = -1, KindIgnored, 0 }),
		"far future":       with(func(n *Notice) { n.Timestamp, n.Kind, n.Seq = 1<<62, KindIgnored, 0 }),
		"seq going back":   js(&Heartbeat{Identity: id, Seq: &old, Timestamp: -5}),
		"other component":  js(&Heartbeat{Identity: Identity{RuntimeID: id.RuntimeID, Component: "Other", Name: "other", Epoch: 1}, Seq: &old}),
		"other epoch":      js(&Beacon{Runtimes: []BeaconEntry{{Identity{RuntimeID: id.RuntimeID, Component: id.Component, Name: id.Name, Epoch: id.Epoch - 1}, seq}}}),
		"reply after time": js(&RepairReply{Identity: id, Covered: Ranges{{1, 2}}, Seq: seq}),
		"late page":        js(&PageReply{Identity: id, Cursor: "7.7", AsOf: 1, Seq: 1}),
	}
}

// Hostile peers flood the bus with all that no runtime sends. It is counted and
// dropped: the directories stay exact, a stranger's commands are answered in
// time, and memory is bounded. Not parallel: it measures.
func TestHostileFlood(t *testing.T) {
	n := startNode(t, Config{Logger: quiet()})
	b := connect(t, n, BusOptions{})
	rt := startRuntime(t, "one", nil)
	a := attach(t, rt, b)
	id := a.parts["Shop"].id
	v, other := watch(t, b), watch(t, connect(t, n, BusOptions{}))
	load(t, rt, 50)
	exactly(t, v, rt, id.RuntimeID)
	s := b.subjects
	bodies := forged(id, rt.Seq("Shop"))
	targets := []string{
		s.announce(), s.heartbeat(), s.beacon(), s.notices("Shop"), s.notices("Nobody"), s.discover(), s.on("locate"), s.on("nonsense"),
		s.component("Shop", "all"), s.component("Shop", "one"), v.inbox + ".page", v.inbox + ".repair", v.inbox + ".announce", v.inbox + ".other",
		s.runtime(id.RuntimeID, "repair"), s.runtime(id.RuntimeID, "page"), s.runtime(id.RuntimeID, "query"), s.runtime(id.RuntimeID, "command"), s.runtime(id.RuntimeID, "neighbours"),
	}
	before := inUse()
	run, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	sent := make([]int, 4)
	var answered atomic.Int64 // sends of the stranger
	for w := range sent {
		nc, err := n.connect()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 5))
			var names []string
			for name := range bodies {
				names = append(names, name)
			}
			slices.Sort(names)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for ; run.Err() == nil; sent[w]++ {
				name := names[rng.IntN(len(names))]
				if len(bodies[name]) > 10_000 && rng.IntN(50) > 0 {
					continue
				}
				_ = nc.PublishRequest(targets[rng.IntN(len(targets))], "sink", bodies[name])
				if sent[w]%(30/slowdown) == 0 {
					<-tick.C // 3,000 a second each, without the race detector
					// No more than the machine can take: what would be measured else is
					// how far behind it is, and not what a flood does to a send.
					for n := answered.Load(); n == answered.Load() && run.Err() == nil; {
						<-tick.C
					}
				}
			}
		})
	}
	c := NewClient(connect(t, n, BusOptions{}), ClientOptions{Timeout: time.Minute})
	in, err := rt.Create(t.Context(), "Order", nil)
	if err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		begin := time.Now()
		_, err := c.Send(t.Context(), Target{ID: in.ID()}, fsm.Event{Type: []string{"PLACE", "PAY", "RETURN"}[len(took)%3]}, SendOptions{})
		if err != nil {
			t.Fatalf("a stranger's send: %v", err)
		}
		answered.Add(1)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	stop()
	wg.Wait()
	median := took[len(took)/2]
	t.Logf("%v hostile messages; %d sends meanwhile, median %v, p99 %v, longest %v", sent, len(took), median, took[len(took)*99/100], took[len(took)-1])
	if median > 250*time.Millisecond*slowdown {
		t.Errorf("a stranger's sends take %v", median)
	}
	load(t, rt, 20)
	for _, v := range []*View{v, other} {
		exactly(t, v, rt, id.RuntimeID)
		v.Read(func(d *Directory) {
			if bad := unsound(d); bad != "" {
				t.Error(bad)
			}
			k := d.Counters()
			if k.Ahead == 0 || k.Unknown == 0 || k.Invalid == 0 || k.Misfit == 0 {
				t.Errorf("not all was counted: %+v", k)
			}
		})
		if v.Invalid() == 0 {
			t.Error("nothing was counted as unreadable")
		}
	}
	if grown := inUse() - before; grown > 100<<20 {
		t.Errorf("%d MB more in use than before", grown>>20)
	}
}

// A runtime whose definition is broken is listed all the same, as it was
// announced; one that claims to be another changes nothing of that.
func TestBrokenDefinition(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, b).RuntimeIDs()["Shop"]
	v := watch(t, b)
	load(t, rt, 20)
	exactly(t, v, rt, id)
	for _, body := range []string{
		`{"runtimeId":"broken","componentName":"Broken","name":"broken","epoch":1,"component":{"stateMachines":5},"protocol":1,"timestamp":1}`,
		`{"runtimeId":"` + id + `","componentName":"Broken","name":"broken","epoch":1,"component":{"stateMachines":5},"timestamp":1}`,
	} {
		if err := b.nc.Publish(b.subjects.announce(), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool {
		var broken, own RuntimeInfo
		var misfit uint64
		v.Read(func(d *Directory) {
			broken, _ = d.Runtime("broken", time.Now())
			own, _ = d.Runtime(id, time.Now())
			misfit = d.Counters().Misfit
		})
		return broken.Status == Live && string(broken.Definition) == `{"stateMachines":5}` && own.Component == "Shop" && own.Name == "one" && misfit > 0
	})
	exactly(t, v, rt, id)
}

// Commands of each malformed kind are answered with a typed error at once, and
// do nothing; what is only unusual is done.
func TestMalformedCommands(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{MaxPayload: 4 << 20, Logger: quiet()})
	b := connect(t, n, BusOptions{})
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, b).RuntimeIDs()["Shop"]
	in, err := rt.Create(t.Context(), "Order", nil, fsm.WithID("o-1"))
	if err != nil {
		t.Fatal(err)
	}
	ended, err := rt.Create(t.Context(), "Order", nil, fsm.WithID("o-2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []string{"PLACE", "PAY", "SHIP"} {
		if _, err := rt.Send(t.Context(), ended.ID(), fsm.Event{Type: e}); err != nil {
			t.Fatal(err)
		}
	}
	own, all, one, locate := b.subjects.runtime(id, "command"), b.subjects.component("Shop", "all"), b.subjects.component("Shop", "one"), b.subjects.on("locate")
	send := func(rest string) string { return `{"do":"trigger_event","instanceId":"o-1"` + rest + `}` }
	for _, c := range []struct {
		name, subject, body string
		want                fsm.Code
	}{
		{"no body", own, "", fsm.CodeBadValue},
		{"not JSON", own, "x", fsm.CodeBadValue},
		{"trailing garbage", own, send(`,"event":{"type":"PLACE"}`) + "x", fsm.CodeBadValue},
		{"array", own, "[]", fsm.CodeBadValue},
		{"nothing in it", own, "{}", fsm.CodeBadValue},
		{"wrong type", own, `{"do":5}`, fsm.CodeBadValue},
		{"no event", own, send(""), fsm.CodeBadValue},
		{"no type", own, send(`,"event":{}`), fsm.CodeBadValue},
		{"payload no object", own, send(`,"event":{"type":"PLACE","payload":[1]}`), fsm.CodeBadValue},
		{"NaN", own, send(`,"event":{"type":"PLACE","payload":{"x":NaN}}`), fsm.CodeBadValue},
		{"2 MB", own, send(`,"event":{"type":"PLACE","payload":{"x":"` + strings.Repeat("x", 2<<20) + `"}}`), fsm.CodeContextTooLarge},
		{"depth 10,000", own, send(`,"event":{"type":"PLACE","payload":{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}}`), fsm.CodeBadValue},
		{"unknown command", own, `{"do":"explode","instanceId":"nobody's"}`, fsm.CodeBadValue},
		{"unknown component", own, `{"do":"create_instance","componentName":"Nothing","machineName":"Order"}`, fsm.CodeUnknownComponent},
		{"unknown machine", own, `{"do":"create_instance","machineName":"Nothing"}`, fsm.CodeUnknownMachine},
		{"unknown state", own, `{"do":"create_instance","machineName":"Order","state":"draft"}`, fsm.CodeUnknownState},
		{"final state", own, `{"do":"create_instance","machineName":"Order","state":"Shipped"}`, fsm.CodeStateFinal},
		{"long key", own, `{"do":"create_instance","machineName":"Order","key":"` + strings.Repeat("x", 600) + `"}`, fsm.CodeBadValue},
		{"newline in id", own, `{"do":"create_instance","machineName":"Order","instanceId":"a\nb"}`, fsm.CodeBadValue},
		{"id in use", own, `{"do":"create_instance","machineName":"Order","instanceId":"o-1"}`, fsm.CodeIDExists},
		{"unknown instance", own, `{"do":"trigger_event","instanceId":"nobody's","event":{"type":"PLACE"}}`, fsm.CodeUnknownInstance},
		{"instance of another component", own, `{"do":"get","componentName":"Nothing","instanceId":"o-1"}`, fsm.CodeUnknownInstance},
		{"no instance", own, `{"do":"get"}`, fsm.CodeUnknownInstance},
		{"unknown event", own, send(`,"event":{"type":"EXPLODE"}`), fsm.CodeEventIgnored},
		{"ended instance", own, `{"do":"trigger_event","instanceId":"o-2","event":{"type":"PLACE"}}`, fsm.CodeInstanceEnded},
		{"no effect", own, `{"do":"effect"}`, fsm.CodeBadValue},
		{"empty effect", own, `{"do":"effect","effect":{}}`, fsm.CodeBadValue},
		{"no dead letter", own, `{"do":"resend"}`, fsm.CodeBadValue},
		{"unknown dead letter", own, `{"do":"resend","record":"o-1/1"}`, ""},
		{"creation by all", all, `{"do":"create_instance","machineName":"Order"}`, fsm.CodeBadValue},
		{"creation by whoever has it", locate, `{"do":"create_instance","machineName":"Order"}`, fsm.CodeBadValue},
		{"event for anyone", one, send(`,"event":{"type":"PLACE"}`), fsm.CodeBadValue},
	} {
		version := in.Version()
		m, err := b.nc.Request(c.subject, []byte(c.body), 5*time.Second)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var o Outcome
		if err := json.Unmarshal(m.Data, &o); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if o.OK || o.Code == "" || c.want != "" && o.Code != c.want || o.Message == "" || o.RuntimeID != id {
			t.Errorf("%s: %.300s; want %s", c.name, m.Data, c.want)
		}
		if now, err := rt.Get("o-1"); err != nil || now.Version() != version {
			t.Errorf("%s: it did something", c.name)
		}
	}
	if n := count(rt, fsm.Filter{}); n != 1 {
		t.Errorf("%d instances, want 1: something was created", n)
	}
	// Unusual, and done: integers over 2^53 stay as they are.
	m, err := b.nc.Request(own, []byte(send(`,"event":{"type":"PLACE","payload":{"n":9007199254740993,"n":9007199254740995}}`)), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var o Outcome
	if err := json.Unmarshal(m.Data, &o); err != nil {
		t.Fatal(err)
	}
	now, err := rt.Get("o-1")
	if err != nil {
		t.Fatal(err)
	}
	if o.OK && !bytes.Contains(rawData(now.Context()), []byte("9007199254740995")) || !o.OK && o.Code != fsm.CodeBadValue {
		t.Errorf("a key that comes twice, and a large integer: %s, %s", m.Data, rawData(now.Context()))
	}
	// What a bus cannot carry is an error of its own, and not a time-out.
	small := NewClient(memoryBus(t), ClientOptions{})
	if _, err := small.request(t.Context(), "nowhere", &Command{Do: doSend, Key: strings.Repeat("x", 2<<20)}); !errors.Is(err, fsm.ErrContextTooLarge) {
		t.Errorf("a command of 2 MB: %v", err)
	}
}

// An answer that is too large for the bus is told as such.
func TestAnswerTooLargeForTheBus(t *testing.T) {
	t.Parallel()
	b := connect(t, startNode(t, Config{MaxPayload: 64 << 10, Logger: quiet()}), BusOptions{})
	rt := startRuntime(t, "one", nil)
	attach(t, rt, b)
	in, err := rt.Create(t.Context(), "Order", map[string]any{"text": strings.Repeat("x", 100_000)})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = NewClient(b, ClientOptions{Timeout: 2 * time.Minute}).Get(t.Context(), Target{ID: in.ID()})
	if !errors.Is(err, fsm.ErrContextTooLarge) || time.Since(begin) > time.Minute {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
}
