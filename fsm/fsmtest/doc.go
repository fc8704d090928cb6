// Package fsmtest holds what tests of the state machine runtime share: the
// suite that every store must pass (TestStore), stores that are slow, fail,
// count or can be cut off (SlowStore, FlakyStore, CountingStore,
// CuttableStore), and the runner of conformance scenarios (LoadScenarios, Run).
//
// It is for tests only; nothing that ships imports it.
package fsmtest
