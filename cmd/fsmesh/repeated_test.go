package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestKeyedRequestsAreRepeated asks over HTTP again for what was done under a key,
// after its instance has ended and the process was killed or stopped: creations,
// get-or-creates and events give their first outcomes, and nothing is made anew.
func TestKeyedRequestsAreRepeated(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	v := newVictim(t, t.TempDir())
	restarts := map[string]func(){
		"no restart": func() {},
		"killed":     v.kill,
		"stopped":    v.stop,
	}
	v.start()
	v.ready(ctx)
	for _, how := range []string{"no restart", "killed", "stopped"} {
		s := newShop(v.url())
		for _, request := range []struct {
			method, path string
			body         map[string]any
		}{
			{http.MethodPost, "/api/components/Orders/instances", map[string]any{"key": "posted:" + how}},
			{http.MethodPost, "/api/components/Orders/instances", map[string]any{"key": "got:" + how, "orGet": true}},
			{http.MethodPut, "/api/components/Orders/keys/put:" + how, map[string]any{}},
		} {
			request.body["machineName"] = "Parcel" // which ends by itself
			request.body["context"] = map[string]any{"orderId": how}
			id := fmt.Sprint("create-", request.method, request.body["key"], "-", how)
			first, err := s.ask(ctx, request.method, request.path, id, request.body)
			if err != nil {
				t.Fatal(err)
			}
			ended := func() string {
				out, err := s.ask(ctx, http.MethodGet, "/api/instances/"+first.InstanceID, "", nil)
				if err != nil {
					t.Fatal(err)
				}
				return out.CurrentState
			}
			waitFor(t, "the instance has ended", func() bool { return ended() == "Gone" })
			restarts[how]()
			if how != "no restart" {
				v.start()
				v.ready(ctx)
			}
			again, err := s.ask(ctx, request.method, request.path, id, request.body)
			if err != nil {
				t.Fatal(err)
			}
			if again.InstanceID != first.InstanceID || !again.Repeated {
				t.Errorf("%s: %s %s again gave %+v, want the instance of %+v", how, request.method, request.path, again, first)
			}
			other, err := s.ask(ctx, request.method, request.path, id+"-other", request.body)
			if err != nil {
				t.Fatal(err)
			}
			if other.InstanceID == first.InstanceID || other.Repeated {
				t.Errorf("%s: another %s %s gave %+v", how, request.method, request.path, other)
			}
			if again, err = s.ask(ctx, request.method, request.path, id, request.body); err != nil || again.InstanceID != first.InstanceID {
				t.Errorf("%s: %s %s again, now that another has the key, gave %+v, %v", how, request.method, request.path, again, err)
			}
		}
	}
}
