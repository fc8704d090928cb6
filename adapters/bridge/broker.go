package bridge

import (
	"context"
	"errors"
)

// A Broker is what the bridge needs of an outside system that carries channels.
// Its methods may be called from any goroutine. It reconnects by itself.
type Broker interface {
	// Identity names the server and what within it keeps channels apart, the
	// same from wherever it is reached: bridges of one mesh to one identity
	// know that they are the same. It changes, before Lost tells of that, when
	// another server is there after a connection was lost.
	Identity() string
	// Subscribe begins to call f with what comes on the channels, in the order
	// of arrival, one message at a time, and returns once the server has said
	// that it is subscribed. It may be called again for other channels. The
	// subscriptions come back after a lost connection.
	Subscribe(ctx context.Context, s Subscription, f func(*Message)) error
	// Publish publishes frames in their order. It returns how many of them the
	// server has taken, as far as the broker confirms it, and an error if not
	// all. An error that is ErrNotSent says that the others did not leave the
	// process; any other, that it is not known what became of the next ones.
	Publish(ctx context.Context, frames []Frame) (int, error)
	// Lost is told when something may be missing: after the connection was
	// away, or a buffer was full. It holds one loss; more are joined.
	Lost() <-chan Loss
	// Guarantees says what the broker promises.
	Guarantees() Guarantees
	// Counters are the broker's own, by name.
	Counters() map[string]uint64
	// Close ends it and waits for what it started. It may be called twice.
	Close(ctx context.Context) error
}

// A Claimer is a Broker on which several can agree who does something once.
type Claimer interface {
	// Claim reports whether this Broker is the first to claim the key; it may ask
	// again. It is remembered for a minute.
	Claim(ctx context.Context, key string) (bool, error)
}

// An Identifier is a Broker whose Identity changes when its server is started anew,
// or another takes its place.
type Identifier interface {
	// Identify asks the server who it is, for Identity.
	Identify(ctx context.Context) error
}

// A Sender is a Broker that can have frames under way while it waits for the server
// to confirm earlier ones.
type Sender interface {
	// Send writes frames in their order, after those of calls before, and returns
	// a function that waits for the server: it returns what Publish would.
	Send(ctx context.Context, frames []Frame) (wait func(context.Context) (int, error))
}

// ErrNotSent is returned by Publish for what did not leave the process.
var ErrNotSent = errors.New("not sent: the broker is not connected")

// A Subscription says what to listen to.
type Subscription struct {
	Channels []string
	// Shared has each message go to one of all who give the same name, where
	// the broker can do that (Guarantees.Shared); "" is for oneself.
	Shared string
	// Passing says that what comes while nobody listens is of no use later: a
	// broker that keeps messages keeps none of these.
	Passing bool
}

// A Frame is a body on its way to a channel.
type Frame struct {
	Channel string
	Body    []byte
}

// A Message is what came on a channel. Its body is never changed by anybody.
type Message struct {
	Frame
	// Redelivered says that it may have come before.
	Redelivered bool
	// Done says what became of it, once, from any goroutine: nil, that it is
	// taken over; a *PoisonError, that it never will be; any other error, that
	// it is to be delivered again if the broker can. It is never nil.
	Done func(error)
}

// A PoisonError says why a message is dropped for good. Brokers that can keep
// it for an operator.
type PoisonError struct{ Reason string }

func (e *PoisonError) Error() string { return e.Reason }

// A Loss says why something may be missing.
type Loss struct{ Reason string }

// Guarantees are what a broker promises. Each is held or not; the suite in
// bridgetest checks those that are held.
type Guarantees struct {
	// Order: messages of one publisher come in the order in which they were
	// published.
	Order bool
	// Confirmed: what Publish says is taken is delivered to those subscribed
	// then, also if either connection breaks.
	Confirmed bool
	// Kept: what is published while a subscriber is away comes later.
	Kept bool
	// Redelivered: what was not Done comes again.
	Redelivered bool
	// DeadLetters: what is poison is kept with the reason.
	DeadLetters bool
	// Shared: Subscription.Shared is honoured.
	Shared bool
}
