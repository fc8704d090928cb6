package api

import (
	"cmp"
	"context"
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// merge puts the records of several instances together, oldest first; within a
// millisecond by instance and version. missing are the instances whose records
// are not to be had any more.
func (a *API) merge(ctx context.Context, of []mesh.Instance, limit int) (events []*fsm.Record, missing []string, more bool) {
	for _, in := range of {
		m, err := a.records(ctx, mesh.Target{ID: in.ID, Component: in.Component}, 0, limit, func(some []*fsm.Record) error {
			events = append(events, some...)
			return nil
		})
		if err != nil {
			missing = append(missing, in.ID)
		}
		more = more || m
		// What is too much in any case need not be held.
		sortRecords(events)
		if len(events) > limit {
			events, more = slices.Clip(events[:limit]), true
		}
	}
	return events, missing, more
}

func sortRecords(events []*fsm.Record) {
	slices.SortStableFunc(events, func(a, b *fsm.Record) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Version, b.Version))
	})
}
