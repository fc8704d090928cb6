package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// A stored is a record as the API shows it.
type stored struct {
	InstanceID  string `json:"instanceId"`
	MachineName string `json:"machineName"`
	Version     uint64 `json:"version"`
	EventID     string `json:"eventId"`
	Event       struct {
		Type    string         `json:"type"`
		Payload map[string]any `json:"payload"`
	} `json:"event"`
	StateBefore string `json:"stateBefore"`
	StateAfter  string `json:"stateAfter"`
	PersistedAt int64  `json:"persistedAt"`
}

// A found is an instance as lists show it.
type found struct {
	ID           string         `json:"id"`
	InstanceID   string         `json:"instanceId"`
	MachineName  string         `json:"machineName"`
	CurrentState string         `json:"currentState"`
	Context      map[string]any `json:"context"`
}

// A tally counts what must not be.
type tally struct {
	lost, doubled, gaps, timers, effects int
	// undone are steps that are stored and whose effects never came: what an outbox
	// is for. They are among effects or timers, too, beside orders whose clients gave
	// up on them.
	undone          int
	orders, records int
	notes           []string // the first few, in words
}

func (c *tally) note(n *int, format string, args ...any) {
	*n++
	if len(c.notes) < 20 {
		c.notes = append(c.notes, fmt.Sprintf(format, args...))
	}
}

func (c *tally) bad() int { return c.lost + c.doubled + c.gaps + c.timers + c.effects }

func (c *tally) String() string {
	return fmt.Sprintf("%d orders, %d records: lost %d, doubled %d, version gaps %d, timers doubled or missed %d, effects doubled or missed %d",
		c.orders, c.records, c.lost, c.doubled, c.gaps, c.timers, c.effects)
}

// history reads all records of an instance.
func (s *shop) history(ctx context.Context, instance string) ([]stored, error) {
	var out struct {
		History []stored `json:"history"`
	}
	err := s.read(ctx, "/api/instances/"+instance+"/history?limit=1000000", &out)
	return out.History, err
}

func (s *shop) read(ctx context.Context, path string, into any) error {
	for {
		status, err := s.readOnce(ctx, path, into)
		if err != nil || status < 500 {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond): // on a busy machine nobody may answer in time
		case <-ctx.Done():
			return fmt.Errorf("GET %s: never answered; the last try: %d", path, status)
		}
	}
}

// readOnce reads an answer; one of status 500 and more is no error.
func (s *shop) readOnce(ctx context.Context, path string, into any) (status int, err error) {
	patient := http.Client{Timeout: time.Minute} // lists can be long
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := patient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode >= 500:
		return res.StatusCode, nil
	case res.StatusCode != http.StatusOK:
		return res.StatusCode, fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return res.StatusCode, json.NewDecoder(res.Body).Decode(into)
}

// ofMachine lists all instances of a machine that ever were, by their order.
func (s *shop) ofMachine(ctx context.Context, machine string) (map[string][]string, error) {
	var out struct {
		Instances []found `json:"instances"`
	}
	if err := s.read(ctx, "/api/history/instances?machine="+machine+"&limit=1000000", &out); err != nil {
		return nil, err
	}
	byOrder := map[string][]string{}
	for _, f := range out.Instances {
		id, _ := f.Context["orderId"].(string)
		byOrder[id] = append(byOrder[id], f.InstanceID)
	}
	return byOrder, nil
}

// check compares what the program has stored with what its users were told.
func (s *shop) check(ctx context.Context, t *testing.T, watchers []string) *tally {
	t.Helper()
	c := &tally{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	invoices, err := s.ofMachine(ctx, "Invoice")
	must(err)
	parcels, err := s.ofMachine(ctx, "Parcel")
	must(err)
	shipped := map[string]int{}
	for _, w := range watchers {
		h, err := s.history(ctx, w)
		must(err)
		c.dense(w, h)
		for _, r := range h {
			if r.Event.Type == "ORDER_SHIPPED" {
				id, _ := r.Event.Payload["orderId"].(string)
				shipped[id]++
			}
		}
	}
	for _, o := range s.orders {
		c.orders++
		h, err := s.history(ctx, o.instance)
		must(err)
		c.dense(o.instance, h)
		c.told(o, h)
		c.once(&c.timers, o, h, "PARCEL_GONE")
		c.once(&c.effects, o, h, "INVOICE_PAID")
		if n := shipped[o.orderID]; n != 1 {
			c.note(&c.effects, "order %s reached its watcher %d times", o.orderID, n)
		}
		led := func(h []stored, event string, came bool) {
			if taken(h, event) && !came {
				c.undone++
			}
		}
		led(h, "PLACE", len(invoices[o.orderID]) > 0)
		led(h, "PACK", len(parcels[o.orderID]) > 0)
		led(h, "PARCEL_GONE", shipped[o.orderID] > 0)
		for what, of := range map[string]map[string][]string{"invoice": invoices, "parcel": parcels} {
			if n := len(of[o.orderID]); n != 1 {
				c.note(&c.effects, "order %s has %d of its %s", o.orderID, n, what)
				continue
			}
			hs, err := s.history(ctx, of[o.orderID][0])
			must(err)
			c.dense(of[o.orderID][0], hs)
			event, delay, tells := "SETTLE", int64(40), "INVOICE_PAID"
			if what == "parcel" {
				event, delay, tells = "LEAVE", 60, "PARCEL_GONE"
			}
			led(hs, event, taken(h, tells))
			c.fired(o, hs, event, delay)
		}
	}
	return c
}

// taken reports whether an event is in a history.
func taken(h []stored, event string) bool {
	return slices.ContainsFunc(h, func(r stored) bool { return r.Event.Type == event })
}

// dense looks at the versions of one instance.
func (c *tally) dense(instance string, h []stored) {
	c.records += len(h)
	for i, r := range h {
		if r.Version != uint64(i)+1 {
			c.note(&c.gaps, "instance %s: record %d has version %d", instance, i+1, r.Version)
			return
		}
	}
}

// told looks whether what was acknowledged is there, as it was told, and once.
func (c *tally) told(o *order, h []stored) {
	count := map[string]int{}
	for _, r := range h {
		if r.EventID != "" {
			count[r.EventID]++
		}
	}
	for id, n := range count {
		if n > 1 {
			c.note(&c.doubled, "order %s: event %s is stored %d times", o.orderID, id, n)
		}
	}
	for _, a := range o.events {
		i := slices.IndexFunc(h, func(r stored) bool { return r.EventID == a.event })
		if i < 0 {
			c.note(&c.lost, "order %s: event %s was acknowledged and is not stored", o.orderID, a.event)
			continue
		}
		if h[i].Version != a.version || h[i].StateAfter != a.state {
			c.note(&c.lost, "order %s: event %s was acknowledged as version %d in %s, and is stored as version %d in %s",
				o.orderID, a.event, a.version, a.state, h[i].Version, h[i].StateAfter)
		}
	}
	if o.closed && (len(h) == 0 || h[len(h)-1].StateAfter != "Closed") {
		c.note(&c.lost, "order %s was closed, and is not", o.orderID)
	}
}

// once looks whether an event was taken once.
func (c *tally) once(n *int, o *order, h []stored, event string) {
	times := 0
	for _, r := range h {
		if r.Event.Type == event {
			times++
		}
	}
	if times != 1 {
		c.note(n, "order %s: %s was taken %d times", o.orderID, event, times)
	}
}

// fired looks whether a timer fired once, and not too early.
func (c *tally) fired(o *order, h []stored, event string, delay int64) {
	c.once(&c.timers, o, h, event)
	if len(h) < 2 {
		return
	}
	if after := h[len(h)-1].PersistedAt - h[0].PersistedAt; after < delay {
		c.note(&c.timers, "order %s: %s fired after %d ms, before its %d ms", o.orderID, event, after, delay)
	}
}
