// Package browsertest drives a real Chromium by mouse and keyboard, to prove
// that the pages of package ui work for people.
//
// A Browser is one process; a Page is one window of it with cookies of its own.
// What a Page does goes through the debugging protocol as input events: a click
// is a mouse event at a place, and goes to what is on top there; text comes
// letter by letter or is pasted. What it reads is the text as it is rendered.
// Nothing here calls the page's functions, dispatches events to elements, or
// asks the server on its own.
//
// A Page keeps its first error and does nothing after it, so that a test is a
// list of what somebody does, with one question at its end:
//
//	p := b.Page(browsertest.Look{Width: 1440})
//	p.Open(site)
//	p.Click("a", "Instances")
//	p.Wait("h1", "Instances")
//	if err := p.Err(); err != nil { … }
//
// This is a module of its own: who uses fsmesh has no browser's protocol among
// the dependencies.
package browsertest
