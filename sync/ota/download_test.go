package ota

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestDownload(t *testing.T) {
	bundle := []byte(strings.Repeat("bundle one ", 20000))
	half := len(bundle) / 2
	var calls atomic.Int32
	first := func(do handler) handler {
		return func(w http.ResponseWriter, q *http.Request) bool { return calls.Add(1) == 1 && do(w, q) }
	}
	breaks := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(bundle)))
		w.Write(bundle[:half])
		panic(http.ErrAbortHandler)
	}
	stalls := func(w http.ResponseWriter, q *http.Request) bool {
		w.Write(bundle[:half])
		w.(http.Flusher).Flush()
		<-q.Context().Done()
		return true
	}
	whole := func(w http.ResponseWriter, _ *http.Request) bool { w.Write(bundle); return true }
	status := func(code int, header ...string) handler {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			if len(header) > 0 {
				w.Header().Set(header[0], header[1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	send := func(data []byte) handler {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.(http.Flusher).Flush() // no Content-Length
			w.Write(data)
			return true
		}
	}
	wrong := bytes.Repeat([]byte("x"), len(bundle))
	tests := map[string]struct {
		serve handler
		part  []byte // on disk before
		want  error
	}{
		"plain":                   {},
		"resumed":                 {part: bundle[:half]},
		"part is whole":           {part: bundle},
		"part is too long":        {part: append(bytes.Clone(bundle), 'x')},
		"part is of another file": {part: wrong[:half]},
		"server forgets Range":    {serve: whole, part: bundle[:half]},
		"connection breaks":       {serve: first(breaks)},
		"falls silent":            {serve: first(stalls)},
		"500 once":                {serve: first(status(500))},
		"429 once":                {serve: first(status(429, "Retry-After", "3600"))},
		"416 once":                {serve: first(status(416)), part: bundle[:half]},
		"500 for ever":            {serve: status(500), want: ErrNetwork},
		"404":                     {serve: status(404), want: ErrNetwork},
		"too short":               {serve: send(nil), want: ErrNetwork},
		"too long":                {serve: send(append(bytes.Clone(bundle), "more"...)), want: ErrTooLarge},
		"announced too long":      {serve: status(200, "Content-Length", "999999999"), want: ErrTooLarge},
		"wrong bytes":             {serve: send(wrong), want: ErrCorrupt},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, dir := newRepo(t), t.TempDir()
			c := r.open(t.TempDir())
			defer c.Close()
			must(t, c.Refresh(context.Background()))
			rel, err := c.Find("r1")
			must(t, err)
			if tt.part != nil {
				must(t, os.WriteFile(filepath.Join(dir, rel.SHA256[:32]+partSuffix), tt.part, 0o600))
			}
			other := filepath.Join(dir, "other"+partSuffix)
			must(t, os.WriteFile(other, nil, 0o600))
			calls.Store(0)
			r.restore(r.files, tt.serve)
			path, err := c.Download(context.Background(), rel, dir)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Download: %v, want %v", err, tt.want)
			}
			if _, err := os.Stat(other); err == nil {
				t.Error("the part of another release is still there")
			}
			if tt.want == nil {
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, bundle) || filepath.Base(path) != "net-1.zip" {
					t.Errorf("%s is not the bundle: %v", path, err)
				}
			}
			r.restore(r.files, nil)
			if _, err := c.Download(context.Background(), rel, dir); err != nil {
				t.Errorf("against a good server: %v", err)
			}
			if files, _ := os.ReadDir(dir); len(files) != 1 {
				t.Errorf("%d files are left, want the bundle alone", len(files))
			}
		})
	}
}

func TestPolicyAndFit(t *testing.T) {
	r := newRepo(t)
	r.add("r2", 2, 2, []byte("two"))
	r.add("arm", 3, 3, []byte("three"))
	r.custom["models/net/3.zip"] = `{"release":"arm","sequence":3,"model":{"name":"net","version":3},"hardware":["plan9/arm"]}`
	r.add("bad", 4, 4, []byte("four"))
	r.custom["models/net/4.zip"] = `{"release":"../..","sequence":4,"model":{"name":"net","version":4}}`
	r.bundles["policy.json"] = []byte(`{"min_sequence":{"net":2}}`)
	r.publish()
	c := r.open(t.TempDir())
	defer c.Close()
	if _, err := c.Find("r2"); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("before a refresh: %v", err)
	}
	must(t, c.Refresh(context.Background()))
	for name, want := range map[string]error{"r1": ErrWithdrawn, "r2": nil, "arm": ErrUnfit} {
		rel, err := c.Find(name)
		must(t, err)
		if _, err := c.Download(context.Background(), rel, t.TempDir()); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if _, err := c.Find("../.."); !errors.Is(err, ErrNotListed) {
		t.Errorf("hostile metadata: %v", err)
	}
	if _, err := c.Download(context.Background(), Release{Target: "models/net/9.zip"}, t.TempDir()); !errors.Is(err, ErrNotListed) {
		t.Errorf("unlisted: %v", err)
	}
	c.o.Built = r.expires.AddDate(1, 0, 0) // later than all that is signed
	rel, _ := c.Find("r2")
	if _, err := c.Download(context.Background(), rel, t.TempDir()); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

// The token goes to the repository's host, and to no other that it redirects to.
func TestTokenStaysHome(t *testing.T) {
	var leaked, sent atomic.Bool
	r := newRepo(t)
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "" {
			leaked.Store(true)
		}
		w.Write(r.files["/timestamp.json"])
	}))
	defer away.Close()
	r.serve = func(w http.ResponseWriter, q *http.Request) bool {
		if q.Header.Get("Authorization") == "Bearer secret" {
			sent.Store(true)
		}
		if q.URL.Path == "/timestamp.json" {
			http.Redirect(w, q, away.URL+"/timestamp.json", http.StatusFound)
			return true
		}
		return false
	}
	o := r.options(t.TempDir())
	o.HTTP.TokenFile = filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(o.HTTP.TokenFile, []byte("secret\n"), 0o600))
	c, err := Open(o)
	must(t, err)
	defer c.Close()
	must(t, c.Refresh(context.Background()))
	if !sent.Load() || leaked.Load() {
		t.Errorf("sent %v, leaked %v", sent.Load(), leaked.Load())
	}
}
