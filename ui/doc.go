// Package ui serves pages that show a runtime and act on it.
//
// A Dashboard is an http.Handler. All of its pages lie side by side and link
// to each other relatively, so it works below any prefix, behind any proxy:
//
//	pages, err := ui.New(ui.Config{Runtime: rt})
//	…
//	mux.Handle("/fleet/", http.StripPrefix("/fleet", pages))
//
// A request goes through guard.go (Host, origin, size, headers) to a handler
// in the file of its page, which makes a view: a plain value with all that the
// page shows. A templ component of the same name turns it into HTML; components
// decide nothing. Names of machines, states and instances are free text: they
// travel in query parameters, and templ escapes them where they are shown.
//
// Pages are complete without scripts: all that acts is a form. A script, if
// the browser runs it, asks for the same page once a second and patches the
// parts that are marked as live.
//
// # What it does not do
//
// There are no users: whoever reaches the pages may do everything. By itself
// the handler refuses posts that come from other sites, and checks the Host
// only if it is told to (Config.CheckHost). Listening where others can reach
// it is the caller's decision.
//
//go:generate go tool -modfile=../tools.mod templ generate
package ui
