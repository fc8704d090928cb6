// Package examples holds programs that use fsmesh, a folder each; webshop is a module
// of its own, as it needs a database. All of them,
// and the one in the README, are run by tests.
package examples
