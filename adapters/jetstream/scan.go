package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// messages yields the messages of a stream whose subjects match, from a position
// on, until `to` or the end of the stream. It reads by a consumer: direct gets
// of many would count what is pending each time.
func (l *link) messages(ctx context.Context, stream, filter string, from, to uint64) iter.Seq2[*message, error] {
	return func(yield func(*message, error) bool) {
		cfg := jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{filter}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(1, from),
			InactiveThreshold: time.Minute, MaxResetAttempts: 5,
		}
		c, err := l.reads.OrderedConsumer(ctx, stream, cfg)
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", stream, err))
			return
		}
		if i := c.CachedInfo(); i != nil && i.NumPending == 0 {
			return
		}
		it, err := c.Messages(jetstream.PullMaxBytes(32 << 20))
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", stream, err))
			return
		}
		defer it.Stop()
		defer context.AfterFunc(ctx, it.Stop)()
		for {
			m, err := it.Next(jetstream.NextMaxWait(l.idle))
			if err != nil {
				if cause := context.Cause(ctx); cause != nil {
					err = cause
				} else if errors.Is(err, nats.ErrTimeout) {
					// What it had when the last message was read may have been
					// dropped since, by who writes there.
					if i, e := c.Info(ctx); e == nil && i.NumPending == 0 {
						return
					}
					err = errStuck
				}
				yield(nil, fmt.Errorf("read %s: %w", stream, err))
				return
			}
			meta, err := m.Metadata()
			if err != nil {
				yield(nil, err)
				return
			}
			out := &message{m.Subject(), meta.Sequence.Stream, nats.Header(m.Headers()), m.Data(), meta.Timestamp}
			if out.position > to || !yield(out, nil) || out.position == to || meta.NumPending == 0 {
				return
			}
		}
	}
}

// A scan is one reading of a log's frames in their order.
type scan struct {
	// after is where it begins; the frame that follows must be the next one.
	// Without known, it may be any: the log's first, or the first behind a hole.
	after mark
	known bool
	// to is the position of the last frame that must be there.
	to uint64
	// want says of which records more than the head is needed; nil: of all. It
	// is called by several goroutines.
	want func(position uint64, h *head) bool
	// mentions, if there is one, leaves out all records in which this id does not
	// occur.
	mentions string
	// replay leaves the payloads of events out.
	replay bool
}

// frames yields the frames, decoded by all processors. It fails with a
// *DamageError where one is missing or cannot be read.
func (l *log) frames(ctx context.Context, s scan) iter.Seq2[*frame, error] {
	return func(yield func(*frame, error) bool) {
		if s.to <= s.after.position {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		queue := make(chan *frame, 64) // in order; full: the reader waits
		work := make(chan *frame, 64)
		wg.Go(func() {
			defer close(queue)
			defer close(work)
			l.fetch(ctx, s, queue, work)
		})
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				d := newDecoder()
				d.replay = s.replay
				for f := range work {
					switch {
					case f.err != nil:
					case s.mentions != "":
						f.err = f.mentions(d, []byte(s.mentions))
					default:
						f.err = f.decode(d, s.want)
					}
					close(f.ready)
				}
			})
		}
		last := s.after
		for f := range queue {
			select {
			case <-f.ready:
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			}
			err := l.follows(s, last, f)
			if err != nil {
				yield(nil, err)
				return
			}
			last = f.mark()
			if !yield(f, nil) {
				return
			}
		}
		if err := context.Cause(ctx); err != nil {
			yield(nil, err)
		} else if last.position < s.to && (s.known || last != mark{}) {
			yield(nil, &DamageError{Name: l.name, First: last.position + 1, Last: s.to, FirstFrame: last.frame + 1, Problem: "frames at its end are missing"})
		}
	}
}

func (l *log) fetch(ctx context.Context, s scan, queue, work chan<- *frame) {
	for m, err := range l.link.messages(ctx, logStream, l.subject, s.after.position+1, s.to) {
		f := &frame{ready: make(chan struct{})}
		if err == nil {
			var parsed *frame
			if parsed, err = l.frame(m); err == nil {
				parsed.ready = f.ready
				f = parsed
			} else {
				f.position = m.position
			}
		}
		f.err = err
		for _, c := range []chan<- *frame{queue, work} {
			select {
			case c <- f:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// follows checks that a frame is whole and is the next one.
func (l *log) follows(s scan, last mark, f *frame) error {
	format, damage := (*FormatError)(nil), (*DamageError)(nil)
	switch {
	case errors.Is(f.err, errStuck):
		return &DamageError{
			Name: l.name, First: last.position + 1, Last: s.to, FirstFrame: last.frame + 1,
			Problem: "frames in between cannot be read", Err: f.err,
		}
	case f.err != nil && (f.position == 0 || errors.As(f.err, &format)):
		return f.err
	case errors.As(f.err, &damage):
		damage.FirstFrame, damage.LastFrame = last.frame+1, last.frame+1
		return damage
	case f.err != nil:
		return &DamageError{
			Name: l.name, First: f.position, Last: f.position, FirstFrame: last.frame + 1, LastFrame: max(f.number, last.frame+1),
			Problem: "a frame cannot be read", Err: f.err,
		}
	case last.frame == 0 && !s.known:
	case f.number == last.frame+1:
	case f.number <= last.frame:
		return &DamageError{Name: l.name, First: f.position, Last: f.position, FirstFrame: f.number, LastFrame: last.frame, Problem: "a frame is there twice"}
	default:
		e := &DamageError{
			Name: l.name, First: last.position + 1, Last: f.position - 1, FirstFrame: last.frame + 1, LastFrame: f.number - 1,
			Problem: fmt.Sprintf("%d frames are missing", f.number-last.frame-1),
		}
		if own := f.records - uint64(len(f.entries)); own > last.records {
			e.Records = own - last.records
		}
		return e
	}
	return nil
}
