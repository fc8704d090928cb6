package mesh

import "fmt"

// unsound says where a directory's indexes and counts disagree with its rows,
// "" if they do not.
func unsound(d *Directory) string {
	bytes := int64(0)
	for _, m := range d.list {
		bytes += m.table.bytes + int64(len(m.definition))
		in, ended, aside, weight := 0, 0, 0, int64(0)
		for _, mc := range m.table.machines {
			held := 0
			for si, p := range mc.states {
				over, inAside := 0, 0
				for i, e := range p.entries {
					if m.table.byID[e.id] != e || int(e.stateAt) != i || int(e.state) != si || e.machine != mc {
						return fmt.Sprintf("%s: the entry of %q is not where it says", m.RuntimeID, e.id)
					}
					if m.table.places[m.table.from(e.order)].e != e {
						return fmt.Sprintf("%s: the entry of %q has no place", m.RuntimeID, e.id)
					}
					if e.over() {
						over++
					}
					if e.status == quarantined {
						inAside++
					}
					if e.over() != (e.end != 0) {
						return fmt.Sprintf("%s: %q is over: %v, its end is %d", m.RuntimeID, e.id, e.over(), e.end)
					}
					weight += e.weight()
				}
				if p.held != inAside {
					return fmt.Sprintf("%s: %d quarantined in %s, counted %d", m.RuntimeID, inAside, p.name, p.held)
				}
				if p.ended != over {
					return fmt.Sprintf("%s: %d ended in %s, counted %d", m.RuntimeID, over, p.name, p.ended)
				}
				held += over
				aside += inAside
				in += len(p.entries)
			}
			if mc.ended.held != held {
				return fmt.Sprintf("%s: %d of %s are over, counted %d", m.RuntimeID, held, mc.name, mc.ended.held)
			}
			ended += held
		}
		if in != len(m.table.byID) || ended != m.table.ended || weight != m.table.bytes || len(m.table.places)-m.table.holes != in {
			return fmt.Sprintf("%s: %d rows, %d ended, %d bytes; counted %d, %d, %d, %d places", m.RuntimeID, in, ended, weight, len(m.table.byID), m.table.ended, m.table.bytes, len(m.table.places)-m.table.holes)
		}
		if aside != m.table.held {
			return fmt.Sprintf("%s: %d are quarantined, counted %d", m.RuntimeID, aside, m.table.held)
		}
		if !m.seen.Valid() || m.floor > m.known || m.known > MaxSeq {
			return fmt.Sprintf("%s: floor %d, known %d, seen %v", m.RuntimeID, m.floor, m.known, m.seen)
		}
	}
	if bytes != d.bytes {
		return fmt.Sprintf("%d bytes, counted %d", bytes, d.bytes)
	}
	return ""
}
