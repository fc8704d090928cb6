// Package adapters opens what is outside of a mesh by URL, so that an
// application's code is the same whatever it runs on.
//
// [Connect] takes memory and nats:// as mesh.Connect does, and redis://,
// rediss://, amqp:// and amqps://: for these it is a mesh inside the process and
// a bridge to the broker. What that guarantees, and what not, is said by the
// packages adapters/redis, adapters/rabbitmq and adapters/bridge.
//
// Applications that are connected to one broker in this way have a mesh and a
// bridge each. They find each other's runtimes over the broker; a creation that
// all of them hear is done by one.
package adapters
