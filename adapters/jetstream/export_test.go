package jetstream

// Places is how many instances the store's open logs have in memory.
func Places(s *Store) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.logs {
		l.mu.RLock()
		for i := range l.index.parts {
			n += l.index.parts[i].places.n
		}
		l.mu.RUnlock()
	}
	return n
}
