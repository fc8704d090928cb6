package mesh

import (
	"context"
	"sync"
	"time"
)

// A memberList is who was on the mesh a moment ago, for one client.
type memberList struct {
	asking chan struct{} // has room for one: who asks asks for all

	mu   sync.Mutex // guards last
	last *listed
}

// A listed roster was asked for at a time.
type listed struct {
	roster
	at  time.Time
	all bool // that any of them knows
}

// membersFor is how long the list of runtimes is relied on, where it is not
// needed newer.
const membersFor = time.Second

func newMemberList() memberList { return memberList{asking: make(chan struct{}, 1)} }

func (l *memberList) get() *listed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *memberList) set(last *listed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = last
}

// drop has the list made anew when it is needed next.
func (l *memberList) drop() { l.set(nil) }

// fit reports whether a list can be used by who began at a time, and needs it
// to be no older than another.
func (l *listed) fit(begin, notBefore time.Time, all bool) bool {
	switch {
	case l == nil || l.at.Before(notBefore) || all && !l.all:
		return false
	case len(l.live) == 0:
		return !l.at.Before(begin)
	}
	return time.Since(l.at) <= membersFor
}

// hosts returns the runtimes of a component, or ("") of all, as of a time that is
// not before the given one.
func (c *Client) hosts(ctx context.Context, component string, notBefore time.Time) (*roster, error) {
	return c.listHosts(ctx, component, notBefore, false)
}

// allHosts is hosts with all that any runtime knows of, which takes a request to
// each of them.
func (c *Client) allHosts(ctx context.Context, component string, notBefore time.Time) (*roster, error) {
	return c.listHosts(ctx, component, notBefore, true)
}

// discover asks who is there, if anybody can be asked.
func (c *Client) discover(ctx context.Context, all bool) (*roster, error) {
	if err := c.bus.away(); err != nil {
		return nil, err
	}
	return c.bus.discover(ctx, all)
}

func (c *Client) listHosts(ctx context.Context, component string, notBefore time.Time, all bool) (*roster, error) {
	begin := time.Now()
	last := c.members.get()
	if !last.fit(begin, notBefore, all) {
		select {
		case c.members.asking <- struct{}{}:
		case <-ctx.Done():
			return nil, c.lost("list of runtimes", context.Cause(ctx))
		}
		defer func() { <-c.members.asking }()
		if last = c.members.get(); !last.fit(begin, notBefore, all) {
			at := time.Now()
			found, err := c.discover(ctx, all)
			if err != nil {
				return nil, c.lost("list of runtimes", err)
			}
			last = &listed{*found, at, all}
			c.members.set(last)
		}
	}
	out := &roster{sum: last.sum}
	for _, id := range last.live {
		if component == "" || component == id.Component {
			out.live = append(out.live, id)
		}
	}
	for _, id := range last.gone {
		if component == "" || component == id.Component {
			out.gone = append(out.gone, id)
		}
	}
	return out, nil
}
