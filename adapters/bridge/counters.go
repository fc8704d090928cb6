package bridge

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Counters of a bridge, by name.
const (
	countReceived    = "received"
	countPublished   = "published"
	countTold        = "told"
	countOwn         = "dropped_own"
	countCopies      = "dropped_copies"
	countDoubled     = "dropped_doubled"
	countForgotten   = "forgotten_early"
	countInvalid     = "dropped_invalid"
	countBroken      = "dropped_definitions"
	countUnknown     = "dropped_unknown_channel"
	countStranger    = "dropped_unknown_runtime"
	countOld         = "dropped_old"
	countNotOurs     = "commands_not_ours"
	countCommands    = "commands_in"
	countRefused     = "commands_refused"
	countOutCommands = "commands_out"
	countClaimed     = "creations_left_to_others"
	countLost        = "losses"
	countGaps        = "gaps"
	countQueries     = "queries_sent"
	countAnswered    = "answers"
	countAnswers     = "answers_sent"
	countTogether    = "queries_refused"
	countLate        = "dropped_late_answers"
	countFull        = "dropped_queue_full"
	countNoRoom      = "dropped_no_room"
	countAway        = "dropped_broker_away"
	countStopped     = "dropped_stopped"
	countTwo         = "dropped_id_of_another"
	countTakeovers   = "takeovers"
	countLagged      = "mesh_lagged"
)

// A Counter is one thing that a bridge counts.
type Counter struct {
	// Name is the key in Status.Counters; it does not change.
	Name string
	// Help says what is counted, in one line.
	Help string
}

// brokerPrefix begins the names of what the broker itself counts.
const brokerPrefix = "broker_"

// counted has all counters, in the order in which they are shown.
var counted = []Counter{
	{countReceived, "messages from the broker"},
	{countPublished, "messages that the broker has taken"},
	{countTold, "changes of instances behind the bridge that were told on the mesh"},
	{countOwn, "messages of this bridge that came back"},
	{countCopies, "messages that came in the documented dialect as well"},
	{countDoubled, "messages whose id had come before"},
	{countForgotten, "messages forgotten before 10 s were over, as more came than are remembered: they would not be known again"},
	{countInvalid, "messages that could not be read or lacked a field"},
	{countBroken, "definitions that are none: their runtime is shown without"},
	{countUnknown, "messages on a channel that nobody knows"},
	{countStranger, "messages of a runtime that has not announced itself"},
	{countTwo, "messages of a runtime whose id one of another component has"},
	{countOld, "notices that newer news had overtaken"},
	{countLate, "pieces of answers that nobody waited for any more"},
	{countFull, "messages not published, as too much waited already"},
	{countNoRoom, "instances, definitions and answers for which the bridge has no room"},
	{countAway, "messages not published, as the broker was away"},
	{countStopped, "commands not done as the bridge stopped or stood by (Redis)"},
	{countLost, "times that messages of the broker may have been missed"},
	{countGaps, "notices that their runtime had numbered and that did not come"},
	{countQueries, "queries of all instances sent to the broker"},
	{countAnswered, "answers that runtimes on the broker gave"},
	{countAnswers, "answers given for runtimes of the mesh"},
	{countTogether, "queries answered without their correlationId, as too many waited"},
	{countCommands, "commands of the broker that the mesh has done"},
	{countRefused, "commands of the broker that were refused"},
	{countNotOurs, "commands of the broker for somebody else there"},
	{countClaimed, "creations that another bridge has claimed"},
	{countOutCommands, "commands of the mesh sent to runtimes on the broker"},
	{countLagged, "times that the bridge was too slow for the mesh"},
	{countTakeovers, "times that the bridge became the active one"},
	{brokerPrefix + "reconnects", "connections to the broker that had to be made anew"},
	{brokerPrefix + "overflows", "messages dropped as they came faster than they were taken (Redis)"},
	{brokerPrefix + "published_unheard", "messages that nobody listened for (Redis)"},
	{brokerPrefix + "returned", "messages that no queue wanted (RabbitMQ)"},
	{brokerPrefix + "blocked", "times that the server blocked publishing (RabbitMQ)"},
	{brokerPrefix + "dead_letters", "messages put to the dead letters (RabbitMQ)"},
	{brokerPrefix + "redelivered", "messages that were delivered again (RabbitMQ)"},
	{brokerPrefix + "nacked", "messages that the server did not confirm (RabbitMQ)"},
}

// Counters returns everything that bridges count, with what it is. A bridge to one
// kind of broker does not have those of another kind.
func Counters() []Counter { return slices.Clone(counted) }

// counts are counters that several goroutines raise.
type counts struct {
	n map[string]*atomic.Uint64 // never changed

	mu    sync.Mutex // guards drops
	drops []Drop
}

// A Drop says what was dropped, and why.
type Drop struct {
	Channel string    `json:"channel"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// dropsMost is how many drops are remembered; the oldest go first.
const dropsMost = 100

func newCounts() *counts {
	n := map[string]*atomic.Uint64{}
	for _, c := range counted {
		if !strings.HasPrefix(c.Name, brokerPrefix) {
			n[c.Name] = new(atomic.Uint64)
		}
	}
	return &counts{n: n}
}

// add raises a counter; all are in the table counted.
func (c *counts) add(name string, n int) { c.n[name].Add(uint64(n)) }

func (c *counts) of(name string) uint64 { return c.n[name].Load() }

func (c *counts) drop(channel, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.drops) >= dropsMost {
		c.drops = c.drops[1:]
	}
	c.drops = append(c.drops, Drop{channel, reason, time.Now()})
}

func (c *counts) all() (map[string]uint64, []Drop) {
	n := make(map[string]uint64, len(c.n))
	for name, v := range c.n {
		n[name] = v.Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return n, append([]Drop(nil), c.drops...)
}
