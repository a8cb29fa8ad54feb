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

// asset is a file, ready to be sent.
type asset struct {
	kind, tag    string
	whole, small []byte // small is compressed; nil when that gains nothing
}

// newStatic reads and compresses all files once.
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
	data, err := fs.ReadFile(from, name)
	if err != nil {
		return nil, err
	}
	kind, ok := kinds[path.Ext(name)]
	if !ok {
		return nil, fmt.Errorf("%s: nothing is known of files that end in %q: add it to kinds", name, path.Ext(name))
	}
	sum := sha256.Sum256(data)
	a := &asset{kind: kind, tag: base64.RawURLEncoding.EncodeToString(sum[:12]), whole: data}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if small.Len() < len(data)*9/10 {
		a.small = bytes.Clone(small.Bytes())
	}
	return a, nil
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
	h := w.Header()
	data, tag := a.whole, `"`+a.tag+`"`
	h.Set("Cache-Control", "no-cache") // asked for anew each time, and sent only when it changed
	h.Set("Content-Type", a.kind)
	if a.small != nil {
		h.Add("Vary", "Accept-Encoding")
		if takesGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			data, tag = a.small, `"`+a.tag+`-gz"`
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
