package ota

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/sync/release"
)

// repo is a signed repository in memory, served over loopback.
type repo struct {
	t       testing.TB
	keys    map[string][]ed25519.PrivateKey // by role
	root    *metadata.Metadata[metadata.RootType]
	version map[string]int64
	expires time.Time
	bundles map[string][]byte
	custom  map[string]string
	rootRaw []byte

	mu    sync.Mutex // guards all following fields
	files map[string][]byte
	serve func(http.ResponseWriter, *http.Request) bool // true: it answered
	asked []string
	url   string
}

var roles = []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS}

func newKey(t testing.TB) ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(nil)
	must(t, err)
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRepo(t testing.TB) *repo {
	r := &repo{t: t, keys: map[string][]ed25519.PrivateKey{}, version: map[string]int64{}, expires: time.Now().Add(24 * time.Hour),
		bundles: map[string][]byte{}, custom: map[string]string{}, files: map[string][]byte{}}
	r.root = metadata.Root(r.expires)
	r.root.Signed.ConsistentSnapshot = true
	for _, name := range roles {
		// The same in each repository, so that a fuzz target's seeds are signed.
		seed := sha256.Sum256([]byte(name))
		r.keys[name] = []ed25519.PrivateKey{ed25519.NewKeyFromSeed(seed[:])}
		r.addKey(name, r.keys[name][0])
	}
	r.signRoot()
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	r.url = srv.URL
	r.add("r1", 1, 1, []byte(strings.Repeat("bundle one ", 20000)))
	r.publish()
	return r
}

func (r *repo) addKey(role string, k ed25519.PrivateKey) {
	key, err := metadata.KeyFromPublicKey(k.Public())
	must(r.t, err)
	must(r.t, r.root.Signed.AddKey(key, role))
}

func (r *repo) revoke(role string) {
	for _, k := range r.keys[role] {
		key, err := metadata.KeyFromPublicKey(k.Public())
		must(r.t, err)
		id, err := key.ID()
		must(r.t, err)
		must(r.t, r.root.Signed.RevokeKey(id, role))
	}
	r.keys[role] = []ed25519.PrivateKey{newKey(r.t)}
	r.addKey(role, r.keys[role][0])
	r.root.Signed.Version++
	r.signRoot()
}

func sign[T metadata.Roles](t testing.TB, m *metadata.Metadata[T], keys []ed25519.PrivateKey) []byte {
	m.ClearSignatures()
	for _, k := range keys {
		s, err := signature.LoadSigner(k, crypto.Hash(0))
		must(t, err)
		_, err = m.Sign(s)
		must(t, err)
	}
	data, err := m.ToBytes(false)
	must(t, err)
	return data
}

func (r *repo) signRoot() {
	data := sign(r.t, r.root, r.keys[metadata.ROOT])
	if r.rootRaw == nil {
		r.rootRaw = data
	}
	r.put(fmt.Sprintf("%d.root.json", r.root.Signed.Version), data)
}

func (r *repo) put(path string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files["/"+path] = data
}

func (r *repo) add(name string, version int, seq uint64, data []byte) {
	m := release.Meta{Release: name, Sequence: seq, Model: release.Model{Name: "net", Version: version}}
	custom, err := json.Marshal(m)
	must(r.t, err)
	path := release.Target(m.Model)
	r.bundles[path], r.custom[path] = data, string(custom)
}

// publish signs everything anew with the next versions.
func (r *repo) publish() {
	t := r.t
	for _, name := range roles[1:] {
		r.version[name]++
	}
	targets := metadata.Targets(r.expires)
	targets.Signed.Version = r.version[metadata.TARGETS]
	for path, data := range r.bundles {
		tf, err := metadata.TargetFile().FromBytes(path, data, "sha256")
		must(t, err)
		if c := r.custom[path]; c != "" {
			raw := json.RawMessage(c)
			tf.Custom = &raw
		}
		targets.Signed.Targets[path] = tf
		i := strings.LastIndex(path, "/") + 1
		r.put("targets/"+path[:i]+tf.Hashes["sha256"].String()+"."+path[i:], data)
	}
	traw := sign(t, targets, r.keys[metadata.TARGETS])
	r.put(fmt.Sprintf("%d.targets.json", targets.Signed.Version), traw)
	snap := metadata.Snapshot(r.expires)
	snap.Signed.Version = r.version[metadata.SNAPSHOT]
	snap.Signed.Meta["targets.json"] = metadata.MetaFile(targets.Signed.Version)
	r.put(fmt.Sprintf("%d.snapshot.json", snap.Signed.Version), sign(t, snap, r.keys[metadata.SNAPSHOT]))
	ts := metadata.Timestamp(r.expires)
	ts.Signed.Version = r.version[metadata.TIMESTAMP]
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(snap.Signed.Version)
	r.put("timestamp.json", sign(t, ts, r.keys[metadata.TIMESTAMP]))
}

func (r *repo) snapshotFiles() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := map[string][]byte{}
	for k, v := range r.files {
		m[k] = v
	}
	return m
}

func (r *repo) restore(m map[string][]byte, serve func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files, r.serve = m, serve
}

// forgetAsked returns what was asked for since the last time.
func (r *repo) forgetAsked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

func (r *repo) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	data, ok := r.files[q.URL.Path]
	serve := r.serve
	r.asked = append(r.asked, q.URL.Path+" "+q.Header.Get("Range"))
	r.mu.Unlock()
	switch {
	case serve != nil && serve(w, q):
	case !ok:
		http.NotFound(w, q)
	default:
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(len(data), q.URL.Path)))
		http.ServeContent(w, q, "", time.Time{}, strings.NewReader(string(data)))
	}
}

func (r *repo) options(dir string) Options {
	return Options{StateDir: dir, MetadataURL: r.url, TargetsURL: r.url + "/targets", Root: r.rootRaw, Platform: "linux/arm64", Agent: "1.0.0",
		HTTP: HTTP{Retries: 2, MaxWait: time.Millisecond, Stall: 300 * time.Millisecond}}
}

func (r *repo) open(dir string) *Client {
	r.t.Helper()
	c, err := Open(r.options(dir))
	must(r.t, err)
	return c
}
