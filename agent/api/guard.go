package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// MinTokenBytes is the shortest token that is taken. Guessing is not slowed
// down for who guesses right, or strangers could lock a device's owner out; so
// a token must be too long to be guessed.
const MinTokenBytes = 16

// guard decides who is answered.
type guard struct {
	token   func() ([]byte, error) // nil: none is needed
	anyHost bool
	hosts   []string
	origins []string
	cross   *http.CrossOriginProtection
	guesses *guesses
	log     *slog.Logger

	refused [len(refusals)]atomic.Uint64
	said    atomic.Int64 // when the log last told that the token cannot be had, in Unix seconds
}

// The reasons for which the guard refuses.
const (
	refusedHost = iota
	refusedOrigin
	refusedToken
	refusedGuess
)

// refusals are their names in metrics.
var refusals = [...]string{"host", "origin", "token", "guess"}

func newGuard(o Options) (*guard, error) {
	g := &guard{
		token: o.Token, anyHost: o.Token != nil || o.ClientCerts,
		cross: http.NewCrossOriginProtection(), guesses: newGuesses(), log: o.Log,
	}
	for _, h := range o.Hosts {
		g.hosts = append(g.hosts, hostName(h))
	}
	for _, origin := range o.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("%q is no origin: write it as https://panel.example.com", origin)
		}
		origin = strings.ToLower(u.Scheme + "://" + u.Host)
		if err := g.cross.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
		g.origins = append(g.origins, origin)
	}
	return g, nil
}

// check tells what is wrong with a request, nil when it may pass. open: no
// token is needed for it.
func (g *guard) check(r *http.Request, open bool) *problem {
	if !g.anyHost && !g.knows(r.Host) {
		g.refused[refusedHost].Add(1)
		return wrong(http.StatusForbidden, "this server is not known as %.80q: use localhost, or add the name to api.allowed_hosts", r.Host)
	}
	if err := g.foreign(r); err != nil {
		g.refused[refusedOrigin].Add(1)
		return wrong(http.StatusForbidden, "a page of another origin asked for it: add its origin to api.allowed_origins if you trust it")
	}
	if open || g.token == nil {
		return nil
	}
	return g.authorize(r)
}

// knows tells whether the server goes by that name. A page of a stranger can
// have its own name point to 127.0.0.1, and a browser sends that name.
func (g *guard) knows(host string) bool {
	name := hostName(host)
	if name == "localhost" || slices.Contains(g.hosts, name) {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.IsLoopback()
}

// hostName is the name in host:port, in the form that two of the same have.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// foreign finds requests that a browser makes for another origin's page. Those
// that change something net/http knows how to find. The others could only be
// looked at in vain, but a picture costs work, so they are refused too, unless
// somebody follows a link.
func (g *guard) foreign(r *http.Request) error {
	if err := g.cross.Check(r); err != nil {
		return err
	}
	site := r.Header.Get("Sec-Fetch-Site")
	if (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate" && !g.allowed(r.Header.Get("Origin")) {
		return http.ErrNotSupported
	}
	return nil
}

// allowed tells whether browsers may let pages of this origin call.
func (g *guard) allowed(origin string) bool {
	return origin != "" && slices.Contains(g.origins, strings.ToLower(origin))
}

// share tells a browser that the origin's page may read the answer, and answers
// for a request that the browser sends ahead to ask for it (true). Without
// allowed origins it does nothing.
func (g *guard) share(w http.ResponseWriter, r *http.Request) bool {
	if len(g.origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !g.allowed(origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Egret-Prediction")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600")
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

func (g *guard) authorize(r *http.Request) *problem {
	scheme, shown, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		g.refused[refusedToken].Add(1)
		return wrong(http.StatusUnauthorized, "a token is needed: send the header Authorization: Bearer and the token")
	}
	token, err := g.token()
	token = bytes.TrimSpace(token)
	if err == nil && len(token) < MinTokenBytes {
		err = fmt.Errorf("it has %d bytes: make one of %d at least, such as by `openssl rand -hex 32`", len(token), MinTokenBytes)
	}
	if err != nil {
		g.say(err)
		return later(http.StatusServiceUnavailable, 10, "the device cannot read its token: see the agent's log")
	}
	if SameToken(strings.TrimSpace(shown), token) {
		return nil
	}
	if !g.guesses.allow(client(r.RemoteAddr), time.Now()) {
		g.refused[refusedGuess].Add(1)
		return later(http.StatusTooManyRequests, int(guessEvery/time.Second), "too many wrong tokens came from this address")
	}
	g.refused[refusedToken].Add(1)
	g.log.Warn("a wrong token was shown", "remote", r.RemoteAddr)
	return wrong(http.StatusUnauthorized, "the token is not the right one")
}

// SameToken compares in a time that tells nothing of the token, its length
// included.
func SameToken(shown string, token []byte) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256(token)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// say logs once a minute why there is no token.
func (g *guard) say(err error) {
	now := time.Now().Unix()
	if last := g.said.Load(); now-last >= 60 && g.said.CompareAndSwap(last, now) {
		g.log.Error("nobody can be let in: the token cannot be read", "error", err)
	}
}
