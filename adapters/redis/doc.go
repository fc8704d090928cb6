// Package redis carries the channels of a mesh over Redis pub/sub, for
// adapters/bridge.
//
// # What is guaranteed
//
//   - Messages of one connection come in the order in which they were published.
//   - What may have been missed is told (Broker.Lost): after each time that the
//     subscribing connection was away or silent for too long, and when messages
//     came faster than they were taken and some had to be dropped. The bridge
//     then asks anew, so that directories are right again.
//   - Of several who claim the same key within a minute one gets it.
//   - Publishing never waits for a server that is away: it fails, and the bridge
//     counts what was lost.
//
// # What is not
//
//   - Pub/sub keeps nothing. What is published while a subscriber is away never
//     comes to it: commands and creations among it are lost.
//   - That the server has taken a message does not mean that anybody heard it.
//   - When a connection breaks while something is being published it is not
//     known whether it was; it is not published again.
//   - Channels are those of the whole server: Redis keeps databases apart for
//     keys, not for channels.
package redis
