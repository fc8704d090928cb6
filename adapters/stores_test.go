package adapters_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/mesh"
)

// TestStoreWithoutJetStream: a server that keeps nothing is named in the error.
func TestStoreWithoutJetStream(t *testing.T) {
	node, err := mesh.Start(t.Context(), mesh.Config{Listen: "127.0.0.1:0", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Stop(context.Background()) })
	s, err := adapters.Stores(t.Context(), "jetstream:"+node.URL(), adapters.StoreOptions{Logger: quiet()})
	if err == nil {
		_ = s.Close()
		t.Fatal("a store opens on a server that keeps nothing")
	}
	if want := "store at " + node.URL() + ": "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error is %q, want it to begin with %q", err, want)
	}
}
