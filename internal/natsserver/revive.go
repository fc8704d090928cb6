package natsserver

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A Reviver brings the JetStream of a server back, inside the server, that has given
// it up for a full disk, or a stream of it for a write that failed. What it had in
// memory only counts for nothing then: the streams are read from the disk again.
// Connections, and all that is no JetStream, go on meanwhile.
//
// It leaves a server in a cluster alone, and a JetStream that was never sound: that is
// damage, and no want of room.
type Reviver struct {
	server *server.Server
	dir    string
	limit  int64 // what it may store, in bytes
	logger *slog.Logger
	stop   chan struct{}
	done   chan struct{}
}

const (
	// reviveEvery is how often a server is looked at.
	reviveEvery = time.Second
	// reviveRoom is how many bytes have to fit on the disk for a new try.
	reviveRoom = 8 << 20
)

// Revive begins to look after a server whose JetStream is in a folder, until Stop.
func Revive(s *server.Server, dir string, logger *slog.Logger) *Reviver {
	r := &Reviver{server: s, dir: dir, logger: logger, stop: make(chan struct{}), done: make(chan struct{})}
	if c := s.JetStreamConfig(); c != nil {
		r.limit = c.MaxStore
	}
	if s.JetStreamIsClustered() { // it does not say so any more once it has given up
		close(r.done)
	} else {
		go r.run()
	}
	return r
}

// Stop ends the looking after, and waits for it. It is called once, before End.
func (r *Reviver) Stop() {
	close(r.stop)
	<-r.done
}

func (r *Reviver) run() {
	defer close(r.done)
	t := time.NewTicker(reviveEvery)
	defer t.Stop()
	sound, problem := r.sick() == nil, ""
	for {
		select {
		case <-t.C:
		case <-r.stop:
			return
		}
		why := r.sick()
		if why == nil {
			sound, problem = true, ""
			continue
		}
		if !sound {
			continue
		}
		if problem == "" {
			r.logger.Error("the JetStream of the node gave up, most likely for want of room on the disk; it is started again once there is some", "folder", r.dir, "err", why)
		}
		switch err := r.revive(); {
		case err == nil:
			r.logger.Info("the JetStream of the node is back", "folder", r.dir)
			problem = ""
		case err.Error() != problem:
			problem = err.Error()
			r.logger.Error("the JetStream of the node cannot be started again yet; it is tried until it can", "folder", r.dir, "err", err)
		}
	}
}

// sick says what is wrong with the JetStream.
func (r *Reviver) sick() error {
	if !r.server.JetStreamEnabled() {
		return errors.New("it is switched off")
	}
	for _, e := range r.server.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type == server.HealthzErrorStream && strings.Contains(e.Error, "write error") {
			return errors.New(e.Error)
		}
	}
	return nil
}

func (r *Reviver) revive() error {
	if err := r.room(); err != nil {
		return err
	}
	if err := r.server.ShutdownJetStream(); err != nil {
		return err
	}
	if closing(r.server) {
		return errors.New("the old one still has its files open")
	}
	// The other settings are the server's. The limit would be of what is free now, which
	// may be little, for as long as it runs.
	if err := r.server.EnableJetStream(&server.JetStreamConfig{StoreDir: r.dir, MaxStore: r.limit}); err != nil {
		return errors.Join(err, r.server.ShutdownJetStream())
	}
	return r.sick()
}

// room fails if the disk takes no writes.
func (r *Reviver) room() error {
	if err := Fits(r.dir, reviveRoom); err != nil {
		return fmt.Errorf("the disk takes no %d MB: %w", reviveRoom>>20, err)
	}
	return nil
}
