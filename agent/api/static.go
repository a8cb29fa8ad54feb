package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// kinds are the types of the dashboard's files: the system's own table may be
// missing, or wrong.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".mjs": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
	".json": "application/json", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8",
}

// static is the dashboard. It does not change after newStatic.
type static struct{ files map[string]*asset }

// asset is a file. It is read and compressed when it is first asked for:
// compressing all of them would be a good part of what a start takes.
type asset struct {
	kind string
	load func() (content, error)
}

type content struct {
	tag          string
	whole, small []byte // small is compressed; nil when that gains nothing
}

// packers are used again: each is a megabyte.
var packers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// newStatic finds all files.
func newStatic(from fs.FS) (*static, error) {
	s := &static{files: map[string]*asset{}}
	err := fs.WalkDir(from, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		a, err := newAsset(from, name)
		if err != nil {
			return err
		}
		s.files["/"+name] = a
		if name == "index.html" {
			s.files["/"] = a
		}
		return nil
	})
	if err == nil && s.files["/"] == nil {
		err = fmt.Errorf("there is no index.html: %w", fs.ErrNotExist)
	}
	return s, err
}

func newAsset(from fs.FS, name string) (*asset, error) {
	kind, ok := kinds[path.Ext(name)]
	if !ok {
		return nil, fmt.Errorf("%s: nothing is known of files that end in %q: add it to kinds", name, path.Ext(name))
	}
	return &asset{kind, sync.OnceValues(func() (content, error) { return load(from, name) })}, nil
}

// load reads a file and compresses it.
func load(from fs.FS, name string) (c content, err error) {
	if c.whole, err = fs.ReadFile(from, name); err != nil {
		return c, err
	}
	sum := sha256.Sum256(c.whole)
	c.tag = base64.RawURLEncoding.EncodeToString(sum[:12])
	var small bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(&small)
	if _, err := z.Write(c.whole); err != nil {
		return c, err
	}
	if err := z.Close(); err != nil {
		return c, err
	}
	if small.Len() < len(c.whole)*9/10 {
		c.small = bytes.Clone(small.Bytes())
	}
	return c, nil
}

// files answers with the dashboard's, and for every path that nothing else
// answers.
func (s *Server) files(w http.ResponseWriter, r *http.Request) error {
	var a *asset
	if s.static != nil {
		a = s.static.files[r.URL.Path]
	}
	if a == nil {
		if s.static == nil && r.URL.Path == "/" {
			return wrong(http.StatusNotFound, "the dashboard is off: set api.dashboard to true, or GET /api/openapi.json")
		}
		return nothing(w, r)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return wrong(http.StatusMethodNotAllowed, "%s is not for this path: use GET", oneLine(r.Method))
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	h := w.Header()
	data, tag := c.whole, `"`+c.tag+`"`
	h.Set("Cache-Control", "no-cache") // asked for anew each time, and sent only when it changed
	h.Set("Content-Type", a.kind)
	if c.small != nil {
		h.Add("Vary", "Accept-Encoding")
		if takesGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			data, tag = c.small, `"`+c.tag+`-gz"`
		}
	}
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
	return nil
}

// takesGzip tells whether an Accept-Encoding names gzip without refusing it.
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q = strings.TrimPrefix(strings.ReplaceAll(q, " ", ""), "q=")
			return strings.Trim(q, "0.") != "" || q == ""
		}
	}
	return false
}
