package diagram

import "github.com/fsmesh/fsmesh/fsm"

// order is a machine with transitions of all types.
func order() *fsm.Machine {
	return &fsm.Machine{
		Name:         "Order",
		InitialState: "Draft",
		States: []fsm.State{
			{Name: "Draft", Type: "entry"},
			{Name: "Validated", Type: "regular"},
			{Name: "PaymentPending"},
			{Name: "Paid"},
			{Name: "Packing"},
			{Name: "Shipped"},
			{Name: "Delivered", Type: "final"},
			{Name: "Cancelled", Type: "final"},
			{Name: "Failed", Type: "error"},
		},
		Transitions: []fsm.Transition{
			{From: "Draft", To: "Draft", Event: "UPDATE_ITEMS"},
			{From: "Draft", To: "Draft", Event: "NOTE", Type: "internal"},
			{From: "Draft", To: "Validated", Event: "VALIDATE", Type: "triggerable"},
			{From: "Draft", To: "Cancelled", Event: "CANCEL"},
			{From: "Draft", To: "Cancelled", Event: "EXPIRE", Type: "timeout", TimeoutMs: 24 * 3600 * 1000},
			{From: "Validated", To: "PaymentPending", Event: "SUBMIT", Type: "inter_machine", TargetMachine: "Payment"},
			{From: "Validated", To: "Cancelled", Event: "CANCEL"},
			{From: "PaymentPending", To: "PaymentPending", Event: "RETRY_PAYMENT"},
			{From: "PaymentPending", To: "Paid", Event: "PAYMENT_CAPTURED", Type: "cross_component", TargetComponent: "CartFlow", TargetEvent: "CHECKED_OUT"},
			{From: "PaymentPending", To: "Cancelled", Event: "CANCEL"},
			{From: "PaymentPending", To: "Failed", Event: "PAYMENT_DECLINED"},
			{From: "PaymentPending", To: "Failed", Event: "PAYMENT_TIMEOUT", Type: "timeout", TimeoutMs: 5 * 60 * 1000},
			{From: "Paid", To: "Packing", Event: "PACK", Type: "auto", TimeoutMs: 1500},
			{From: "Packing", To: "Shipped", Event: "SHIP", Type: "inter_machine", TargetMachine: "Shipment"},
			{From: "Packing", To: "Failed", Event: "ABORT"},
			{From: "Shipped", To: "Shipped", Event: "TRACK"},
			{From: "Shipped", To: "Shipped", Event: "TRACK_AGAIN"},
			{From: "Shipped", To: "Delivered", Event: "DELIVER"},
			{From: "Shipped", To: "Failed", Event: "LOST_IN_TRANSIT", Type: "timeout", TimeoutMs: 21 * 24 * 3600 * 1000},
		},
	}
}

// door is small and goes round in a circle.
func door() *fsm.Machine {
	return &fsm.Machine{
		Name:         "Door",
		InitialState: "Closed",
		States:       []fsm.State{{Name: "Closed", Type: "entry"}, {Name: "Open"}},
		Transitions: []fsm.Transition{
			{From: "Closed", To: "Open", Event: "OPEN"},
			{From: "Open", To: "Closed", Event: "CLOSE"},
			{From: "Open", To: "Closed", Type: "auto", TimeoutMs: 30_000},
		},
	}
}

// faulty has about every fault that a definition can have, and names that
// mean something to the languages of diagrams.
func faulty() *fsm.Machine {
	return &fsm.Machine{
		Name:         `<Über> & "Co" --> \`,
		InitialState: "nowhere",
		States: []fsm.State{
			{Name: "", Type: "entry"},
			{Name: "a\nb\"c\\d", Type: "what?"},
			{Name: "twice"}, {Name: "twice", Type: "final"},
			{Name: "</text><script>alert(1)</script>", Type: "error"},
			{Name: "注文が支払われました 🚚", Type: "final"},
			{Name: "a very long name that no node of a diagram has the room for, so it is cut"},
			{Name: "\u202eright to left\u2069"},
			{Name: "bytes \xff\xfe and \x00\x1b"},
		},
		Transitions: []fsm.Transition{
			{From: "", To: "a\nb\"c\\d", Event: "--> s9 : x"},
			{From: "a\nb\"c\\d", To: "undeclared", Event: ""},
			{From: "undeclared", To: "twice", Event: "T", Type: "timeout"},
			{From: "twice", To: "</text><script>alert(1)</script>", Event: `"; %% &lt; #quot; \N \`, Type: "timeout", TimeoutMs: 1 << 62},
			{From: "twice", To: "注文が支払われました 🚚", Event: "出荷", Type: "inter_machine"},
			{From: "twice", To: "注文が支払われました 🚚", Event: "E", Type: "cross_component", TargetComponent: "]]>"},
			{From: "\u202eright to left\u2069", To: "bytes \xff\xfe and \x00\x1b", Event: "an event with a name that goes on and on and on", Type: "auto"},
			{From: "bytes \xff\xfe and \x00\x1b", To: "also undeclared", Event: "-->", Type: "internal"},
			{From: "also undeclared", To: "also undeclared", Event: "end note\n}", Type: "internal"},
		},
	}
}
