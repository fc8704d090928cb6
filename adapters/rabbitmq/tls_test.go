package rabbitmq_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
)

// hostsOverTLS connects over TLS, to virtual hosts, which are brokers of their own.
func hostsOverTLS(t *testing.T, server *bridgetest.Server) {
	if !server.Own {
		t.Log("the server is not the test's own: it is given no virtual hosts")
		return
	}
	// All at once: the tool takes long to start.
	server.RabbitMQCtl(t, "eval", `rabbit_vhost:add(<<"shop/2">>, <<"guest">>), ok = rabbit_auth_backend_internal:add_user(<<"bridge">>, <<"pass-word">>, <<"guest">>),
		ok = rabbit_auth_backend_internal:set_permissions(<<"bridge">>, <<"shop/2">>, <<".*">>, <<".*">>, <<".*">>, <<"guest">>), ok.`)
	addr, roots := bridgetest.TLS(t, server.Addr)
	url := "amqps://bridge:pass-word@" + addr
	trust := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	for what, bad := range map[string]struct {
		url string
		tls *tls.Config
	}{"a certificate that nobody vouches for": {url + "/shop%2F2", nil}, "a virtual host that it may not use": {url, trust}, "one that there is not": {url + "/nope", trust}} {
		b, err := rabbitmq.Open(t.Context(), bad.url, rabbitmq.Options{TLS: bad.tls, Logger: quiet()})
		if err == nil {
			_ = b.Close(t.Context())
			t.Errorf("%s: connected", what)
		} else if strings.Contains(err.Error(), "pass-word") {
			t.Errorf("%s: the password is in %q", what, err)
		}
	}
	b, other := open(t, url+"/shop%2F2", rabbitmq.Options{TLS: trust}), open(t, server.URL, rabbitmq.Options{})
	if b.Identity() == other.Identity() || !strings.HasSuffix(b.Identity(), " shop/2") {
		t.Errorf("virtual hosts are %q and %q, want two", b.Identity(), other.Identity())
	}
	here, there := make(chan string, 10), make(chan string, 10)
	for broker, ch := range map[*rabbitmq.Broker]chan string{b: here, other: there} {
		if err := broker.Subscribe(t.Context(), bridge.Subscription{Channels: []string{"x"}}, func(m *bridge.Message) {
			ch <- string(m.Body)
			m.Done(nil)
		}); err != nil {
			t.Fatal(err)
		}
	}
	for broker, text := range map[*rabbitmq.Broker]string{b: "one", other: "two"} {
		if n, err := broker.Publish(t.Context(), []bridge.Frame{{Channel: "x", Body: []byte(text)}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := <-here + <-there; got != "onetwo" || len(here)+len(there) > 0 {
		t.Errorf("%q came, want one message in each virtual host", got)
	}
}
