package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"
)

// Routed are the methods and paths of a server's own calls.
func Routed(s *Server) (all []string) {
	for _, rt := range s.routes() {
		for _, m := range rt.methods {
			all = append(all, m+" "+rt.path)
		}
	}
	return all
}

// What tests look into.
var (
	Overlay    = overlay
	NewGuesses = newGuesses
)

func (g *guesses) Allow(from netip.Addr, now time.Time) bool { return g.allow(from, now) }
func (g *guesses) Len() int                                  { return len(g.by) }

// Open is how many connections there are; Streams, how many streams.
func (s *Server) Open() int    { return s.conns.open() }
func (s *Server) Streams() int { return s.streams.taken() }

// Knows tells whether the server goes by that name.
func Knows(s *Server, host string) bool { return s.guard.knows(host) }

// ReadQuery reads a query as /api/predictions does.
func ReadQuery(query string) error {
	_, err := readQuery(&http.Request{URL: &url.URL{RawQuery: query}})
	return err
}

// StallAfter has readers of streams dropped after some seconds, until the test
// ends.
func StallAfter(t *testing.T, seconds int) {
	was := stallPatience
	stallPatience = time.Duration(seconds) * time.Second
	t.Cleanup(func() { stallPatience = was })
}

// HurryBodies has bodies come at once, until the test ends.
func HurryBodies(t *testing.T) {
	was := bodyPatience
	bodyPatience = 50 * time.Millisecond
	t.Cleanup(func() { bodyPatience = was })
}
