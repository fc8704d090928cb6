// Package api is the JSON API of a mesh: what dashboards and scripts ask of it
// and tell it to do, over HTTP.
//
// An [API] knows the mesh by three small interfaces: [Commands] act, a [View]
// shows, [Notices] tell what happens. It has no pages, no credentials and no
// address of its own; package ui/access guards it.
//
// # The way of a request
//
// table.go has one row for each operation: its method, its path, what it takes,
// what it answers, and the function that does it. The router and the OpenAPI
// document at /api/openapi.json are made from these rows, so neither can have
// what the other lacks. A function reads the request (params.go, body.go,
// filter.go), asks the mesh (components.go, instances.go, commands.go,
// history.go, correlated.go, diagram.go, stream.go, letters.go), and writes its
// answer or returns an error. problem.go makes a problem of the error, with the
// status that codes.go has for its code.
//
// # What is guaranteed
//
//   - A command is answered with what happened or with why it did not. Where it
//     is not known what happened, the answer says so (no_answer), and the same
//     request with the same Idempotency-Key takes effect once.
//   - After a command the lists show what it did. Where the view has not got
//     there within a second, the answer says so: shown is false.
//   - A list without limit and cursor is whole. It is written as it is read,
//     and never held.
//   - The stream says when it has left something out.
//   - Numbers are passed on as they are written, whatever their size.
//
// # What is not
//
//   - Lists are what the view knows: /api/runtimes says of whom it is not exact.
//   - The stream tells of what happens while the API runs. It remembers some
//     thousand notices for those who come back, and nothing over a restart.
package api
