package fsmtest

import (
	"context"
	"errors"
	"sync"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Cuttable is a store until it is cut: from then on nothing is appended any
// more, as if the process that uses it had been killed.
type Cuttable struct {
	fsm.Store
	mu   sync.RWMutex // guards gone; held for reading while appending
	gone bool
}

// ErrCut is what appends fail with after Cut.
var ErrCut = errors.New("the store was cut off")

// CuttableStore returns the store for one process that may be killed.
func CuttableStore(s fsm.Store) *Cuttable { return &Cuttable{Store: s} }

// Cut waits for the appends that have begun, and lets no more through.
func (s *Cuttable) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}

// Open opens a log of the store.
func (s *Cuttable) Open(ctx context.Context, name string) (fsm.Log, error) {
	log, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &cutLog{log, s}, nil
}

type cutLog struct {
	fsm.Log
	store *Cuttable
}

func (l *cutLog) Append(ctx context.Context, b fsm.Batch) error {
	l.store.mu.RLock()
	defer l.store.mu.RUnlock()
	if l.store.gone {
		return ErrCut
	}
	return l.Log.Append(ctx, b)
}
