// Package rabbitmq carries the channels of a mesh over a RabbitMQ topic
// exchange, for adapters/bridge.
//
// Everything goes through one durable topic exchange, xcomponent.events. The
// routing key is the channel with a dot for each colon. One connection has a
// channel to publish and one to consume; a goroutine of the broker makes both
// anew, with everything declared again, whenever the connection is lost.
//
// # What is guaranteed
//
//   - At least once: what Publish says is taken has been confirmed by the server.
//     What was published when the connection broke is published again by the
//     bridge; it bears an id, by which it is applied once.
//   - A message is acknowledged only after the bridge is done with it. What was
//     not comes again, marked as redelivered.
//   - With Options.Queue what is published while nobody is there waits in that
//     queue and comes later.
//   - What cannot be read, or was given up after ten tries, goes to the queue
//     DeadQueue with the reason in the header x-reason.
//   - Messages of one publisher come in order, but for those that come again.
//   - While the server has blocked the connection (memory or disk alarm) Publish
//     waits, as long as its context allows.
//   - A message for a shared subscription goes to one of all who share it.
//
// # What is not
//
//   - Without Options.Queue the bridge's queue goes with its connection: what is
//     published while it is away is missed. The bridge is told of it.
//   - A message without an id that comes again cannot be told from a second one.
//   - What nobody has a queue for is gone, confirmed or not; it is counted as
//     returned.
package rabbitmq
