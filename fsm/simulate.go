package fsm

import "time"

// Simulate returns the states that a list of events would lead through from the
// initial state of a machine, with an empty context: the initial state first.
// Payloads count for matching rules and are merged, hooks are not run. The walk
// stops at a final or error state. At the first event that would be ignored it
// fails with ErrEventIgnored and returns the states up to there.
func Simulate(c *Component, machine string, events []Event) ([]string, error) {
	e, err := NewEngine(c)
	if err != nil {
		return nil, err
	}
	now := time.Unix(0, 0)
	in, err := e.New(machine, machine, Data{}, now)
	if err != nil {
		return nil, err
	}
	path := []string{in.State()}
	for _, ev := range events {
		if in.status != StatusActive {
			break
		}
		payload, err := newPayload(ev)
		if err != nil {
			return path, err
		}
		next, err := e.Step(in, ev.Type, payload, now)
		if err != nil {
			return path, err
		}
		in = next.Instance
		path = append(path, in.State())
	}
	return path, nil
}
