package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui"
)

// What pages promise at 100,000 instances and 1,000 notices a second, on two
// processors.
const (
	pageTarget   = 100 * time.Millisecond // p99 of the first byte
	changeTarget = 250 * time.Millisecond // p99 from a change to the page
	openTarget   = 2.0                    // CPU of 100 open pages over that of one
)

// A website is the pages of a fleet, on an address of this machine.
type website struct {
	*httptest.Server
	f *fleet
}

func newWebsite(f *fleet) (w *website, stop func()) {
	view := f.watch()
	f.exactly(view)
	bus := f.connect()
	pages := must(ui.New(ctx, ui.Config{View: view, Client: mesh.NewClient(bus, mesh.ClientOptions{}), Bus: bus, Logger: quiet()}))
	w = &website{httptest.NewServer(pages), f}
	return w, func() {
		pages.EndStreams()
		w.Close()
		check(pages.Close())
	}
}

// firstByte asks for a page and returns how long its first byte took.
func (w *website) firstByte(address string) (took time.Duration) {
	start := time.Now()
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { took = time.Since(start) }}
	r := must(http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, w.URL+"/"+address, nil))
	res := must(w.Client().Do(r))
	must(io.Copy(io.Discard, res.Body))
	check(res.Body.Close())
	if res.StatusCode != http.StatusOK {
		panic(fmt.Sprintf("%s: %s", address, res.Status))
	}
	return took
}

// open opens the stream of a page; f is told of each patch.
func (w *website) open(ctx context.Context, address string, f func(line string)) (wait func()) {
	r := must(http.NewRequestWithContext(ctx, http.MethodGet, w.URL+"/live?of="+url.QueryEscape(address), nil))
	res := must(w.Client().Do(r))
	if res.StatusCode != http.StatusOK {
		panic(fmt.Sprintf("the stream of %s: %s", address, res.Status))
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer res.Body.Close()
		lines := bufio.NewReaderSize(res.Body, 1<<20)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			f(line)
		}
	})
	return reading.Wait
}

// A watched page is one that an instance is seen on when it goes to and fro between A
// and E, where no other is.
type watched struct {
	name, address string
	// shows reports whether a line of its stream shows that version, in E or not.
	shows func(line string, version int, held bool) bool
}

// watchings are the pages that one has open.
func watchings(id string) []watched {
	row := regexp.MustCompile(`id=` + id + `\b.*?data-l=\\"Version\\"\\u003e(\d+)\\u003c`)
	return []watched{
		{"overview", "", func(line string, _ int, held bool) bool {
			return strings.Contains(line, `"components":`) && strings.Contains(line, ", E 1") == held
		}},
		{"machine", "machine?machine=Order", func(line string, _ int, held bool) bool {
			return strings.Contains(line, `"states":`) && strings.Contains(line, `E\u003c/span\u003e\u003cspan\u003e1\u003c`) == held
		}},
		{"instances", "instances", func(line string, version int, _ bool) bool { // the newest is on top
			m := row.FindStringSubmatch(line)
			return m != nil && m[1] == strconv.Itoa(version)
		}},
		{"instance", "instance?id=" + id, func(line string, version int, _ bool) bool {
			return strings.Contains(line, fmt.Sprintf(`Version\u003c/dt\u003e\u003cdd\u003e%d\u003c`, version))
		}},
	}
}

// changes is how long it takes from an event to the patches that show what it did on
// pages that are open side by side, n times.
func (w *website) changes(n int) (pages []watched, took [][]time.Duration) {
	in := must(w.f.rt.Create(ctx, "Order", contextOf(0)))
	for w.firstTry("instance?id="+in.ID()) != http.StatusOK {
		time.Sleep(10 * time.Millisecond)
	}
	pages = watchings(in.ID())
	took = make([][]time.Duration, len(pages))
	ctx, cancel := context.WithCancel(ctx)
	var lines []chan string
	var waits []func()
	for _, p := range pages {
		shows := make(chan string, 256)
		lines, waits = append(lines, shows), append(waits, w.open(ctx, p.address, func(line string) {
			select {
			case shows <- line:
			default:
			}
		}))
	}
	defer func() {
		cancel()
		for _, wait := range waits {
			wait()
		}
	}()
	for i := range n {
		held, event := i%2 == 0, fsm.Event{Type: "RESUME"}
		if held {
			event = fsm.Event{Type: "HOLD", Payload: map[string]any{"customer": contextOf(0)["customer"]}}
		}
		start := time.Now()
		if r := must(w.f.rt.Send(ctx, in.ID(), event)); r.Version != uint64(i+2) || (r.State == "E") != held {
			panic(fmt.Sprintf("%s led to version %d in %s", event.Type, r.Version, r.State))
		}
		var seen sync.WaitGroup
		for k, p := range pages {
			seen.Go(func() {
				for late := time.After(10 * time.Second); ; {
					select {
					case line := <-lines[k]:
						if p.shows(line, i+2, held) {
							took[k] = append(took[k], time.Since(start))
							return
						}
					case <-late:
						panic("a change never showed on the page " + p.name)
					}
				}
			})
		}
		seen.Wait()
		// At another moment of the pages' turns each time.
		time.Sleep(time.Duration(50+i*37%150) * time.Millisecond)
	}
	return pages, took
}

func (w *website) firstTry(address string) int {
	res := must(w.Client().Get(w.URL + "/" + address))
	must(io.Copy(io.Discard, res.Body))
	check(res.Body.Close())
	return res.StatusCode
}

// busy is the CPU time of the process in a while with so many open pages, as
// a share of one processor.
func (w *website) busy(address string, pages int, while time.Duration) float64 {
	ctx, cancel := context.WithCancel(ctx)
	var waits []func()
	for range pages {
		waits = append(waits, w.open(ctx, address, func(string) {}))
	}
	time.Sleep(while / 5) // the first patch is all of the page
	start, used := time.Now(), cpuTime()
	time.Sleep(while)
	share := float64(cpuTime()-used) / float64(time.Since(start))
	cancel()
	for _, wait := range waits {
		wait()
	}
	return share
}

// benchPages measures the pages of many instances, while events come.
func benchPages(b *bench) error {
	f := newFleet(pick(b, 100_000, 2000))
	defer f.stop()
	w, end := newWebsite(f)
	defer end()
	stop := f.load(ctx)
	defer stop()
	times := pick(b, 300, 5)
	addresses := []struct{ name, address string }{
		{"overview", ""}, {"machine", "machine?machine=Order"}, {"state", "machine?machine=Order&state=B"}, {"instances", "instances"},
		{"instances by age", "instances?machine=Order&state=C&sort=unchanged"}, {"search", "instances?q=99"}, {"page 40", "instances?page=40"},
		{"instance", "instance?id=" + f.ids[7]}, {"record", "instance?at=1&id=" + f.ids[7]}, {"runtimes", "runtimes"}, {"create", "create?machine=Order"},
	}
	// What lays diagrams out starts with the first of them.
	cold := w.firstByte("machine?machine=Order")
	for _, a := range addresses {
		w.firstByte(a.address)
	}
	for _, a := range addresses {
		var ours, raw []time.Duration
		for range times {
			ours, raw = append(ours, w.firstByte(a.address)), append(raw, w.firstByte("healthz"))
		}
		p99, least := quantile(ours, 0.99), quantile(raw, 0.99)
		b.add("first byte of "+a.name+", p99", fmt.Sprintf("%s (half of them %s)", ns(float64(p99)), ns(float64(quantile(ours, 0.5)))), "of 3 bytes "+ns(float64(least)), single(float64(p99)/float64(least))).
			want("< "+pageTarget.String(), p99 < pageTarget)
	}
	again := w.firstByte("machine?machine=Order")
	b.add("first byte of machine, with the first diagram of the process", ns(float64(cold)), "later "+ns(float64(again)), single(float64(cold)/float64(again)))
	pages, took := w.changes(pick(b, 200, 6))
	every := 100 * time.Millisecond
	for i, p := range pages {
		p99 := quantile(took[i], 0.99)
		b.add("from a change to "+p.name+", p99", fmt.Sprintf("%s (half of them %s)", ns(float64(p99)), ns(float64(quantile(took[i], 0.5)))), "the turn of a page "+ns(float64(every)), single(float64(p99)/float64(every))).
			want("< "+changeTarget.String(), p99 < changeTarget)
	}
	for _, a := range []struct{ name, address string }{{"overview", ""}, {"machine", "machine?machine=Order"}, {"instances", "instances"}} {
		while := pick(b, 3*time.Second, 200*time.Millisecond)
		var none, one, many []float64
		for range pick(b, 3, 1) {
			none, one, many = append(none, w.busy(a.address, 0, while)), append(one, w.busy(a.address, 1, while)), append(many, w.busy(a.address, 100, while))
		}
		n0, n1, n100 := slices.Min(none), slices.Min(one), slices.Min(many)
		ratio := max(n100-n0, 0.001) / max(n1-n0, 0.001)
		b.add("CPU of 100 open pages, "+a.name, fmt.Sprintf("%.1f %%", 100*(n100-n0)), fmt.Sprintf("one %.1f %%", 100*(n1-n0)), single(ratio))
		b.add("– with all that the process does", fmt.Sprintf("%.1f %%", 100*n100), fmt.Sprintf("one %.1f %%", 100*n1), single(n100/n1)).
			want(fmt.Sprintf("<= %.0f", openTarget), n100/n1 <= openTarget)
	}
	b.note("%d instances, 1,000 notices a second; runtime, node, pages and those who read them are in one process. CPU is a share of one\nprocessor, the least of three turns; the first of the two lines is without what is done while no page is open.", len(f.ids))
	return nil
}
