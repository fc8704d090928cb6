package main

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/spf13/cobra"
)

// The demo may be left on: it keeps an hour. Other runtimes lose nothing that
// nobody asked to lose.
func TestDemoKeepsAnHour(t *testing.T) {
	t.Parallel()
	p := &program{}
	for want, c := range map[time.Duration]*cobra.Command{time.Hour: p.demoCommand(), 0: p.serveCommand()} {
		for _, name := range []string{"keep-ended", "keep-records"} {
			if got := c.Flags().Lookup(name).Value.(*keeping).all; got != want {
				t.Errorf("%s --%s: %v, want %v", c.Name(), name, got, want)
			}
		}
	}
}

// What is said of a machine by name holds for it, that of its component before that
// of all machines so called, and the time for all for the rest.
func TestRetentionOfMachines(t *testing.T) {
	t.Parallel()
	shop := &fsm.Component{Name: "Shop", StateMachines: []fsm.Machine{{Name: "Order"}, {Name: "Cart"}, {Name: "Audit"}}}
	far := &fsm.Component{Name: "Far", StateMachines: []fsm.Machine{{Name: "Order"}}}
	type of = map[string]fsm.Retention
	for _, c := range []struct {
		flags           []string
		all             fsm.Retention
		ofShop, ofOther of
	}{
		{nil, fsm.Retention{}, of{}, of{}},
		{[]string{"--keep-ended=1h", "--keep-records=2h"}, fsm.Retention{Ended: time.Hour, Records: 2 * time.Hour}, of{}, of{}},
		{
			[]string{"--keep-ended=1h", "--keep-records=2h", "--keep-ended=Order=24h", "--keep-records=Shop/Cart=0", "--keep-ended=Far/Order=5m"},
			fsm.Retention{Ended: time.Hour, Records: 2 * time.Hour},
			of{"Shop/Order": {Ended: 24 * time.Hour, Records: 2 * time.Hour}, "Shop/Cart": {Ended: time.Hour}},
			of{"Far/Order": {Ended: 5 * time.Minute, Records: 2 * time.Hour}},
		},
	} {
		var s storage
		cmd := &cobra.Command{}
		s.flags(cmd)
		if err := cmd.ParseFlags(c.flags); err != nil {
			t.Errorf("%q: %v", c.flags, err)
			continue
		}
		if err := s.checkMachines(shop, far); err != nil {
			t.Errorf("%q: %v", c.flags, err)
		}
		if got := s.retention(); got != c.all {
			t.Errorf("%q: %+v for all, want %+v", c.flags, got, c.all)
		}
		for comp, want := range map[*fsm.Component]of{shop: c.ofShop, far: c.ofOther} {
			if got := s.retentionOf(comp); !maps.Equal(got, want) {
				t.Errorf("%q: %+v for the machines of %s, want %+v", c.flags, got, comp.Name, want)
			}
		}
	}
}

// What is wrong with a time is said with the flag, what was given and what would do.
func TestBadTimesToKeep(t *testing.T) {
	t.Parallel()
	shop := &fsm.Component{Name: "Shop", StateMachines: []fsm.Machine{{Name: "Order"}, {Name: "Cart"}}}
	for _, c := range []struct {
		flags []string
		want  []string // all of them are in the error
	}{
		{[]string{"--keep-ended=-1h"}, []string{"--keep-ended", "-1h", "less than 0"}},
		{[]string{"--keep-ended=Order=-1h"}, []string{"--keep-ended", "-1h", "less than 0"}},
		{[]string{"--keep-records=Order"}, []string{"--keep-records", "Order", "24h"}},
		{[]string{"--keep-records=Order=5"}, []string{"--keep-records", "5", "24h"}},
		{[]string{"--keep-records=Order="}, []string{"--keep-records", "24h"}},
		{[]string{"--keep-ended==1h"}, []string{"--keep-ended", "names no machine"}},
		{[]string{"--keep-ended=Order=1h", "--keep-ended=Order=2h"}, []string{"--keep-ended", "Order", "twice", "1h", "2h"}},
		{[]string{"--keep-ended=1h", "--keep-ended=2h"}, []string{"--keep-ended", "twice", "1h", "2h"}},
		{[]string{"--keep-ended=Ordre=1h"}, []string{"--keep-ended", "Ordre", "did you mean", "Order"}},
		{[]string{"--keep-records=Far/Order=1h"}, []string{"--keep-records", "Far/Order", "not served"}},
		{[]string{"--keep-records=Zebra=1h"}, []string{"--keep-records", "Zebra", "not served", "Order, Cart"}},
	} {
		var s storage
		cmd := &cobra.Command{}
		s.flags(cmd)
		err := cmd.ParseFlags(c.flags)
		if err == nil {
			err = s.checkMachines(shop)
		}
		if err == nil {
			t.Errorf("%q is taken", c.flags)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v, want it to say %q", c.flags, err, part)
			}
		}
	}
	// One machine by its name, and by its component's, too, is no contradiction.
	var s storage
	cmd := &cobra.Command{}
	s.flags(cmd)
	if err := cmd.ParseFlags([]string{"--keep-ended=Order=1h", "--keep-ended=Shop/Order=2h", "--keep-records=Order=1h"}); err != nil {
		t.Error(err)
	}
}
