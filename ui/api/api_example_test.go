package api_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui/access"
	"github.com/fsmesh/fsmesh/ui/api"
)

// An API over a mesh, behind a guard that asks for a token.
func Example() {
	ctx := context.Background()
	quiet := slog.New(slog.DiscardHandler)
	bus, err := mesh.Connect(ctx, "memory", mesh.BusOptions{Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer bus.Close(ctx)
	view, err := mesh.Watch(ctx, bus, mesh.ViewOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer view.Close(ctx)
	a, err := api.New(ctx, api.Config{Commands: mesh.NewClient(bus, mesh.ClientOptions{}), View: view, Notices: bus, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	guard, err := access.New(access.Config{Token: "a token of some length", Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(guard.Wrap(a))
	defer server.Close()

	for _, token := range []string{"", "a token of some length"} {
		r, err := http.NewRequest("GET", server.URL+"/api/instances", nil)
		if err != nil {
			log.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			log.Fatal(err)
		}
		res.Body.Close()
		if fmt.Print(res.StatusCode, " "); token == "" {
			body = []byte("no token\n")
		}
		fmt.Print(string(body))
	}
	// Output:
	// 401 no token
	// 200 {"instances":[]}
}
