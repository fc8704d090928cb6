package demo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Runtime is what the load needs of a runtime.
type Runtime interface {
	Create(ctx context.Context, machine string, data map[string]any, opts ...fsm.CreateOption) (*fsm.Instance, error)
	Get(id string) (*fsm.Instance, error)
	Send(ctx context.Context, id string, ev fsm.Event, opts ...fsm.SendOption) (fsm.Result, error)
	Instances(f fsm.Filter) iter.Seq[*fsm.Instance]
	Population(component, machine string) (map[string]int, error)
}

var _ Runtime = (*fsm.Runtime)(nil)

// A Load is customers, packers and drivers: it creates instances and sends
// events at a steady rate. The same seed makes the same choices; what they
// meet depends on timers and hooks besides, so two runs are alike but not the
// same.
type Load struct {
	// Runtimes host the demo's components, by component. It may be one for all.
	Runtimes map[string]Runtime
	// Rate is how many events and creations a second. Defaults to 10.
	Rate float64
	// Instances is how many there are at the start, and about how many stay
	// in motion. Defaults to 60.
	Instances int
	// Seed of the choices.
	Seed uint64
	// Logger defaults to slog.Default().
	Logger *slog.Logger

	rng    *rand.Rand
	orders int
	// waiting has ids by component, machine and state.
	waiting map[[3]string][]string
	// rest is until when nobody is looked up there.
	rest map[[3]string]time.Time
}

// stuck are the keys of the orders that nobody will ever pay.
var stuck = []string{"order:ORD-7", "order:ORD-13", "order:ORD-99"}

// tick is how often a load that is faster than this acts, several times each.
const tick = 10 * time.Millisecond

// Run fills the shop and then acts until the context ends, which is no error.
// It is to be called once.
func (l *Load) Run(ctx context.Context) error {
	l.setDefaults()
	if err := l.fill(ctx); err != nil {
		return quiet(ctx, fmt.Errorf("fill the demo's shop: %w", err))
	}
	every := max(time.Duration(float64(time.Second)/l.Rate), tick)
	t := time.NewTicker(every)
	defer t.Stop()
	for owed := 0.0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		// A runtime that can't keep up makes the load slower, it does not
		// make it catch up later: a ticker drops what nobody takes.
		for owed += l.Rate * every.Seconds(); owed >= 1; owed-- {
			if err := l.act(ctx); err != nil {
				return quiet(ctx, err)
			}
		}
	}
}

func (l *Load) setDefaults() {
	if l.Rate <= 0 {
		l.Rate = 10
	}
	if l.Instances <= 0 {
		l.Instances = 60
	}
	if l.Logger == nil {
		l.Logger = slog.Default()
	}
	l.rng = rand.New(rand.NewPCG(l.Seed, 0))
	l.orders = 1000
	l.waiting, l.rest = map[[3]string][]string{}, map[[3]string]time.Time{}
}

// quiet drops an error that comes of the end of the context.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// A share of the first instances is in a state, as after a while.
type share struct {
	component, machine, state string
	// of is how many of 30 there are.
	of int
	// timed says that time moves it on from there.
	timed bool
}

var shares = []share{
	{"Shop", "Cart", "Active", 9, true}, {"Shop", "Cart", "Idle", 4, true},
	{"Shop", "Order", "Draft", 3, false}, {"Shop", "Order", "Paid", 4, false},
	{"Fulfilment", "Shipment", "Ready", 2, false}, {"Fulfilment", "Shipment", "InTransit", 5, true},
	{"Fulfilment", "Invoice", "Issued", 3, true},
}

// manyTimed is how many of the first instances may be where time moves them on:
// the others of a million would do so all at once.
const manyTimed = 10_000

// fillers is how many creations are under way while the shop is filled: what they
// wait for is the disk, which takes many at a time.
const fillers = 256

// fill creates the first instances, but for those that a store has given back,
// and some in trouble.
func (l *Load) fill(ctx context.Context) error {
	there := l.there()
	todo := make(chan func() error)
	var busy sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range fillers {
		busy.Go(func() {
			for f := range todo {
				if err := f(); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := there; i < l.Instances && ctx.Err() == nil; {
		for _, s := range shares {
			for range s.of {
				if i >= l.Instances || s.timed && i >= manyTimed {
					break
				}
				i++
				todo <- l.creation(ctx, s.component, s.machine, fsm.InState(s.state))
			}
		}
	}
	close(todo)
	busy.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return l.trouble(ctx)
}

// there is how many instances a store has given back. New orders are numbered
// after theirs.
func (l *Load) there() (n int) {
	for _, component := range []string{"Shop", "Fulfilment"} {
		for in := range l.Runtimes[component].Instances(fsm.Filter{Component: component}) {
			n++
			if _, number, ok := strings.Cut(in.Key(), ":ORD-"); ok {
				if i, err := strconv.Atoi(number); err == nil {
					l.orders = max(l.orders, i)
				}
			}
		}
	}
	return n
}

// trouble makes what is there to be found: orders that are stuck, as they have no
// payment and their state has no timeout, and one whose payment was declined.
func (l *Load) trouble(ctx context.Context) error {
	shop := l.Runtimes["Shop"]
	for _, key := range append([]string{declined}, stuck...) {
		number := strings.TrimPrefix(key, "order:")
		data := map[string]any{"orderId": number, "customer": "Ada Stuck", "currency": "EUR", "items": 3, "amount": 249.9}
		in, err := shop.Create(ctx, "Order", data, fsm.WithComponent("Shop"), fsm.WithKey(key), fsm.InState("PaymentPending"))
		switch {
		case errors.Is(err, fsm.ErrKeyExists):
			continue // restored from a store
		case err != nil:
			return err
		case key != declined:
			continue
		}
		if _, err := shop.Send(ctx, in.ID(), fsm.Event{Type: "PAYMENT_DECLINED", Payload: map[string]any{"code": "card_expired"}}); err != nil {
			return err
		}
	}
	return nil
}

// declined is the key of the order that fails at the start.
const declined = "order:ORD-3"

func (l *Load) create(ctx context.Context, component, machine string, opts ...fsm.CreateOption) error {
	return l.creation(ctx, component, machine, opts...)()
}

// creation chooses what to create; the function that it returns does that, and may
// run beside others.
func (l *Load) creation(ctx context.Context, component, machine string, opts ...fsm.CreateOption) func() error {
	l.orders++
	number := fmt.Sprintf("ORD-%d", l.orders)
	items := 1 + l.rng.IntN(6)
	data := map[string]any{
		"orderId": number, "customer": l.customer(), "currency": "EUR",
		"items": items, "amount": cents(float64(items) * l.price()),
	}
	key := map[string]string{"Cart": "cart:", "Order": "order:"}[machine]
	if key != "" {
		opts = append(opts, fsm.WithKey(key+number))
	}
	return func() error {
		_, err := l.Runtimes[component].Create(ctx, machine, data, append(opts, fsm.WithComponent(component))...)
		return err
	}
}

// cents keeps sums free of what binary fractions add.
func cents(amount float64) float64 { return math.Round(amount*100) / 100 }

func (l *Load) price() float64 { return float64(199+100*l.rng.IntN(60)) / 100 }

func (l *Load) customer() string {
	first := []string{"Ada", "Bo", "Cleo", "Dian", "Edo", "Fay", "Gus", "Hana", "Ivo", "Jun"}
	last := []string{"Abel", "Berg", "Costa", "Diaz", "Endo", "Funk", "Gill", "Hoang"}
	return first[l.rng.IntN(len(first))] + " " + last[l.rng.IntN(len(last))]
}

// An action is something that happens in a shop. With an event it is sent to
// an instance in the state, else the machine gets a new instance.
type action struct {
	component, machine, state, event string
	// weight is how often it is chosen, relative to the others that can be.
	weight int
	// keep is how many in a hundred of Load.Instances are left alone in the
	// state, so that something is to be seen there.
	keep int
	// payload makes what the event carries; nil for nothing.
	payload func(*Load) map[string]any
}

// What moves things on weighs more than what brings new ones, so that the
// shop does not fill up.
func actions() []action {
	return []action{
		{component: "Shop", machine: "Cart", weight: 60},
		{component: "Shop", machine: "Order", weight: 15},
		{component: "Shop", machine: "Cart", state: "Active", event: "ADD_ITEM", weight: 130, payload: (*Load).item},
		{component: "Shop", machine: "Cart", state: "Idle", event: "ADD_ITEM", weight: 15, keep: 4, payload: (*Load).item},
		{component: "Shop", machine: "Cart", state: "Active", event: "CHECKOUT", weight: 70, keep: 15},
		{component: "Shop", machine: "Order", state: "Draft", event: "SUBMIT", weight: 100, keep: 4},
		{component: "Shop", machine: "Order", state: "Paid", event: "PACK", weight: 100, keep: 5},
		{component: "Shop", machine: "Order", state: "Draft", event: "CANCEL", weight: 5, keep: 2},
		{component: "Shop", machine: "Storefront", state: "Open", event: "START_SALE", weight: 1},
		// A mistake, which is refused.
		{component: "Shop", machine: "Order", state: "Draft", event: "SHIPPED", weight: 5},
		{component: "Fulfilment", machine: "Shipment", state: "Ready", event: "DISPATCH", weight: 100, keep: 3},
		{component: "Fulfilment", machine: "Shipment", state: "InTransit", event: "TRACK", weight: 40, payload: (*Load).place},
		{component: "Fulfilment", machine: "Shipment", state: "InTransit", event: "DELIVER", weight: 100, keep: 12},
		{component: "Fulfilment", machine: "Shipment", state: "Backordered", event: "RESTOCKED", weight: 40, keep: 5},
		{component: "Fulfilment", machine: "Invoice", state: "Issued", event: "DISPUTE", weight: 10, keep: 4},
	}
}

func (l *Load) item() map[string]any {
	skus := []string{"TEA-250", "MUG-01", "POT-12", "HONEY-3", "SPOON-9"}
	return map[string]any{"sku": skus[l.rng.IntN(len(skus))], "price": l.price()}
}

func (l *Load) place() map[string]any {
	places := []string{"Porto", "Lyon", "Turin", "Graz", "Brno", "Gdynia"}
	return map[string]any{"at": places[l.rng.IntN(len(places))]}
}

// act does one thing that can be done now.
func (l *Load) act(ctx context.Context) error {
	possible, total := l.possible()
	n := l.rng.IntN(total)
	for _, a := range possible {
		if n -= a.weight; n >= 0 {
			continue
		}
		if a.event == "" {
			return l.create(ctx, a.component, a.machine)
		}
		return l.send(ctx, a)
	}
	return nil
}

// possible returns the actions that the populations allow, and the sum of
// their weights. Creations always are, so it is never empty.
func (l *Load) possible() (out []action, total int) {
	counts := map[[2]string]map[string]int{}
	for _, a := range actions() {
		m := [2]string{a.component, a.machine}
		if counts[m] == nil {
			// A machine that is not there has no population.
			counts[m], _ = l.Runtimes[a.component].Population(a.component, a.machine)
		}
		if a.event != "" && counts[m][a.state] <= a.keep*l.Instances/100 {
			continue
		}
		out = append(out, a)
		total += a.weight
	}
	return out, total
}

// send sends the action's event to one of the waiting instances. That it is
// refused is part of the show: a timer may have been faster.
func (l *Load) send(ctx context.Context, a action) error {
	id, ok := l.next(a)
	if !ok {
		return nil
	}
	ev := fsm.Event{Type: a.event}
	if a.payload != nil {
		ev.Payload = a.payload(l)
	}
	_, err := l.Runtimes[a.component].Send(ctx, id, ev)
	switch {
	case err == nil:
	case errors.Is(err, fsm.ErrEventIgnored), errors.Is(err, fsm.ErrInstanceEnded), errors.Is(err, fsm.ErrUnknownInstance), errors.Is(err, fsm.ErrOverloaded):
		l.Logger.Debug("demo event refused", "machine", a.machine, "instance", id, "event", a.event, "error", err)
	default:
		return fmt.Errorf("send %s to a %s: %w", a.event, a.machine, err)
	}
	return nil
}

// stock is how many instances are looked up at a time: a look-up goes through
// the runtime's whole table.
const stock = 200

// restShare bounds the time that looking up takes, to one part in so many for each
// state: of a million instances it takes a second, and there may be few in a state.
const restShare = 60

// next takes one of the instances that are known to wait in the action's state
// and still do. Chance leaves some alone for long, so that timeouts have
// something to do.
func (l *Load) next(a action) (id string, ok bool) {
	at := [3]string{a.component, a.machine, a.state}
	if begin := time.Now(); len(l.waiting[at]) == 0 && !begin.Before(l.rest[at]) {
		l.waiting[at] = l.lookUp(at)
		l.rest[at] = time.Now().Add(restShare * time.Since(begin))
	}
	for ids := l.waiting[at]; len(ids) > 0; ids = l.waiting[at] {
		i := l.rng.IntN(len(ids))
		id := ids[i]
		l.waiting[at] = slices.Delete(ids, i, i+1)
		if in, err := l.Runtimes[a.component].Get(id); err == nil && in.State() == a.state {
			return id, true
		}
	}
	return "", false
}

func (l *Load) lookUp(at [3]string) []string {
	var ids []string
	for in := range l.Runtimes[at[0]].Instances(fsm.Filter{Component: at[0], Machine: at[1], State: at[2]}) {
		if slices.Contains(stuck, in.Key()) {
			continue
		}
		if ids = append(ids, in.ID()); len(ids) == stock {
			break
		}
	}
	return ids
}
