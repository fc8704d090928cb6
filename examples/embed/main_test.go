package main

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	want := `Order "order:ORD-7" ignored SHIP in state Draft; accepted now: SUBMIT
1  INSTANCE_CREATED  Draft           {"amount":249.9}
2  SUBMIT            PaymentPending  {"amount":249.9}
3  PAYMENT_CAPTURED  Paid            {"amount":249.9,"payment":"PAY-7"}
4  SHIP              Shipped         {"amount":249.9,"confirmed":true,"payment":"PAY-7"}
`
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if shown := "    go run ./examples/embed\n\nprints\n\n    " + strings.ReplaceAll(strings.TrimSpace(want), "\n", "\n    ") + "\n"; !strings.Contains(string(readme), shown) {
		t.Errorf("README.md does not show:\n%s", shown)
	}
}
