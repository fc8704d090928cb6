package bridge

import (
	"slices"
	"strings"
)

// A Kind is the meaning of a channel, the same in both dialects.
type Kind string

// The kinds of messages.
const (
	Announce          Kind = "announce"
	Heartbeat         Kind = "heartbeat"
	Shutdown          Kind = "shutdown"
	Discover          Kind = "discover"
	Query             Kind = "query"
	QueryResponse     Kind = "query_response"
	InstanceCreated   Kind = "instance_created"
	StateChange       Kind = "state_change"
	InstanceCompleted Kind = "instance_completed"
	TimeoutTriggered  Kind = "timeout_triggered"
	TriggerEvent      Kind = "trigger_event"
	CreateInstance    Kind = "create_instance"
	CrossEvent        Kind = "cross_component_event"

	// Those that fsmesh adds, in the documented dialect only.
	CommandResponse Kind = "command_response"
	Quarantined     Kind = "instance_quarantined"
	EventIgnored    Kind = "event_ignored"
	HookError       Kind = "hook_error"
	DeadLetter      Kind = "dead_letter"
	RuntimeFenced   Kind = "runtime_fenced"

	// The external API, if it is switched on.
	ExternalCommand   Kind = "external:commands"
	ExternalBroadcast Kind = "external:broadcasts"
	// ComponentBroadcast is for the instances of one component that are in a
	// state. Its channel bears the component's name: ComponentChannel.
	ComponentBroadcast Kind = "component_broadcast"
)

// A Dialect is a set of channel names.
type Dialect int

// The dialects. Each can be switched off in Config.
const (
	Documented Dialect = iota
	Package
)

func (d Dialect) String() string {
	if d == Package {
		return "package"
	}
	return "documented"
}

// A Purpose says what a side needs a channel for.
type Purpose int

// The purposes. Who keeps no directory needs no notices.
const (
	ForPresence Purpose = iota
	ForNotices
	ForCommands
	ForExternal
)

// A Channel is one line of the table.
type Channel struct {
	Kind Kind
	// Names has the channel's name in each dialect, "" where the dialect has
	// none.
	Names   [2]string
	Purpose Purpose
	// Out and In say whether the mesh's side is told on the broker, and the
	// broker's on the mesh.
	Out, In bool
}

// Channels is the table of both dialects: everything that a bridge mirrors.
// What the body of each is, and how it maps to the mesh, is in body.go and
// mapping.go.
var Channels = []Channel{
	{Announce, [2]string{"xcomponent:announce", "fsm:registry:announce"}, ForPresence, true, true},
	{Heartbeat, [2]string{"xcomponent:heartbeat", "fsm:registry:heartbeat"}, ForPresence, true, true},
	{Shutdown, [2]string{"xcomponent:shutdown", "fsm:registry:shutdown"}, ForPresence, true, true},
	{Discover, [2]string{"xcomponent:discover", "fsm:registry:discover"}, ForPresence, true, true},
	{Query, [2]string{"xcomponent:query", "fsm:commands:query_instances"}, ForPresence, true, true},
	{QueryResponse, [2]string{"xcomponent:query_response", "fsm:responses:query"}, ForNotices, true, true},
	{InstanceCreated, [2]string{"xcomponent:instance_created", "fsm:events:instance_created"}, ForNotices, true, true},
	{StateChange, [2]string{"xcomponent:state_change", "fsm:events:state_change"}, ForNotices, true, true},
	{InstanceCompleted, [2]string{"xcomponent:instance_completed", "fsm:events:instance_completed"}, ForNotices, true, true},
	{TimeoutTriggered, [2]string{"xcomponent:timeout_triggered", "fsm:events:timeout_triggered"}, ForNotices, false, true},
	{TriggerEvent, [2]string{"xcomponent:trigger_event", "fsm:commands:trigger_event"}, ForCommands, true, true},
	{CreateInstance, [2]string{"xcomponent:create_instance", "fsm:commands:create_instance"}, ForCommands, true, true},
	{CrossEvent, [2]string{"xcomponent:cross_component_event", "fsm:commands:cross_component_event"}, ForCommands, true, true},
	{CommandResponse, [2]string{"xcomponent:command_response", ""}, ForCommands, true, true},
	{Quarantined, [2]string{"xcomponent:instance_quarantined", ""}, ForNotices, true, true},
	{EventIgnored, [2]string{"xcomponent:event_ignored", ""}, ForNotices, true, true},
	{HookError, [2]string{"xcomponent:hook_error", ""}, ForNotices, true, true},
	{DeadLetter, [2]string{"xcomponent:dead_letter", ""}, ForNotices, true, true},
	{RuntimeFenced, [2]string{"xcomponent:runtime_fenced", ""}, ForNotices, true, true},
	// The guide's name, and the one that the package really listens to.
	{ExternalCommand, [2]string{"xcomponent:external:commands", "external:commands"}, ForExternal, false, true},
	{ExternalBroadcast, [2]string{"xcomponent:external:broadcasts", "external:broadcasts"}, ForExternal, false, true},
}

// forComponent is the line of the channels that bear the name of a component.
var forComponent = Channel{ComponentBroadcast, [2]string{componentPrefix + "<ComponentName>", ""}, ForExternal, true, true}

const componentPrefix = "xcomponent:"

// ComponentChannel is the channel on which a component hears broadcasts, "" for a
// component whose name makes another channel, or none that every broker can carry.
func ComponentChannel(component string) string {
	name := componentPrefix + component
	if _, _, taken := byName(name); taken || !goodName(component) || len(name) > 200 || strings.ContainsAny(component, "*#.: ") {
		return ""
	}
	return name
}

// A dialects value says which channels are in use.
type dialects struct {
	off      [2]bool
	only     []Kind // nil is all
	purposes [4]bool
}

func (d *dialects) wants(c *Channel) bool {
	return d.purposes[c.Purpose] && (d.only == nil || slices.Contains(d.only, c.Kind))
}

// mirrors reports whether a kind is among those that are published.
func (d *dialects) mirrors(c *Channel) bool { return d.only == nil || slices.Contains(d.only, c.Kind) }

// speaks is how many dialects there are to be published in.
func (d *dialects) speaks() (n int) {
	for _, off := range d.off {
		if !off {
			n++
		}
	}
	return n
}

// in returns the channels to subscribe to, but for the kinds that are left out.
func (d *dialects) in(without ...Kind) []string {
	var names []string
	for i := range Channels {
		if c := &Channels[i]; c.In && d.wants(c) && !slices.Contains(without, c.Kind) {
			names = append(names, d.names(c)...)
		}
	}
	return names
}

// notices returns the channels of what only a directory has use for.
func (d *dialects) notices() []string {
	of := *d
	of.purposes = [4]bool{ForNotices: true}
	return of.in()
}

func (d *dialects) names(c *Channel) []string {
	var names []string
	for i, name := range c.Names {
		if name != "" && !d.off[i] {
			names = append(names, name)
		}
	}
	return names
}

// of returns the channel of a kind.
func of(k Kind) *Channel { return kinds[k] }

// kinds has the lines by kind, names by channel.
var (
	kinds = func() map[Kind]*Channel {
		m := map[Kind]*Channel{ComponentBroadcast: &forComponent}
		for i := range Channels {
			m[Channels[i].Kind] = &Channels[i]
		}
		return m
	}()
	names = func() map[string]named {
		m := map[string]named{}
		for i := range Channels {
			for d, n := range Channels[i].Names {
				if n != "" {
					m[n] = named{&Channels[i], Dialect(d)}
				}
			}
		}
		return m
	}()
)

type named struct {
	*Channel
	dialect Dialect
}

// KindOf returns the kind of a channel, given by its name in either dialect or by
// the kind itself. ok is false for what is none.
func KindOf(name string) (k Kind, ok bool) {
	if c, _, ok := byName(name); ok {
		return c.Kind, true
	}
	c := of(Kind(name))
	return Kind(name), c != nil
}

// byName finds the line and the dialect of a channel's name.
func byName(name string) (*Channel, Dialect, bool) {
	n, ok := names[name]
	return n.Channel, n.dialect, ok
}
