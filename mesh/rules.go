package mesh

// rules says which rules of docs/healing.md a directory leaves out. It is for
// the simulation, which shows that each of them is needed; the zero value, which
// is all that the package itself ever uses, leaves out none.
type rules struct {
	ApplyBelowFloor   bool // H8: what is at or below the floor is not ignored
	ApplyOlder        bool // H8: what is not newer than what is held is not ignored
	RowsRaiseNothing  bool // H8: rows and notices do not raise known
	TellsRaiseNothing bool // H8: beacons and answers do not raise known
	NoTombEvicted     bool // H9: early eviction leaves no tombstone
	NoTombUnknown     bool // H9: the end of an unknown instance leaves no tombstone
	TombsForever      bool // H9: tombstones stay below the floor
	CoverNothing      bool // H10: what a repair covers does not count as seen
	MarkNothing       bool // H10: a reading marks nothing
	MarkNewer         bool // H10: a reading marks rows newer than its asOf too
	MarkEnded         bool // H10: a reading removes ended rows that it did not name
	FloorByLast       bool // H6: a reading's asOf is that of its last page
	TakeAnyPage       bool // H6: a reply to another cursor is taken too
	TakeOlderPage     bool // H6: a page read before the reading began is taken too
	ExactSilent       bool // H11: exact without anything heard
	ExactBehind       bool // H11: exact whatever is missing
	NoRepairBeside    bool // H12: no repair while a reading runs
	RangesUnbounded   bool // H12: any number of ranges
	KeepOld           bool // H13: a higher epoch ends nothing
	HearOld           bool // H13: what an ended runtimeId sends is not ignored
	InheritAsNew      bool // H13: inherited rows keep their seq
	InheritAnyLog     bool // H13: another log inherits too
	TakeUnknown       bool // H13: an unknown runtimeId's notices introduce it
	NeverDiscover     bool // H13: an unknown runtimeId leads to no discover
	AskAtOnce         bool // H14: without 100 ms of lag
	AskAlways         bool // H14: more than one open repair
	NeverRepeat       bool // H14: an unanswered request is not repeated
	NoJitter          bool // H14: a reading after a takeover begins at once
}
