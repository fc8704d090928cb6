// Command custom-dashboard is an application with a mux and users of its own, in
// which the pages and the API of its fleet are mounted below /staff/fleet/.
//
//	SHOP_STAFF_PASSWORD=… go run ./examples/custom-dashboard
//
// Then http://127.0.0.1:8080/ is the shop, and /staff/fleet/ is for its staff.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui"
	"github.com/fsmesh/fsmesh/ui/api"
)

//go:embed tickets.yaml
var definition []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	password := os.Getenv("SHOP_STAFF_PASSWORD")
	if password == "" {
		password = rand.Text()
		fmt.Printf("the password of the staff is %s\n", password)
	}
	l, err := net.Listen("tcp", cmp.Or(os.Getenv("SHOP_LISTEN"), "127.0.0.1:8080"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/staff/fleet/\n", l.Addr())
	if err := run(ctx, l, password); err != nil {
		log.Fatal(err)
	}
}

// run is the application, until the context ends.
func run(ctx context.Context, l net.Listener, password string) error {
	after := context.WithoutCancel(ctx) // what ends things has its own time
	bus, err := mesh.Connect(ctx, "memory:shop", mesh.BusOptions{})
	if err != nil {
		return err
	}
	defer bus.Close(after)
	tickets, err := hosting(ctx)
	if err != nil {
		return err
	}
	defer tickets.Stop(after)
	attached, err := mesh.Attach(ctx, tickets, bus, mesh.AttachOptions{})
	if err != nil {
		return err
	}
	defer attached.Close(after)

	view, err := mesh.Watch(ctx, bus, mesh.ViewOptions{})
	if err != nil {
		return err
	}
	defer view.Close(after)
	metrics := api.NewMetrics()
	client := mesh.NewClient(bus, mesh.ClientOptions{Observe: metrics.Called})
	pages, err := ui.New(ctx, ui.Config{View: view, Client: client, Bus: bus, Metrics: metrics})
	if err != nil {
		return err
	}
	defer pages.Close()
	rest, err := api.New(ctx, api.Config{Commands: client, View: view, Notices: bus, Metrics: metrics})
	if err != nil {
		return err
	}
	defer rest.Close()

	fleet := http.NewServeMux()
	fleet.Handle("/", pages)
	for _, path := range api.Paths() {
		fleet.Handle(path, rest)
	}
	shop := http.NewServeMux()
	shop.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Welcome to the shop.")
	})
	shop.Handle("/staff/fleet/", staffOnly(password, http.StripPrefix("/staff/fleet", fleet)))
	return ui.Serve(ctx, l, shop, pages.EndStreams, rest.EndStreams)
}

// hosting starts a runtime of the component.
func hosting(ctx context.Context) (*fsm.Runtime, error) {
	c, _, err := fsm.ParseComponent(definition, fsm.FileName("tickets.yaml"))
	if err != nil {
		return nil, err
	}
	rt, err := fsm.NewRuntime(fsm.Config{Components: []*fsm.Component{c}})
	if err != nil {
		return nil, err
	}
	return rt, rt.Start(ctx)
}

// staffOnly stands for the authentication that an application has already.
func staffOnly(password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(given), []byte(password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="staff"`)
			http.Error(w, "for staff only", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
