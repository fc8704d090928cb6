package fsmtest

import (
	"context"
	"iter"

	"github.com/fsmesh/fsmesh/fsm"
)

// MirrorStore returns a store whose logs are those of main, with all that is
// appended to them in the memory store as well: the scenario runner compares
// what it finds there. Both must be used by nobody else.
func MirrorStore(main, memory fsm.Store) fsm.Store { return &mirrorStore{main, memory} }

type mirrorStore struct{ main, memory fsm.Store }

func (s *mirrorStore) Open(ctx context.Context, name string) (fsm.Log, error) {
	main, err := s.main.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	memory, err := s.memory.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	l := &mirrorLog{main, memory}
	if c, ok := main.(fsm.Checkpointer); ok {
		return &mirrorCheckpointer{l, c}, nil
	}
	return l, nil
}

type mirrorLog struct {
	fsm.Log
	memory fsm.Log
}

// mirrorCheckpointer lets the checkpoints of the main log through.
type mirrorCheckpointer struct {
	*mirrorLog
	main fsm.Checkpointer
}

func (l *mirrorCheckpointer) Checkpoint(of fsm.CheckpointSource) { l.main.Checkpoint(of) }

func (l *mirrorCheckpointer) Flush(ctx context.Context) error { return l.main.Flush(ctx) }

func (l *mirrorLog) Restore(ctx context.Context) iter.Seq2[fsm.Restored, error] {
	return func(yield func(fsm.Restored, error) bool) {
		for _, err := range l.memory.Restore(ctx) {
			if err != nil {
				yield(fsm.Restored{}, err)
				return
			}
		}
		l.Log.Restore(ctx)(yield)
	}
}

func (l *mirrorLog) Claim(ctx context.Context, by string) (fsm.Claim, error) {
	if _, err := l.memory.Claim(ctx, by); err != nil {
		return fsm.Claim{}, err
	}
	return l.Log.Claim(ctx, by)
}

func (l *mirrorLog) Append(ctx context.Context, b fsm.Batch) error {
	if err := l.Log.Append(ctx, b); err != nil {
		return err
	}
	return l.memory.Append(context.WithoutCancel(ctx), b)
}

func (l *mirrorLog) Close() error {
	if err := l.memory.Close(); err != nil {
		return err
	}
	return l.Log.Close()
}
