package api

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// guessesAtOnce are answered and logged one by one; after that, one every
	// guessEvery is.
	guessesAtOnce = 10
	guessEvery    = 6 * time.Second
	// maxGuessers bounds the memory: who comes when it is full is treated as one
	// with all others that do.
	maxGuessers = 1024
)

// guesses counts wrong tokens by the address that they come from.
type guesses struct {
	mu sync.Mutex // guards all following fields
	// by is when each address has paid off what it guessed.
	by    map[netip.Addr]time.Time
	swept time.Time // when those that have paid were last forgotten
}

func newGuesses() *guesses { return &guesses{by: map[netip.Addr]time.Time{}} }

// allow tells whether another wrong token from there is answered as one.
func (g *guesses) allow(from netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.by[from]; !known && len(g.by) >= maxGuessers {
		g.forget(now)
		if len(g.by) >= maxGuessers {
			from = netip.Addr{}
		}
	}
	paid := g.by[from]
	if paid.Before(now) {
		paid = now
	}
	if paid.Sub(now) > (guessesAtOnce-1)*guessEvery {
		return false
	}
	g.by[from] = paid.Add(guessEvery)
	return true
}

// forget drops those that have paid, once a second: it looks at all.
func (g *guesses) forget(now time.Time) {
	if now.Sub(g.swept) < time.Second {
		return
	}
	g.swept = now
	for from, paid := range g.by {
		if !paid.After(now) {
			delete(g.by, from)
		}
	}
}
