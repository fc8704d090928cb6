// Package bridge joins a mesh with the channels of an existing deployment on
// Redis or RabbitMQ, both ways: runtimes there are shown on the mesh and take its
// commands, runtimes of the mesh are shown there and obey.
//
// # How to read it
//
// dialect.go has the table of channels, the same meaning in two spellings.
// body.go and mapping.go (pure) say what goes over them and what it is on the
// mesh. guard.go knows what has gone round or comes twice. broker.go is what is
// asked of a broker; adapters/redis and adapters/rabbitmq are two. bridge.go
// starts and ends, and sees that one bridge is active; session.go is that one:
//
//   - presence.go: who is on either side; behind.go and table.go: the runtimes on
//     the broker, which the bridge numbers and speaks for on the mesh
//   - inbound.go: what comes from the broker; mirror.go and outbox.go: what the
//     mesh tells it; queries.go: who asks whom for all there is
//   - commands_in.go and commands_out.go: commands each way; external.go: those
//     of other programs
//
// # What is guaranteed
//
//   - Once in each place. Everything that a bridge listens to bears an id if a
//     bridge has published it, the same in both dialects, and the bridge as its
//     origin. Of several ways round by which a runtime could be shown the one over
//     the fewest brokers is used.
//   - One bridge of a mesh serves a broker; others stand by and take over within
//     five seconds.
//   - A directory is exact as to what the bridge holds. A runtime that numbers
//     what it tells is asked anew when a number is missing; all are after the
//     broker was away, and those that do not number once a minute (Requery).
//     They are followed, as of the last answer (Status says of when).
//   - A command is answered with what is known: the outcome, from a runtime that
//     tells it (protocol); else the change that followed; else that it was sent
//     and nobody confirmed it (Unconfirmed).
//   - What a transition of the mesh leads to on the broker is published once. It
//     is done when the broker has it, or its runtime says so if it does that.
//   - A creation that several bridges hear is taken by one. If a runtime on the
//     broker that asks nobody hosts the component, it is left to that.
//   - The mesh never waits for the broker, and memory is bounded (bounds.go). At most
//     1 GiB is held of the runtimes on the broker; what has no room is counted, and
//     its runtime is not shown as exact. Up to 64 MB wait to be published; more is
//     dropped and counted. With Redis, what can't be sent is dropped at once, and
//     those who follow are told anew afterwards. With RabbitMQ it is tried until it
//     is taken, and a command from there is acknowledged when the mesh has done it.
//   - Bodies are read leniently and bounded. What can't be used is dropped,
//     counted, and the last hundred with the reason are in Status.
//   - No password is in an error, a log line or the status.
//
// # What is not
//
//   - A message without an id that a broker delivers again cannot be told from a
//     second one.
//   - The history of an instance behind a bridge is with its own runtime, and so
//     are its keys and versions unless it tells them.
//   - For a moment after bridges come or go, until they have heard of each other,
//     something may be told twice. It is applied once.
//   - Applications that have a bridge each are not merged: each answers a query
//     of the package dialect for itself, and a page there shows the last.
package bridge
