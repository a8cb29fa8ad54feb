package api_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/agent/api"
)

func TestToken(t *testing.T) {
	s := serve(t, withToken, func(o *api.Options) { o.Loopback = false })
	const right = "Authorization: Bearer " + token
	for _, c := range []struct {
		name, path string
		headers    []string
		status     int
	}{
		{"none", "/api/status", nil, 401},
		{"right", "/api/status", []string{right}, 200},
		{"right by any name", "/api/status", []string{right, "Host: cam-7.example.com"}, 200},
		{"right in another case", "/api/status", []string{"Authorization: bEARER  " + token}, 200},
		{"wrong", "/api/status", []string{"Authorization: Bearer " + token[1:]}, 401},
		{"longer", "/api/status", []string{right + "0"}, 401},
		{"empty", "/api/status", []string{"Authorization: Bearer "}, 401},
		{"another scheme", "/api/status", []string{"Authorization: Basic " + token}, 401},
		{"in the query", "/api/status?token=" + token, nil, 401},
		{"metrics", "/metrics", nil, 401},
		{"readiness", "/readyz", nil, 401},
		{"serving", "/v1/models/a", nil, 401},
		{"serving, right", "/v1/models/a", []string{right}, 200},
		{"description", "/api/openapi.json", nil, 401},
		{"pictures", "/api/cameras/bird/snapshot.jpg", nil, 401},
		{"health", "/healthz", nil, 200},
		{"dashboard", "/", nil, 200},
		{"dashboard's script", "/app.js", nil, 200},
		{"nothing there", "/nothing", nil, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, body := s.do(t, "GET", c.path, "", c.headers...)
			if res.StatusCode != c.status {
				t.Errorf("%d %s, want %d", res.StatusCode, body, c.status)
			}
			if asks := res.Header.Get("WWW-Authenticate") == `Bearer realm="egret"`; asks != (c.status == 401) {
				t.Errorf("WWW-Authenticate is %q", res.Header.Get("WWW-Authenticate"))
			}
			checkAnswer(t, res, body)
		})
	}
}

// TestTokenChanges: a token is read anew, and one that cannot be read or could
// be guessed lets nobody in, and is told in the log once.
func TestTokenChanges(t *testing.T) {
	now, problem := token, error(nil)
	var log bytes.Buffer
	s := serve(t, func(o *api.Options) {
		o.Token = func() ([]byte, error) { return []byte(now), problem }
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	show := func(token string) (int, string) {
		res, body := s.do(t, "GET", "/api/status", "", "Authorization: Bearer "+token)
		return res.StatusCode, body
	}
	if status, _ := show(token); status != 200 {
		t.Errorf("%d with the token", status)
	}
	now = "another-token-of-today"
	if status, _ := show(token); status != 401 {
		t.Errorf("%d with yesterday's token", status)
	}
	if status, _ := show(now); status != 200 {
		t.Errorf("%d with today's token", status)
	}
	for _, now = range []string{"", "short-secret"} {
		if status, body := show("short-secret"); status != 503 || strings.Contains(body, "short-secret") {
			t.Errorf("%d %s with a short token", status, body)
		}
	}
	problem = &fs.PathError{Op: "open", Path: "/etc/egret/token", Err: errors.New("permission denied")}
	if status, body := show(token); status != 503 || strings.Contains(body, "/etc") {
		t.Errorf("%d %s without a token file", status, body)
	}
	s.stop()
	if n := strings.Count(log.String(), "nobody can be let in"); n != 1 || strings.Contains(log.String(), "short-secret") || strings.Contains(log.String(), token) {
		t.Errorf("told %d times:\n%s", n, &log)
	}
}

// TestGuesses: who guesses is slowed down, and who knows the token is not.
func TestGuesses(t *testing.T) {
	s := serve(t, withToken)
	var statuses []int
	for range 15 {
		res, body := s.do(t, "GET", "/api/status", "", "Authorization: Bearer wrong-wrong-wrong-wrong")
		statuses = append(statuses, res.StatusCode)
		if res.StatusCode == 429 && res.Header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After with %s", body)
		}
	}
	if statuses[0] != 401 || statuses[9] != 401 || statuses[14] != 429 {
		t.Errorf("statuses %v", statuses)
	}
	if res, _ := s.do(t, "GET", "/api/status", "", "Authorization: Bearer "+token); res.StatusCode != 200 {
		t.Errorf("%d for who knows the token, from the same address", res.StatusCode)
	}
}

// TestGuessersAreBounded: a million addresses take no more memory than a
// thousand, and they still run out of guesses.
func TestGuessersAreBounded(t *testing.T) {
	g := api.NewGuesses()
	now := time.Unix(1000, 0)
	allowed := 0
	for i := range 20000 {
		if g.Allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now) {
			allowed++
		}
	}
	if g.Len() > 1025 || allowed > 1024+10 {
		t.Errorf("%d addresses are remembered, %d guesses were allowed", g.Len(), allowed)
	}
	now = now.Add(time.Hour)
	if !g.Allow(netip.MustParseAddr("10.1.1.1"), now) || g.Len() > 1025 {
		t.Error("an hour later nobody may guess")
	}
}

func TestOrigins(t *testing.T) {
	s := serve(t, withToken, func(o *api.Options) { o.Origins = []string{"https://Panel.example.com"} })
	const ours, theirs = "Origin: https://panel.example.com", "Origin: https://evil.example.com"
	ahead := []string{"Access-Control-Request-Method: GET", "Access-Control-Request-Private-Network: true"}
	res, _ := s.do(t, "OPTIONS", "/api/status", "", append(ahead, ours)...)
	if h := res.Header; res.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "https://panel.example.com" ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || h.Get("Vary") != "Origin" ||
		h.Get("Access-Control-Allow-Private-Network") != "true" {
		t.Errorf("%d %v", res.StatusCode, h)
	}
	res, _ = s.do(t, "GET", "/api/status", "", ours, "Authorization: Bearer "+token, "Sec-Fetch-Site: cross-site")
	if res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "https://panel.example.com" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	for _, c := range []struct{ method, origin string }{{"OPTIONS", theirs}, {"GET", theirs}, {"GET", "Origin: null"}} {
		res, _ = s.do(t, c.method, "/api/status", "", append(ahead, c.origin)...)
		if res.Header.Get("Access-Control-Allow-Origin") != "" || res.StatusCode < 400 {
			t.Errorf("%v: %d %v", c, res.StatusCode, res.Header)
		}
	}
	closed := serve(t)
	if res, _ := closed.do(t, "OPTIONS", "/api/status", "", append(ahead, ours)...); res.StatusCode != 405 || res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without allowed origins: %d %v", res.StatusCode, res.Header)
	}
}

// TestProfiles: only when asked for, only on loopback, never the command line.
func TestProfiles(t *testing.T) {
	s := serve(t, func(o *api.Options) { o.Pprof = true })
	for path, status := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/cmdline": 404, "/debug/pprof/../../api/status": 404, "/debug/pprof": 404,
	} {
		if res, _ := s.do(t, "GET", path, ""); res.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, status)
		}
	}
	open := serve(t, withToken, func(o *api.Options) { o.Pprof, o.Loopback = true, false })
	if res, _ := open.do(t, "GET", "/debug/pprof/", "", "Authorization: Bearer "+token); res.StatusCode != 404 {
		t.Errorf("beyond loopback: %d", res.StatusCode)
	}
}

// TestStatic: files are compressed once, and sent only when they changed.
func TestStatic(t *testing.T) {
	s := serve(t)
	plain, page := s.do(t, "GET", "/", "", "Accept-Encoding: identity")
	small, packed := s.do(t, "GET", "/", "", "Accept-Encoding: br, gzip;q=0.5")
	if plain.Header.Get("Content-Encoding") != "" || small.Header.Get("Content-Encoding") != "gzip" || len(packed) >= len(page) {
		t.Errorf("%v\n%v", plain.Header, small.Header)
	}
	if res, _ := s.do(t, "GET", "/index.html", "", "Accept-Encoding: gzip;q=0"); res.Header.Get("Content-Encoding") != "" {
		t.Error("compressed for who refuses it")
	}
	for _, res := range []string{plain.Header.Get("ETag"), "W/" + plain.Header.Get("ETag")} {
		again, body := s.do(t, "GET", "/", "", "Accept-Encoding: identity", "If-None-Match: "+res)
		if again.StatusCode != 304 || body != "" || again.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%d %q", again.StatusCode, body)
		}
	}
	bare := serve(t, func(o *api.Options) { o.Web = nil })
	if res, body := bare.do(t, "GET", "/", ""); res.StatusCode != 404 || !strings.Contains(body, "api.dashboard") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
