// Package examples holds programs that use fsmesh, a folder each. All of them,
// and the one in the README, are run by tests.
package examples
