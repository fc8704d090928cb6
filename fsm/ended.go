package fsm

import "sync"

// An endedSet remembers the last instances that ended, so that they can still
// be looked up.
type endedSet struct {
	most   int
	forget func(*Instance)
	mu     sync.RWMutex // guards all below
	byID   map[string]*slot
	oldest queue[*slot]
}

func (e *endedSet) add(s *slot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.byID[s.id] = s
	e.oldest.push(s)
	for e.oldest.len() > e.most {
		old := e.oldest.pop()
		if e.byID[old.id] == old {
			delete(e.byID, old.id)
			e.forget(old.cur.Load())
		}
	}
}

func (e *endedSet) get(id string) *slot {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.byID[id]
}
