package jetstream

import (
	"context"
	"maps"
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
)

// Places is how many instances the store's open logs have in memory.
func Places(s *Store) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.logs {
		l.mu.RLock()
		for i := range l.index.parts {
			n += l.index.parts[i].places.n
		}
		l.mu.RUnlock()
	}
	return n
}

// Drop has the store's open logs write checkpoints, and drop what is too old, and
// returns once they have: a runtime has them do it in its own time.
func Drop(ctx context.Context, s *Store, cut fsm.Cut) error {
	s.mu.Lock()
	logs := slices.Collect(maps.Keys(s.logs))
	s.mu.Unlock()
	for _, l := range logs {
		if err := l.Flush(ctx); err != nil {
			return err
		}
		if err := l.Retain(ctx, func(string, string) fsm.Cut { return cut }); err != nil {
			return err
		}
	}
	return nil
}
