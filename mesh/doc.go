// Package mesh is what connects runtimes, dashboards and bridges. Its core is
// pure: messages, the directory that knows the instances of all runtimes, and the
// answers that a runtime gives to keep it right. That does no I/O, starts no
// goroutine and reads no clock; what does stands around it.
//
// # The way of a change
//
// A runtime numbers what changes one of its instances 1, 2, 3 … in the same
// step that makes it visible, and publishes it as a [Notice]. A [Directory]
// takes it in by [Directory.Apply], its one way to change, and answers queries
// from what it holds: [Directory.List], [Directory.Get], [Directory.Components],
// [Directory.Runtimes]. What it wants to ask comes from [Directory.Tick]; a
// runtime answers with [AnswerRepair] and [AnswerPage] from a [Source].
//
// The files in the order of the data: message.go and row.go have the messages,
// wire.go and encode.go how they are written, decode.go, decodebinary.go, valid.go
// and limits.go what is believed of them, directory.go and presence.go
// who is there, member.go what is accounted for, heal.go and reading.go how rows
// change, ended.go and tombs.go how they go, ask.go what is asked, table.go how
// rows are held, exact.go, population.go, filter.go and query.go what can be
// asked of a directory, source.go and answer.go the runtime's side.
//
// Around it: node.go, nodeconfig.go and bus.go have the bus, attach.go, publish.go
// and command.go a runtime on it, discover.go who is there, view.go, backlog.go and
// echo.go a directory that is kept; client.go, members.go and scatter.go reach instances, dispatch.go
// and deadletter.go take effects to other components.
//
// # What is guaranteed
//
// The bus may lose, double, delay and reorder whatever it carries, runtimes may
// restart and be taken over, at any moment. Still:
//
//   - Exact means exact. When a directory says that it is exact about a
//     runtime, the live rows that it shows are those that the runtime had after
//     one of its notices, and nothing that the runtime did more than three
//     seconds, and the delay of the bus, ago is missing. Else the directory says
//     since when it is not exact, and why. A view that lags behind its node by
//     more than three seconds is not exact.
//   - It heals. Whatever was lost, once messages get through again, a directory
//     is exact within 2.5 seconds of the next beacon if it misses single
//     notices, and within n / 100,000 seconds more if it has to read n
//     instances.
//   - Nothing goes back. What is shown of an instance is never replaced by
//     something older, and what has ended does not come back to life, but for a
//     later instance of the same id.
//   - Runtimes do not disturb each other. Rows are kept per runtime, also where
//     two of one component have the same ids.
//   - Memory is bounded, whatever is sent: see [Limits]. What does not fit is
//     left out, and the directory says that it is not exact.
//
// docs/wire-internal.md has the messages as they go over the bus, docs/healing.md
// the rules that this rests on. A simulation in the tests
// of this package plays random and all short runs against them, and shows for
// each rule that something breaks without it.
//
// # What is not
//
//   - Between two notices of one commit a directory may show the first alone.
//   - Who can publish on the bus can pretend to be a runtime. Messages that
//     contradict what is known of a runtime are dropped and counted, no more;
//     keeping strangers out is the task of the bus.
//   - An end that was not seen is shown as [Vanished], without how it came.
//   - Ended instances and runtimes that are gone are kept for a while only,
//     and only so many.
//   - Times that others sent are for people to read. They order nothing.
package mesh
