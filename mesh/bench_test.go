package mesh

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// fill reads n instances with three context fields into a new directory.
func fill(n int) *script {
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(uint64(n))
	s.wait(0)
	const page = 1500
	for i := 0; i < n; i += page {
		var rows []Row
		for j := i; j < min(n, i+page); j++ {
			var r Row
			b := fmt.Appendf(nil, `{"id":"0192f7c0-0000-7000-8000-%012d","machineName":"Order","currentState":"S%d","status":"active","context":{"orderId":"ORD-%d","amount":%d.5,"customer":"customer-%d"},"version":3,"seq":%d,"createdAt":1795442574738,"updatedAt":1795442574738}`, j, j%7, j, j%1000, j%5000, j+1)
			if err := json.Unmarshal(b, &r); err != nil {
				panic(err)
			}
			rows = append(rows, r)
		}
		next := ""
		if i+page < n {
			next = fmt.Sprint("0.", i+page)
		}
		cursor := ""
		if i > 0 {
			cursor = fmt.Sprint("0.", i)
		}
		s.page(cursor, next, uint64(n), uint64(n), rows...)
	}
	return s
}

// liveHeap is the live heap in bytes.
func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemory prints what an instance costs among a million, with three
// context fields.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	before := liveHeap()
	start := time.Now()
	s := fill(n)
	took := time.Since(start)
	per := float64(liveHeap()-before) / n
	if c := s.d.Count(Filter{}); c.Active != n {
		b.Fatalf("got %+v", c)
	}
	for b.Loop() {
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(per, "B/instance")
	b.ReportMetric(float64(s.d.bytes)/n, "estimated-B/instance")
	b.ReportMetric(n/took.Seconds(), "rows-read/s")
	runtime.KeepAlive(s)
}

// BenchmarkApply is one notice of an instance among 100,000.
func BenchmarkApply(b *testing.B) {
	const n = 100_000
	s := fill(n)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("0192f7c0-0000-7000-8000-%012d", i)
	}
	states := [...]string{"S0", "S1", "S2", "S3"}
	context := json.RawMessage(`{"orderId":"ORD-1","amount":7.5,"customer":"customer-1"}`)
	seq := uint64(n)
	ns := &Notices{RuntimeID: "r1", Notices: make([]Notice, 1)}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		seq++
		i++
		ns.Notices[0] = Notice{Kind: KindStateChange, Instance: ids[i*7919%n], Machine: "Order", State: states[i&3], Context: context, Version: 4, Seq: seq, Timestamp: 1795442574738}
		s.tell(ns)
		if i%1_000_000 == 0 {
			s.announce(seq)
		}
	}
	if s.d.Floor("r1") != int64(seq) {
		b.Fatalf("the floor is at %d, want %d", s.d.Floor("r1"), seq)
	}
}

// BenchmarkDecodeApply is the same from JSON, 100 notices in a message.
func BenchmarkDecodeApply(b *testing.B) {
	const n = 100_000
	s := fill(n)
	seq := uint64(n)
	bodies := make([][]byte, 200)
	for i := range bodies {
		ns := Notices{RuntimeID: "r1"}
		for range 100 {
			seq++
			ns.Notices = append(ns.Notices, Notice{
				Kind: KindStateChange, Instance: fmt.Sprintf("0192f7c0-0000-7000-8000-%012d", seq*7919%n), Machine: "Order", State: "S1", Previous: "S0",
				Event: &Event{Type: "PLACE"}, Context: json.RawMessage(`{"orderId":"ORD-1","amount":7.5,"customer":"customer-1"}`),
				Version: 4, Seq: seq, Timestamp: 1795442574738,
			})
		}
		bodies[i], _ = json.Marshal(&ns)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		var ns Notices
		if err := Decode(bodies[i%len(bodies)], &ns); err != nil {
			b.Fatal(err)
		}
		s.tell(&ns)
		i++
	}
	b.ReportMetric(float64(i)*100/b.Elapsed().Seconds(), "notices/s")
}

// BenchmarkList is a page of 100 out of 100,000 instances.
func BenchmarkList(b *testing.B) {
	s := fill(100_000)
	for name, f := range map[string]Filter{
		"all": {}, "state": {Machine: "Order", State: "S3"}, "prefix": {Prefix: "0192f7c0-0000-7000-8000-0000000999"},
		"property": {Properties: []Property{{"customer", json.RawMessage(`"customer-77"`)}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if p, err := s.d.List(f, true, "", 100); err != nil || len(p.Instances) == 0 {
					b.Fatal(len(p.Instances), err)
				}
			}
		})
	}
}

// BenchmarkTick is what passes every 50 ms when there is nothing to do, with
// 1,000 runtimes.
func BenchmarkTick(b *testing.B) {
	s := newScript(rules{}, DirectoryConfig{})
	for i := range 1000 {
		s.id.RuntimeID, s.id.Name = fmt.Sprint("r", i), fmt.Sprint("A", i)
		s.announce(0)
		s.read(0)
	}
	for b.Loop() {
		s.wait(0)
	}
}
