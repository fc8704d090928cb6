package mesh

import (
	"encoding/binary"
	"time"
)

// echoEvery is how often a view sends itself a message, echoLate how often while it
// waits for one that says that it has caught up.
const (
	echoEvery = 500 * time.Millisecond
	echoLate  = 100 * time.Millisecond
)

// An echo's body is when it was sent, in nanoseconds since the view began: by the
// clock that nobody sets.
func echoBody(began, now time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(now.Sub(began)))
}

// echoFrom reads it. It reports false for a body that is none.
func echoFrom(began time.Time, body []byte) (*Echo, bool) {
	if len(body) != 8 {
		return nil, false
	}
	return &Echo{Sent: began.Add(time.Duration(binary.BigEndian.Uint64(body)))}, true
}
