package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What follows is who uses the program while it is killed again and again: shop
// clients that bring orders from their first event to their last, ask again
// until they are answered, and write down what they were told.

// An acked is an event that the program said it had taken.
type acked struct {
	event   string // its id
	version uint64
	state   string
	at      time.Time // when the answer was read
}

// An order is what a client knows of one.
type order struct {
	orderID  string
	instance string
	events   []acked
	closed   bool
}

// A shop talks to the program over HTTP.
type shop struct {
	base string
	http *http.Client

	taken  atomic.Int64 // events whose answers were read
	mu     sync.Mutex   // guards all below
	orders []*order
	closed int // of them
}

func newShop(base string) *shop {
	// A connection to a process that was killed is of no use.
	return &shop{base: base, http: &http.Client{Timeout: 5 * time.Second}}
}

// An answered is what all the program's answers are read into.
type answered struct {
	InstanceID   string `json:"instanceId"`
	State        string `json:"state"`
	CurrentState string `json:"currentState"`
	Version      uint64 `json:"version"`
	Repeated     bool   `json:"repeated"`
	Error        string `json:"error"`
	Code         string `json:"code"`
}

// ask sends one request until the program answers it: what was refused because
// the program was not there, or not ready, is asked again under the same id.
func (s *shop) ask(ctx context.Context, method, path, eventID string, body any) (*answered, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	for {
		out, status, err := s.once(ctx, method, path, eventID, data)
		switch {
		case err == nil && status < 300:
			return out, nil
		case err == nil && status < 500 && status != http.StatusTooManyRequests:
			return nil, fmt.Errorf("%s %s: %d %s %s", method, path, status, out.Code, out.Error)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %s: never answered; the last try: %d %v", method, path, status, err)
		}
	}
}

func (s *shop) once(ctx context.Context, method, path, eventID string, body []byte) (*answered, int, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
	}
	if eventID != "" {
		req.Header.Set("Idempotency-Key", eventID)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, res.StatusCode, err // it died while answering: not an answer
	}
	var out answered
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, res.StatusCode, fmt.Errorf("answer %.200q: %w", b, err)
	}
	return &out, res.StatusCode, nil
}

// send sends an event to an order and writes down the answer.
func (s *shop) send(ctx context.Context, o *order, event string) error {
	id := fmt.Sprintf("%s-%s-%d", o.orderID, event, len(o.events))
	out, err := s.ask(ctx, http.MethodPost, "/api/instances/"+o.instance+"/events", id, map[string]any{
		"type": event, "payload": map[string]any{"last": id},
	})
	if err != nil {
		return err
	}
	s.taken.Add(1)
	o.events = append(o.events, acked{id, out.Version, out.State, time.Now()})
	return nil
}

// await waits until an order is in a state.
func (s *shop) await(ctx context.Context, o *order, state string) error {
	last := ""
	for {
		out, err := s.ask(ctx, http.MethodGet, "/api/instances/"+o.instance, "", nil)
		if err != nil {
			return err
		}
		if last = out.CurrentState; last == state {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("order %s (instance %s) stays in %s and never gets to %s", o.orderID, o.instance, last, state)
		}
	}
}

// create makes an instance and returns its id.
func (s *shop) create(ctx context.Context, machine, eventID string, data map[string]any) (string, error) {
	out, err := s.ask(ctx, http.MethodPost, "/api/components/Orders/instances", eventID, map[string]any{
		"machineName": machine, "context": data,
	})
	if err != nil {
		return "", err
	}
	return out.InstanceID, nil
}

// regions are those that orders are shipped to; each has a watcher.
const regions = 4

// life brings one order from its creation to its end.
func (s *shop) life(ctx context.Context, o *order, region int) error {
	var err error
	o.instance, err = s.create(ctx, "Order", "create-"+o.orderID, map[string]any{"orderId": o.orderID, "region": region})
	if err != nil {
		return err
	}
	steps := []func() error{
		func() error { return s.send(ctx, o, "NOTE") },
		func() error { return s.send(ctx, o, "PLACE") },
		func() error { return s.send(ctx, o, "NOTE") },
		func() error { return s.await(ctx, o, "Paid") },
		func() error { return s.send(ctx, o, "PACK") },
		func() error { return s.send(ctx, o, "NOTE") },
		func() error { return s.await(ctx, o, "Shipped") },
		func() error { return s.send(ctx, o, "NOTE") },
		func() error { return s.send(ctx, o, "CLOSE") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	o.closed = true
	s.mu.Lock()
	s.closed++
	s.mu.Unlock()
	return nil
}

// work is one client: it brings in orders until it is told to stop, and ends
// the one it is at.
func (s *shop) work(ctx context.Context, client int, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		o := &order{orderID: fmt.Sprintf("o-%d-%d", client, n)}
		s.mu.Lock()
		s.orders = append(s.orders, o)
		s.mu.Unlock()
		if err := s.life(ctx, o, n%regions); err != nil {
			return err
		}
	}
}

// run lets clients work until stop is closed and returns when all have ended.
func (s *shop) run(ctx context.Context, clients int, stop <-chan struct{}) error {
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() { errs[c] = s.work(ctx, c, stop) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// openWatchers creates the watcher of each region and returns their ids.
func (s *shop) openWatchers(ctx context.Context, t *testing.T) []string {
	t.Helper()
	ids := make([]string, regions)
	for r := range ids {
		id, err := s.create(ctx, "Watcher", fmt.Sprintf("watcher-%d", r), map[string]any{"region": r})
		if err != nil {
			t.Fatal(err)
		}
		ids[r] = id
	}
	return ids
}
