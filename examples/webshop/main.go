// Command webshop is an HTTP service whose orders are rows of a database, each with
// an instance that knows what may happen to it next.
//
//	go run . -listen 127.0.0.1:8080
//	curl -d '{"customer":"Ada","amount":12.5}' -H 'Content-Type: application/json' 127.0.0.1:8080/orders
//	curl -X POST 127.0.0.1:8080/orders/1/PLACE
//	curl 127.0.0.1:8080/orders/1
//
// Kill it and start it again: every order is in its state. Delete the folder of
// the store, too: the rows say where each order was.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/fsmesh/fsmesh/ui"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	database := flag.String("db", "webshop.db", "file of the database")
	store := flag.String("store", "jetstream:webshop-instances", "where instances are kept")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *database, *store); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, database, store string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer l.Close()
	s, err := openShop(ctx, database, store)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/orders\n", l.Addr())
	if err := ui.Serve(ctx, l, s.routes()); err != nil {
		log.Print(err)
	}
	return s.close()
}
