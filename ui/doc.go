// Package ui serves pages that show the instances of a mesh and act on them.
//
// A Dashboard is an http.Handler. It knows what a mesh client tells it and no
// more, so it is the same for runtimes of its own process and of many others.
// All of its pages lie side by side and link to each other relatively, so it
// works below any prefix, behind any proxy:
//
//	pages, err := ui.New(ctx, ui.Config{View: view, Client: client, Bus: bus})
//	…
//	mux.Handle("/fleet/", http.StripPrefix("/fleet", pages))
//
// # The way of a page
//
// A request goes through guard.go (origin, size, headers) to the function
// of its page, in the file of its name. That reads the directory once
// (fleet.go, definitions.go) and makes a view: a plain value with all that the
// page shows. A templ component of the same name turns it into HTML; components
// decide nothing. Names of machines, states and instances are free text: they
// travel in query parameters, and templ escapes them where they are shown.
//
// Commands are posts of forms. They go by the client, and the answer is awaited
// in the view for a second, so that the page after the post shows what it did;
// where it does not yet, it says so (command.go).
//
// Pages are complete without scripts. A script, if the browser runs it, listens
// to a stream of server-sent events (stream.go) with the parts of the page that
// have changed (part.go). The hub (hub.go) makes them: once for each page,
// however many look at it, at most ten times a second. Who reads too slowly is
// dropped, and comes back to a fresh page.
//
// # What it does not do
//
// There are no users: whoever reaches the pages may do everything. By itself
// the handler refuses posts that come from other sites, and bodies that are too
// large or no form. Who may reach it, and under which names, is looked at by what
// stands before it: package ui/access, or the application's own authentication.
//
// What ended is shown for as long as the view keeps it. Recent activity and
// failures are those since the pages began to watch, as far as they were not
// lost on the way.
//
//go:generate go tool -modfile=../tools.mod templ generate
package ui
