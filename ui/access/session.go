package access

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// CookieName is that of the session's cookie.
const CookieName = "fsmesh_session"

// maxSessions bounds those that are open; a new one ends the one that would end
// first.
const maxSessions = 1000

// sessions are kept by hash: what is in memory is no cookie.
type sessions struct {
	mu     sync.Mutex // guards byHash
	byHash map[[sha256.Size]byte]time.Time
}

// begin returns the secret of a new session.
func (s *sessions) begin(now time.Time, age time.Duration) string {
	secret := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byHash) >= maxSessions {
		var first [sha256.Size]byte
		var at time.Time
		for h, end := range s.byHash {
			if at.IsZero() || end.Before(at) {
				first, at = h, end
			}
		}
		delete(s.byHash, first)
	}
	s.byHash[sha256.Sum256([]byte(secret))] = now.Add(age)
	return secret
}

func (s *sessions) valid(secret string, now time.Time) bool {
	h := sha256.Sum256([]byte(secret))
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.byHash[h]
	if ok && !now.Before(end) {
		delete(s.byHash, h)
		return false
	}
	return ok
}

func (s *sessions) end(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byHash, sha256.Sum256([]byte(secret)))
}

const (
	// maxAttempts wrong passwords in a row are let through from one address;
	// then one is every attemptEvery.
	maxAttempts  = 10
	attemptEvery = 5 * time.Second
	// maxAddresses bounds the addresses that are remembered.
	maxAddresses = 10_000
)

// attempts counts wrong passwords by address.
type attempts struct {
	mu sync.Mutex // guards of
	of map[string]*attempt
}

type attempt struct {
	wrong int
	last  time.Time
}

// allowed reports whether an address may try now, and counts the try as wrong
// until right says otherwise.
func (a *attempts) allowed(address string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.of[address]
	if t == nil {
		if len(a.of) >= maxAddresses {
			clear(a.of)
		}
		t = &attempt{}
		a.of[address] = t
	}
	if t.wrong >= maxAttempts && now.Sub(t.last) < attemptEvery {
		return false
	}
	t.wrong++
	t.last = now
	return true
}

func (a *attempts) right(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, address)
}
