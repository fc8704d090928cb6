package rabbitmq_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
)

// refusedConfirm has the queue of somebody else refuse what is published: that is
// counted, and published anew until the queue takes it.
func refusedConfirm(t *testing.T, server *bridgetest.Server) {
	bus, rt := counters(t)
	br := start(t, bus, server.URL)
	conn, err := amqp.Dial(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	q, err := ch.QueueDeclare("", false, true, true, false, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	if err == nil {
		err = ch.QueueBind(q.Name, "xcomponent.instance_created", rabbitmq.Exchange, false, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	const instances = 3
	want := map[string]bool{}
	for range instances {
		in, err := rt.Create(t.Context(), "Count", nil)
		if err != nil {
			t.Fatal(err)
		}
		want[in.ID()] = true
	}
	eventually(t, 60*time.Second, func() string {
		if st := br.Status(); st.Counters["broker_nacked"] == 0 {
			return fmt.Sprintf("no refused confirm is counted: %v", st.Counters)
		}
		return ""
	})
	eventually(t, 60*time.Second, func() string {
		for {
			d, ok, err := ch.Get(q.Name, true)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			var body struct {
				Data struct {
					Instance string `json:"instanceId"`
				} `json:"data"`
			}
			if err := json.Unmarshal(d.Body, &body); err != nil {
				t.Fatal(err)
			}
			delete(want, body.Data.Instance)
		}
		if len(want) > 0 {
			return fmt.Sprintf("%d of %d instances were not told anew: %v", len(want), instances, br.Status().Counters)
		}
		return ""
	})
	if n := br.Status().Counters["dropped_broker_away"]; n != 0 {
		t.Errorf("%d messages are given up, want none", n)
	}
}
