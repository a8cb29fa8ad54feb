package ota

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fetchAll refreshes and downloads r1.
func fetchAll(t *testing.T, c *Client) error {
	t.Helper()
	if err := c.Refresh(context.Background()); err != nil {
		return err
	}
	rel, err := c.Find("r1")
	must(t, err)
	_, err = c.Download(context.Background(), rel, t.TempDir())
	return err
}

func openWith(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// The repository has a name that only the proxy knows.
func TestProxy(t *testing.T) {
	r := newRepo(t)
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Host != "models.invalid" {
			t.Errorf("the proxy is asked for %s", q.URL)
		}
		through.Add(1)
		r.ServeHTTP(w, q)
	}))
	defer proxy.Close()
	o := r.options(t.TempDir())
	o.MetadataURL, o.TargetsURL, o.HTTP.Proxy = "http://models.invalid", "http://models.invalid/targets", proxy.URL
	must(t, fetchAll(t, openWith(t, o)))
	if n := through.Load(); n < 5 {
		t.Errorf("%d requests went through the proxy", n)
	}
	for _, bad := range []string{"proxy:3128", "::", "/"} {
		o.HTTP.Proxy = bad
		if c, err := Open(o); err == nil || !strings.Contains(err.Error(), "http://proxy:3128") {
			t.Errorf("proxy %q: %v, %v", bad, c, err)
		}
	}
}

func TestOwnAuthority(t *testing.T) {
	r := newRepo(t)
	srv := httptest.NewTLSServer(r)
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	o := r.options(t.TempDir())
	o.MetadataURL, o.TargetsURL = srv.URL, srv.URL+"/targets"
	c := openWith(t, o)
	if err := c.Refresh(context.Background()); !errors.Is(err, ErrNetwork) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its authority: %v", err)
	}
	must(t, c.Close())
	o.HTTP.CAFile = ca
	must(t, fetchAll(t, openWith(t, o)))
	must(t, os.WriteFile(ca, []byte("no PEM"), 0o600))
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("a broken file: %v", err)
	}
}

// The token goes to the repository's host, and to no other that it redirects to.
// Its file is read for each request.
func TestToken(t *testing.T) {
	r := newRepo(t)
	var mu sync.Mutex
	var tokens []string
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "" {
			t.Errorf("another host got %q", q.Header.Get("Authorization"))
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		w.Write(r.files[q.URL.Path])
	}))
	defer away.Close()
	r.restore(r.files, func(w http.ResponseWriter, q *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		tokens = append(tokens, q.Header.Get("Authorization"))
		if q.URL.Path == "/timestamp.json" || strings.HasPrefix(q.URL.Path, "/targets/") {
			http.Redirect(w, q, away.URL+q.URL.Path, http.StatusFound)
			return true
		}
		return false
	})
	o := r.options(t.TempDir())
	o.HTTP.TokenFile = filepath.Join(t.TempDir(), "token")
	c := openWith(t, o)
	for _, token := range []string{"one", "two"} {
		must(t, os.WriteFile(o.HTTP.TokenFile, []byte(token+"\n"), 0o600))
		must(t, fetchAll(t, c))
		if i := slices.IndexFunc(tokens, func(s string) bool { return s != "Bearer "+token }); i >= 0 || len(tokens) < 2 {
			t.Errorf("with %s: %q", token, tokens)
		}
		tokens = nil
	}
	for text, want := range map[string]string{"": "must hold one line", "a\nb": "must hold one line", strings.Repeat("x", maxToken+1): "must hold one line", "gone": "read token"} {
		must(t, os.WriteFile(o.HTTP.TokenFile, []byte(text), 0o600))
		if text == "gone" {
			must(t, os.Remove(o.HTTP.TokenFile))
		}
		if err := c.Refresh(context.Background()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "xxx") {
			t.Errorf("a file with %.10q: %v", text, err)
		}
	}
	if len(tokens) > 0 {
		t.Errorf("asked with %q", tokens)
	}
}

// Five redirects are followed, a sixth is not, and none leaves https.
func TestRedirects(t *testing.T) {
	r := newRepo(t)
	var hops, asked atomic.Int32
	r.restore(r.files, func(w http.ResponseWriter, q *http.Request) bool {
		n := int32(0)
		fmt.Sscan(q.URL.Query().Get("n"), &n)
		asked.Add(1)
		if q.URL.Path != "/timestamp.json" || n >= hops.Load() {
			return false
		}
		http.Redirect(w, q, fmt.Sprintf("/timestamp.json?n=%d", n+1), http.StatusFound)
		return true
	})
	c := r.open(t.TempDir())
	defer c.Close()
	hops.Store(maxRedirects)
	must(t, c.Refresh(context.Background()))
	hops.Store(maxRedirects + 1)
	asked.Store(0)
	if err := c.Refresh(context.Background()); !errors.Is(err, ErrNetwork) || !strings.Contains(err.Error(), "more than 5 redirects") {
		t.Errorf("six: %v", err)
	}
	if n := asked.Load(); n != maxRedirects+2 { // the next root's 404, the timestamp and five hops
		t.Errorf("%d requests: it was tried again", n)
	}

	tls := httptest.NewTLSServer(http.RedirectHandler(r.url+"/timestamp.json", http.StatusFound))
	defer tls.Close()
	o := r.options(t.TempDir())
	o.MetadataURL, o.HTTP.CAFile = tls.URL, filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(o.HTTP.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}), 0o600))
	asked.Store(0)
	if err := openWith(t, o).Refresh(context.Background()); !errors.Is(err, ErrNetwork) || !strings.Contains(err.Error(), "redirect from https to http") {
		t.Errorf("from https to http: %v", err)
	}
	if asked.Load() != 0 {
		t.Error("it asked over http")
	}
}

// What the pauses add up to is what the bytes take at that rate.
func TestBandwidth(t *testing.T) {
	r := newRepo(t)
	o := r.options(t.TempDir())
	o.HTTP.Bandwidth = 50_000
	c := openWith(t, o)
	var paused, longest time.Duration
	c.fetch.sleep = func(_ context.Context, d time.Duration) { paused, longest = paused+d, max(longest, d) }
	must(t, c.Refresh(context.Background()))
	rel, err := c.Find("r1")
	must(t, err)
	paused = 0
	path, err := c.Download(context.Background(), rel, t.TempDir())
	must(t, err)
	want := time.Duration(rel.Length) * time.Second / 50_000
	// The read that ends the body needs no pause.
	if paused > want || paused < want-time.Second/10-time.Millisecond || longest > time.Second/10 {
		t.Errorf("%s of %d bytes: pauses of %v, want %v; the longest %v", path, rel.Length, paused, want, longest)
	}
}

// A real pause ends with its context.
func TestSleep(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sleep(ctx, time.Hour)
	sleep(context.Background(), time.Nanosecond)
}

// What the server asks for is waited, up to MaxWait; and 404 is not asked again.
func TestRetryAfter(t *testing.T) {
	r := newRepo(t)
	var asked atomic.Int32
	o := r.options(t.TempDir())
	c := openWith(t, o)
	must(t, c.Refresh(context.Background()))
	rel, err := c.Find("r1")
	must(t, err)
	var waits []time.Duration
	backoff := c.fetch.client.Backoff
	c.fetch.client.Backoff = func(low, high time.Duration, n int, res *http.Response) time.Duration {
		waits = append(waits, backoff(low, 7*time.Second, n, res))
		return 0
	}
	answer := func(code int, after string, times int32) {
		asked.Store(0)
		waits = nil
		r.restore(r.files, func(w http.ResponseWriter, q *http.Request) bool {
			if asked.Add(1) > times {
				return false
			}
			w.Header().Set("Retry-After", after)
			w.WriteHeader(code)
			io.WriteString(w, "sorry")
			return true
		})
	}
	for _, tt := range []struct {
		code  int
		after string
		wait  time.Duration
	}{{503, "5", 5 * time.Second}, {503, "3600", 7 * time.Second}, {429, "2", 2 * time.Second}, {500, "", time.Millisecond}, {503, "nonsense", time.Millisecond}} {
		answer(tt.code, tt.after, 1)
		_, err := c.Download(context.Background(), rel, t.TempDir())
		must(t, err)
		if len(waits) != 1 || waits[0] != tt.wait {
			t.Errorf("%d, %q: waited %v, want %v", tt.code, tt.after, waits, tt.wait)
		}
	}
	for code, want := range map[int]int32{500: 3, 503: 3, 404: 1, 403: 1} {
		answer(code, "1", 1000)
		if _, err := c.Download(context.Background(), rel, t.TempDir()); !errors.Is(err, ErrNetwork) || asked.Load() != want {
			t.Errorf("%d: asked %d times, want %d: %v", code, asked.Load(), want, err)
		}
	}
}

func TestURLs(t *testing.T) {
	r := newRepo(t)
	for _, bad := range []string{"", "models.example.com", "ftp://models.example.com", "http://", "https://user:secret@models.example.com", "file:///srv/models"} {
		o := r.options(t.TempDir())
		o.MetadataURL = bad
		if _, err := Open(o); err == nil {
			t.Errorf("%q was taken", bad)
		}
		if _, err := url.Parse(bad); err != nil {
			t.Errorf("%q is no URL at all, which tests nothing", bad)
		}
	}
}
