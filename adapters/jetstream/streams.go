package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The streams of a store, and the first tokens of their subjects.
const (
	logStream  = "FSM_LOG"
	snapStream = "FSM_SNAP"

	logSubjects   = "fsm.log."
	snapSubjects  = "fsm.snap."  // .<name>.<bucket>, and its parts
	coverSubjects = "fsm.cover." // .<name>: what checkpoints cover
	markSubjects  = "fsm.mark."  // .<name>: the last acknowledged position
	metaSubjects  = "fsm.meta."  // .<name>: the log's id
	leaseSubjects = "fsm.lease." // .<name>
)

// configs returns the streams as they are made. The log keeps everything until
// it is purged; of the other each subject keeps its last message.
func configs(replicas int) []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{
			Name: logStream, Subjects: []string{logSubjects + "*"}, Description: "the records of fsmesh runtimes",
			Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
			// The server reads all messages of this window at its start.
			Duplicates: 100 * time.Millisecond, AllowDirect: true, Replicas: replicas,
		},
		{
			Name: snapStream, Description: "checkpoints of fsmesh runtimes",
			Subjects: []string{snapSubjects + ">", coverSubjects + "*", markSubjects + "*", metaSubjects + "*", leaseSubjects + "*"},
			Storage:  jetstream.FileStorage, Retention: jetstream.LimitsPolicy, MaxMsgsPerSubject: 1,
			Duplicates: 100 * time.Millisecond, AllowDirect: true, Replicas: replicas,
		},
	}
}

// unfit says what of a stream that is there already would break a promise.
func unfit(c jetstream.StreamConfig) error {
	bad := func(setting string) error {
		return fmt.Errorf("stream %s has %s, with which acknowledged records could be lost: change the stream, or use another JetStream", c.Name, setting)
	}
	switch {
	case c.Storage != jetstream.FileStorage:
		return bad("its storage in memory")
	case c.Retention != jetstream.LimitsPolicy:
		return bad("another retention than by limits")
	case c.MaxAge > 0, c.MaxMsgs > 0, c.Name == logStream && c.MaxMsgsPerSubject > 0:
		return bad("a limit of age or messages")
	case c.PersistMode != jetstream.DefaultPersistMode:
		return bad("asynchronous persistence")
	case c.MaxBytes > 0 && c.Discard != jetstream.DiscardNew:
		return bad("a limit of bytes that drops old messages")
	}
	return nil
}

// A link is a store's way to its JetStream: one connection for commits, and
// another for what reads much. It may be used by any goroutine.
type link struct {
	commits, reads jetstream.JetStream
	log, snap      jetstream.Stream // over reads
	idle           time.Duration    // how long a reading waits for the next message
	replicated     bool             // one of the streams is on several servers
}

func newLink(ctx context.Context, commits, reads jetstream.JetStream, o Options) (*link, error) {
	l := &link{commits: commits, reads: reads, idle: 20 * time.Second}
	for i, c := range configs(o.Replicas) {
		s, err := reads.Stream(ctx, c.Name)
		missing := errors.Is(err, jetstream.ErrStreamNotFound)
		switch {
		case missing && o.Look:
			return nil, fmt.Errorf("%w: there is no stream %s", ErrNoStore, c.Name)
		case missing:
			s, err = reads.CreateStream(ctx, c)
		}
		if err == nil {
			err = unfit(s.CachedInfo().Config)
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", c.Name, err)
		}
		l.replicated = l.replicated || s.CachedInfo().Config.Replicas > 1
		if i == 0 {
			l.log = s
		} else {
			l.snap = s
		}
	}
	return l, nil
}

const (
	// codeWrongSequence is the server's error code for a message that expects
	// another one to be the last of its subject.
	codeWrongSequence = 10071
	// codeNoResources is that for any message when what the server may store is
	// stored: it has not looked at the message. Of several servers older ones say it of
	// one that the others have stored.
	codeNoResources = 10023
)

var (
	// errMoved: the log's last message is not the one that was expected.
	// Nothing was stored.
	errMoved = errors.New("another message was expected to be the last")
	// errUnsent: nobody can have got the message, or who did has not looked at it.
	errUnsent = errors.New("not sent")
)

// put stores a message and returns its position. expect is the position of the
// last message of the subject, or any for no expectation. Errors other than
// errMoved and errUnsent mean that it may have been stored or not.
func (l *link) put(ctx context.Context, m *nats.Msg, expect uint64) (uint64, error) {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	if expect != anyLast {
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(expect))
	}
	if l.commits.Conn().IsClosed() {
		return 0, fmt.Errorf("%w: %w", errUnsent, nats.ErrConnectionClosed) // later it says nothing: it may be closed while the answer is owed
	}
	ack, err := l.commits.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	switch api := (*jetstream.APIError)(nil); {
	case err == nil:
		return ack.Sequence, nil
	case errors.As(err, &api) && api.ErrorCode == codeWrongSequence:
		return 0, errMoved
	case errors.As(err, &api) && api.ErrorCode == codeNoResources && !l.replicated:
		return 0, fmt.Errorf("%w: the server stores no more: %w", errUnsent, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrReconnectBufExceeded),
		errors.Is(err, nats.ErrMaxPayload):
		return 0, fmt.Errorf("%w: %w", errUnsent, err)
	}
	return 0, err
}

const anyLast = ^uint64(0)

// A message is what the server stores of one.
type message struct {
	subject  string
	position uint64
	header   nats.Header
	data     []byte
	time     time.Time
}

var errNoMessage = errors.New("no message")

// last asks who leads the stream for the last message of a subject: other
// replicas may lag behind.
func (l *link) last(ctx context.Context, stream, subject string) (*message, error) {
	body, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	m, err := l.commits.Conn().RequestWithContext(ctx, l.api("STREAM.MSG.GET."+stream), body)
	if err != nil {
		return nil, err
	}
	var r struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return nil, err
	}
	switch {
	case r.Error != nil && r.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, errNoMessage
	case r.Error != nil:
		return nil, r.Error
	case r.Message == nil:
		return nil, errNoMessage
	}
	out := &message{subject: r.Message.Subject, position: r.Message.Seq, data: r.Message.Data, time: r.Message.Time}
	if len(r.Message.Header) > 0 {
		if out.header, err = nats.DecodeHeadersMsg(r.Message.Header); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (l *link) api(what string) string {
	switch o := l.commits.Options(); {
	case o.APIPrefix != "":
		return o.APIPrefix + what
	case o.Domain != "":
		return "$JS." + o.Domain + ".API." + what
	}
	return jetstream.DefaultAPIPrefix + what
}

// get reads the message at a position, over the connection for reads.
func get(ctx context.Context, s jetstream.Stream, position uint64) (*message, error) {
	return got(s.GetMsg(ctx, position))
}

// lastOf is last from any replica.
func lastOf(ctx context.Context, s jetstream.Stream, subject string) (*message, error) {
	return got(s.GetLastMsgForSubject(ctx, subject))
}

func got(m *jetstream.RawStreamMsg, err error) (*message, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, errNoMessage
	}
	if err != nil {
		return nil, err
	}
	return &message{m.Subject, m.Sequence, m.Header, m.Data, m.Time}, nil
}

// subject is one of a log's subjects.
func subject(prefix, name string) string { return prefix + mesh.Token(name) }
