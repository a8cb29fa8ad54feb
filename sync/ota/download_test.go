package ota

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
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
	resets := func(w http.ResponseWriter, _ *http.Request) bool {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.(*net.TCPConn).SetLinger(0) // RST instead of FIN
			conn.Close()
		}
		return true
	}
	slow := func(w http.ResponseWriter, _ *http.Request) bool {
		for rest := bundle; len(rest) > 0; rest = rest[min(len(rest), 1000):] {
			w.Write(rest[:min(len(rest), 1000)])
			w.(http.Flusher).Flush()
		}
		return true
	}
	// The first answer is of another file and breaks. Then comes the bundle, from
	// its start, since who asks says with If-Range what the part is of.
	changes := func(w http.ResponseWriter, q *http.Request) bool {
		if n := calls.Add(1); n > 1 {
			if tag := q.Header.Get("If-Range"); n == 2 && tag != `"another"` {
				t.Errorf("If-Range: %q", tag)
			}
			return false
		}
		w.Header().Set("ETag", `"another"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(bundle)))
		w.Write(bytes.Repeat([]byte("x"), half))
		panic(http.ErrAbortHandler)
	}
	// The file on the server grew or shrank: 206 with another total.
	regrown := func(w http.ResponseWriter, q *http.Request) bool {
		if calls.Add(1) > 1 {
			return false
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, len(bundle)+9, len(bundle)+10))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(bundle[half:])
		return true
	}
	endless := func(w http.ResponseWriter, _ *http.Request) bool {
		for {
			if _, err := w.Write(bundle); err != nil {
				return true
			}
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
		"503 once":                {serve: first(status(503, "Retry-After", "3600"))},
		"resets once":             {serve: first(resets)},
		"resets for ever":         {serve: resets, want: ErrNetwork},
		"slow":                    {serve: slow},
		"changes in between":      {serve: changes},
		"other total in between":  {serve: regrown, part: bundle[:half]},
		"other range than asked":  {serve: first(status(206, "Content-Range", "bytes 0-9/10")), part: bundle[:half]},
		"endless":                 {serve: endless, want: ErrTooLarge},
		"endless after resuming":  {serve: endless, part: bundle[:half], want: ErrTooLarge},
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

// Who cancels gets that said, at once, and what was fetched stays.
func TestCancel(t *testing.T) {
	r, dir := newRepo(t), t.TempDir()
	o := r.options(t.TempDir())
	o.HTTP.MaxWait, o.HTTP.Stall = time.Hour, time.Hour // so that only the context ends it
	c := openWith(t, o)
	must(t, c.Refresh(context.Background()))
	rel, err := c.Find("r1")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	half := func(w http.ResponseWriter, q *http.Request) bool {
		data := r.bundles[rel.Target]
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		waitForPart(t, dir)
		cancel()
		<-q.Context().Done()
		return true
	}
	r.restore(r.files, half)
	if _, err := c.Download(ctx, rel, dir); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Download: %v", err)
	}
	if n := sizeOf(filepath.Join(dir, rel.SHA256[:32]+partSuffix)); n == 0 {
		t.Error("what was fetched is gone")
	}
	for name, call := range map[string]func(context.Context) error{
		"Refresh":  c.Refresh,
		"Download": func(ctx context.Context) error { _, err := c.Download(ctx, rel, dir); return err },
	} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r.restore(r.files, func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); cancel(); return true })
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s in a pause between tries: %v", name, err)
		}
	}
	r.restore(r.files, nil)
	_, err = c.Download(context.Background(), rel, dir)
	must(t, err)
}

// Progress is told at every 256 KiB of what is still to come, and at the end.
func TestProgress(t *testing.T) {
	r := newRepo(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	r.add("big", 2, 2, data)
	r.publish()
	var done []int64
	o := r.options(t.TempDir())
	o.Progress = func(n, total int64) {
		if total != int64(len(data)) {
			t.Errorf("total %d, want %d", total, len(data))
		}
		done = append(done, n)
	}
	c, err := Open(o)
	must(t, err)
	defer c.Close()
	must(t, c.Refresh(context.Background()))
	rel, err := c.Find("big")
	must(t, err)
	for _, have := range []int64{0, 100_000} {
		done = nil
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, rel.SHA256[:32]+partSuffix), data[:have], 0o600))
		_, err = c.Download(context.Background(), rel, dir)
		must(t, err)
		last := have
		for i, n := range done {
			if n-last < progressStep && i < len(done)-1 {
				t.Errorf("%d bytes after %d: that is less than 256 KiB", n, last)
			}
			last = n
		}
		if last != int64(len(data)) || len(done) < 2 || len(done) > 5 {
			t.Errorf("from %d: told of %v", have, done)
		}
	}
}

// Without room nothing is asked for, and the part that is there stays.
func TestNoSpace(t *testing.T) {
	r, dir := newRepo(t), t.TempDir()
	c := r.open(t.TempDir())
	defer c.Close()
	must(t, c.Refresh(context.Background()))
	rel, err := c.Find("r1")
	must(t, err)
	part := filepath.Join(dir, rel.SHA256[:32]+partSuffix)
	must(t, os.WriteFile(part, r.bundles[rel.Target][:1000], 0o600))
	need := uint64(rel.Length-1000) + spare
	c.free = func(at string) (uint64, error) {
		if at != dir {
			t.Errorf("asked about %s", at)
		}
		return need - 1, nil
	}
	r.forgetAsked()
	if _, err := c.Download(context.Background(), rel, dir); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "16 MB are needed, 16 MB are free") {
		t.Errorf("Download: %v", err)
	}
	if asked := r.forgetAsked(); len(asked) > 0 || sizeOf(part) != 1000 {
		t.Errorf("asked for %v; the part has %d bytes", asked, sizeOf(part))
	}
	c.free = func(string) (uint64, error) { return need, nil }
	_, err = c.Download(context.Background(), rel, dir)
	must(t, err)
	if asked := r.forgetAsked(); len(asked) != 1 || !strings.HasSuffix(asked[0], " bytes=1000-") {
		t.Errorf("asked for %v", asked)
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
