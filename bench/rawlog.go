package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	store "github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/natsserver"
	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protowire"
)

// A rawLog is the store's layout done by hand and nothing else: one goroutine
// takes the records of all that wait, packs them into a frame, publishes it to a
// stream like the store's, behind the same fence, and answers.
type rawLog struct {
	js       jetstream.JetStream
	subject  string
	requests chan rawRequest
	end      func()
}

// A rawRequest is one caller's: a record's bytes, or none where the frame's body
// is made beforehand.
type rawRequest struct {
	record []byte
	answer chan struct{}
}

// What a frame holds at most, as with the runtime.
const (
	frameRecords = 1000
	frameBytes   = 1 << 20
)

// newRawServer is a server like the store's with a stream like its log.
func newRawServer(dir string) (jetstream.JetStream, func()) {
	o := natsserver.Base(dir)
	o.MaxPayload = natsserver.StorePayload
	s := must(natsserver.Run(ctx, o, quiet()))
	nc := must(nats.Connect("", nats.InProcessServer(s)))
	js := must(jetstream.New(nc))
	must(js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "RAW", Subjects: []string{"raw.*"}, Storage: jetstream.FileStorage, Duplicates: 100 * time.Millisecond, AllowDirect: true,
	}))
	return js, func() {
		nc.Close()
		natsserver.End(s)
	}
}

// newRawLog starts the goroutine that writes to a subject of the stream. Of
// packed, if it is not nil, each frame takes as many bytes as its records would.
func newRawLog(js jetstream.JetStream, subject string, packed []byte) *rawLog {
	r := &rawLog{js: js, subject: subject, requests: make(chan rawRequest, 1<<13)}
	var done sync.WaitGroup
	done.Go(func() { r.commit(packed) })
	r.end = func() {
		close(r.requests)
		done.Wait()
	}
	return r
}

// commit groups as the runtime does: all that waits, up to the bounds of a frame.
func (r *rawLog) commit(packed []byte) {
	var plain, body []byte
	var answers []chan struct{}
	last, number := uint64(0), 0
	for q := range r.requests {
		plain, answers = plain[:0], answers[:0]
		for more := true; more; {
			plain = protowire.AppendBytes(protowire.AppendTag(plain, 1, protowire.BytesType), q.record)
			answers = append(answers, q.answer)
			if more = len(answers) < frameRecords && len(plain) < frameBytes && len(r.requests) > 0; more {
				q = <-r.requests
			}
		}
		number++
		if packed != nil {
			body = packed[:len(packed)/frameRecords*len(answers)]
		} else {
			body = s2.Encode(body[:cap(body)], plain)
		}
		last = r.publish(body, last, number)
		for _, a := range answers {
			a <- struct{}{}
		}
	}
}

// publish stores a frame that follows on the last one and returns its position.
func (r *rawLog) publish(body []byte, last uint64, number int) uint64 {
	m := &nats.Msg{Subject: r.subject, Data: body, Header: nats.Header{}}
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(last))
	m.Header.Set("Frame", fmt.Sprintf("1 %d", number)) // epoch and number
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return must(r.js.PublishMsg(ctx, m)).Sequence
}

// side is that many callers, each of which hands over records, beginning with
// another one, and waits for each until it is on the disk.
func (r *rawLog) side(name string, callers int, records [][]byte) side {
	return side{name, func(n int) {
		var caller atomic.Int32
		eachCaller(callers, n, func(times int) {
			at := int(caller.Add(1)) * 257
			answer := make(chan struct{}, 1)
			for range times {
				at++
				r.requests <- rawRequest{records[at%len(records)], answer}
				<-answer
			}
		})
	}}
}

// storedRecords are the bytes of records as the store has them before it packs
// them: they are read from the stream of a store that was filled and closed.
func storedRecords(dir string, b *bench) (records [][]byte) {
	s := must(store.OpenFolder(ctx, dir, store.Options{Logger: quiet()}))
	rt, ids := started(fsm.Config{Store: s}, pick(b, durableInstances, 1000))
	sends("", rt, ids, 64, payload()).run(pick(b, 50_000, 2000))
	check(rt.Stop(ctx))
	check(s.Close())
	server := must(natsserver.Run(ctx, natsserver.Base(dir), quiet()))
	defer natsserver.End(server)
	nc := must(nats.Connect("", nats.InProcessServer(server)))
	defer nc.Close()
	stream := must(must(jetstream.New(nc)).Stream(ctx, "FSM_LOG"))
	state := must(stream.Info(ctx)).State
	for at := state.FirstSeq; at <= state.LastSeq; at++ {
		body := must(stream.GetMsg(ctx, at)).Data
		if len(body) > 0 {
			records = append(records, recordsOf(must(s2.Decode(nil, body)))...)
		}
	}
	return records[len(records)/2:] // transitions, without the creations
}

// recordsOf splits the plain body of a frame.
func recordsOf(body []byte) (records [][]byte) {
	for len(body) > 0 {
		_, _, n := protowire.ConsumeTag(body)
		v, m := protowire.ConsumeBytes(body[n:])
		if n < 0 || m < 0 {
			panic("a frame of the store is not what it is taken for")
		}
		records = append(records, v)
		body = body[n+m:]
	}
	return records
}

// packedFrame is a frame's body of 1,000 records.
func packedFrame(records [][]byte) []byte {
	var plain []byte
	for i := range frameRecords {
		plain = protowire.AppendBytes(protowire.AppendTag(plain, 1, protowire.BytesType), records[i%len(records)])
	}
	return s2.Encode(nil, plain)
}
