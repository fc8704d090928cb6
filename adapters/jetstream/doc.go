// Package jetstream keeps the logs of runtimes in a NATS JetStream (fsm.Store):
// in a folder with a server inside the process (OpenFolder), or in a JetStream
// that a mesh node or a server elsewhere holds (New).
//
// # Layout
//
// The stream FSM_LOG has a subject for each name, fsm.log.<name>. A message is a
// frame: all records of one group commit, packed with s2, with a header that
// names the log, the claim under which it was written, its number (1, 2, 3 …
// without a gap), the records so far, and a checksum. Each record names the
// position of the one before of its instance, and every 64th those of the last
// 64, so a history is read without a scan.
//
// The stream FSM_SNAP keeps the last message of each subject: checkpoints of the
// 1,024 buckets that the instances of a log are divided into, what they cover,
// the last acknowledged position, the log's id, and a lease where several
// processes reach it.
//
// # The way of a batch
//
// Append checks the versions in memory, makes a frame, publishes it with the
// position of the last one as expectation, and waits for the answer; one frame
// is on its way at a time. If the answer does not come, the last message of the
// log tells whether the frame was stored; if it was not, an empty frame in its
// place makes sure that it comes too late. If that cannot be told either,
// fsm.ErrUnknownOutcome is returned, and nothing else is appended before it is
// known.
//
// # Guarantees
//
// Safety of the log rests on one thing: the server stores a frame only if the
// frame before it is the one that its writer knows. A claim is an empty frame
// with the next epoch, so the next frame of whoever wrote before is refused
// (fsm.ErrFenced). Leases, locks and checkpoints are not needed for that.
//
// What is acknowledged survives the end of the process always. A power cut it
// survives with SyncAlways, the default; with SyncEvery it may cost what was
// acknowledged in the last interval, and with SyncNone what the operating system
// had not written yet. On a JetStream that somebody else runs, that server's
// sync_interval and its replicas decide.
//
// Damage is noticed: a start, a history or Verify fails with a *DamageError that
// names the positions, rather than to leave something out. What is lost at the
// end of the log is noticed up to the last acknowledged position that was
// written down, once a second and at Close: what is younger may be lost to
// damage without being missed. Backups are the cure; none of it is repaired.
//
// Not promised: more than the disk or the server keep; that an append succeeds
// while the disk is nearly full (ErrStoreFull: nothing is stored, and it goes on
// by itself once there is room); exact retention: only the beginning of the log
// is dropped, and only as far as no log of the stream needs it.
package jetstream
