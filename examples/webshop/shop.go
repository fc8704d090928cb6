package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/fsm"
)

//go:embed order.yaml
var definition []byte

// A shop has orders in a table, and an instance for each that is on its way. Which
// instance is whose says the key: there is no map to keep, and none to lose.
type shop struct {
	rows  *rows
	store *adapters.Store
	rt    *fsm.Runtime

	cancel  context.CancelFunc
	written chan error // what the goroutine that writes states ended with
}

// openShop opens the table and the store, and brings both to the same state.
func openShop(ctx context.Context, database, store string) (_ *shop, err error) {
	s := &shop{written: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.rows, err = openRows(ctx, database); err != nil {
		return s, err
	}
	if s.store, err = adapters.Stores(ctx, store, adapters.StoreOptions{}); err != nil {
		return s, err
	}
	c, _, err := fsm.ParseComponent(definition, fsm.FileName("order.yaml"), fsm.Strict())
	if err != nil {
		return s, err
	}
	if s.rt, err = fsm.NewRuntime(fsm.Config{Components: []*fsm.Component{c}, Store: s.store}); err != nil {
		return s, err
	}
	if err := s.rt.Start(ctx); err != nil {
		return s, err
	}
	follow, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	// It watches before it compares, so that nothing happens in between.
	notices := s.rt.Watch(follow, fsm.WatchOptions{Component: "Webshop", Machine: "Order"})
	go func() { s.written <- s.write(follow, notices) }()
	return s, s.restore(ctx)
}

// restore gives each order that is on its way its instance. Most have one, from
// the store, and that one is right: the row may be a moment behind. One without (a
// row from before there were instances, or of a store that was lost) gets one in
// the state of its row, and the timers of that state begin anew.
func (s *shop) restore(ctx context.Context) error {
	open, err := s.rows.open(ctx)
	if err != nil {
		return err
	}
	for _, o := range open {
		if ended, err := s.last(ctx, o); err != nil || ended {
			if err != nil {
				return err
			}
			continue
		}
		in, created, err := s.rt.GetOrCreate(ctx, "Order", key(o.ID), o.data(), fsm.InState(o.State))
		if err != nil {
			return fmt.Errorf("restore order %d: %w", o.ID, err)
		}
		if !created && in.State() != o.State {
			if err := s.rows.put(ctx, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// last writes the end of an order whose instance has ended, which the row may not
// have been told.
func (s *shop) last(ctx context.Context, o *order) (ended bool, err error) {
	in, err := s.rt.GetByKey("Webshop", key(o.ID))
	if errors.Is(err, fsm.ErrUnknownInstance) {
		return false, nil
	}
	if err != nil || in.Status() == fsm.StatusActive {
		return false, err
	}
	return true, s.rows.put(ctx, in)
}

// create adds a row and its instance. Where the program dies in between, restore
// makes up for it.
func (s *shop) create(ctx context.Context, customer string, amount float64) (*order, error) {
	o, err := s.rows.insert(ctx, customer, amount)
	if err != nil {
		return nil, err
	}
	_, _, err = s.rt.GetOrCreate(ctx, "Order", key(o.ID), o.data())
	return o, err
}

// send moves an order. What it returns is stored, also if the row is told later.
func (s *shop) send(ctx context.Context, id int64, event string) (*order, error) {
	o, err := s.rows.get(ctx, id)
	if err != nil {
		return nil, err
	}
	res, err := s.rt.SendByKey(ctx, key(id), fsm.Event{Type: event})
	if err != nil {
		return nil, err
	}
	return shown(o, res.Instance), nil
}

// get returns an order in the state of its instance, where it has one.
func (s *shop) get(ctx context.Context, id int64) (*order, error) {
	o, err := s.rows.get(ctx, id)
	if err != nil {
		return nil, err
	}
	in, err := s.rt.GetByKey("Webshop", key(id))
	if errors.Is(err, fsm.ErrUnknownInstance) {
		return o, nil // it ended long ago
	}
	return shown(o, in), err
}

func shown(o *order, in *fsm.Instance) *order {
	if in != nil {
		o.State, o.Ended = in.State(), in.Status() != fsm.StatusActive
	}
	return o
}

// write keeps the rows at the states of their instances, also where a timer moved
// them. Notices come after the commit, so a row is never ahead. If more happens
// than is read, all is compared again.
func (s *shop) write(ctx context.Context, notices func(func(fsm.Notice, error) bool)) error {
	for n, err := range notices {
		switch {
		case errors.Is(err, fsm.ErrLagged):
			err = s.restore(ctx)
		case err == nil && n.Of != nil:
			err = s.rows.put(ctx, n.Of)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// close ends what was begun. What is not told to a row yet is told by the next
// restore.
func (s *shop) close() (err error) {
	after := context.Background()
	if s.rt != nil {
		err = s.rt.Stop(after)
	}
	if s.cancel != nil {
		s.cancel()
		err = errors.Join(err, <-s.written)
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	if s.rows != nil {
		err = errors.Join(err, s.rows.db.Close())
	}
	return err
}
