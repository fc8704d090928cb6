package jetstream

import "github.com/nats-io/nats.go/jetstream"

func withSubject(s string) jetstream.StreamPurgeOpt  { return jetstream.WithPurgeSubject(s) }
func withSequence(n uint64) jetstream.StreamPurgeOpt { return jetstream.WithPurgeSequence(n) }
