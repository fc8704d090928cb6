package browsertest

import (
	"context"
	"encoding/json"
)

// A Finding is what axe-core has against a page.
type Finding struct {
	// ID is its rule, Impact is minor, moderate, serious or critical.
	ID, Impact, Help string
	// Where is the markup of the elements.
	Where []string
}

// Axe runs axe-core, whose source is given, over the page as it is.
func (p *Page) Axe(source string) (found []Finding) {
	p.run("load axe", func(ctx context.Context) error {
		_, err := evaluate(ctx, source+"; 0")
		return err
	})
	p.run("run axe", func(ctx context.Context) error {
		raw, err := evaluate(ctx, `axe.run({ resultTypes: ["violations"] }).then(r => r.violations.map(v => ({ ID: v.id, Impact: v.impact, Help: v.help, Where: v.nodes.map(n => n.html + " " + n.failureSummary) })))`)
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, &found)
	})
	return found
}
