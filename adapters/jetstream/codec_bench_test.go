package jetstream

import (
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// benchRecord is a transition with a payload and data of three fields.
func benchRecord(b *testing.B) *fsm.Record {
	d, err := fsm.NewData(map[string]any{"customer": "customer-0000042", "amount": 7, "paid": true})
	if err != nil {
		b.Fatal(err)
	}
	return &fsm.Record{
		Kind: fsm.KindTransition, Instance: "0192e4a1-7b3c-7000-8000-1234567890ab", Version: 17, Component: "Bench", Machine: "Order",
		Event: fsm.RecordEvent{Type: "NEXT", Payload: d, Time: 1700000000000}, Before: "A", After: "B", Time: 1700000000001, Data: d,
	}
}

func BenchmarkEncodeRecord(b *testing.B) {
	r := benchRecord(b)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendRecord(buf[:0], r, links{previous: 123456})
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkDecodeRecord(b *testing.B) {
	buf := appendRecord(nil, benchRecord(b), links{previous: 123456})
	d := newDecoder()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.record(buf); err != nil {
			b.Fatal(err)
		}
	}
}
