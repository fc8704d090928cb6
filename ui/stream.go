package ui

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// writeTime is how long a reader may take for one patch.
const writeTime = 10 * time.Second

// stream keeps a page fresh: it sends what has changed of it as server-sent
// events, "patch" with the parts by id, and "gone" when there is no such page
// any more.
func (d *Dashboard) stream(w http.ResponseWriter, r *http.Request) {
	address, ok := d.addressOf(r.URL.Query().Get("of"))
	if !ok {
		http.Error(w, "There is no such live page.", http.StatusNotFound)
		return
	}
	in, ok := d.hub.join(address)
	if !ok {
		http.Error(w, "Too many pages are open.", http.StatusServiceUnavailable)
		return
	}
	defer d.hub.leave(address, in)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	send := func(text string) bool {
		// Where no deadline can be set, the server's own holds.
		_ = rc.SetWriteDeadline(time.Now().Add(writeTime))
		_, err := io.WriteString(w, text)
		return err == nil && rc.Flush() == nil
	}
	if !send("retry: 1000\n\n") {
		return
	}
	for {
		select {
		case p, ok := <-in.patches:
			if !ok {
				if in.gone {
					send(streamEvent("gone", ""))
				}
				return
			}
			if !send(string(p)) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// addressOf brings the address of a live page into its one form, so that all
// who look at it are in one room.
func (d *Dashboard) addressOf(of string) (string, bool) {
	u, err := url.Parse(of)
	if err != nil || len(of) > 4096 || u.Scheme != "" || u.Host != "" {
		return "", false
	}
	name := strings.TrimPrefix(u.Path, "./")
	if _, ok := d.views[name]; !ok {
		return "", false
	}
	q := u.Query()
	for _, key := range []string{"live", "theme", "done", "behind"} {
		q.Del(key)
	}
	return name + "?" + q.Encode(), true
}

// lineEnds are what ends a line of a server-sent event.
var lineEnds = strings.NewReplacer("\r\n", "\ndata: ", "\r", "\ndata: ", "\n", "\ndata: ")

// streamEvent is a server-sent event. Data is split at all that ends a line
// there, so that nothing in it can begin another field or event.
func streamEvent(name, data string) string {
	return "event: " + name + "\ndata: " + lineEnds.Replace(data) + "\n\n"
}
