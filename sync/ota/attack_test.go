package ota

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/sync/release"
)

type handler = func(http.ResponseWriter, *http.Request) bool

type attack struct {
	do   func(*repo) handler
	want error // nil: any of the kinds
}

// attacks are what docs/UPDATES.md lists, against a client that has seen
// version 2 of all.
func attacks() map[string]attack {
	only := func(path string, do func(w http.ResponseWriter)) handler {
		return func(w http.ResponseWriter, q *http.Request) bool {
			if !strings.HasSuffix(q.URL.Path, path) {
				return false
			}
			do(w)
			return true
		}
	}
	endless := func(w http.ResponseWriter) {
		for block := bytes.Repeat([]byte(" "), 64<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	set := func(path string, change func([]byte) []byte) func(*repo) handler {
		return func(r *repo) handler {
			r.publish()
			path := strings.ReplaceAll(path, "N", "3")
			r.put(path, change(bytes.Clone(r.files["/"+path])))
			return nil
		}
	}
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	behind := func(role string) func(*repo) handler {
		return func(r *repo) handler { r.version[role] -= 2; r.publish(); return nil }
	}
	wrong := func(role string) func(*repo) handler {
		return func(r *repo) handler { r.keys[role] = []ed25519.PrivateKey{newKey(r.t)}; r.publish(); return nil }
	}
	revoked := func(role string) func(*repo) handler {
		return func(r *repo) handler {
			old := r.keys[role]
			r.revoke(role)
			r.keys[role] = old
			r.publish()
			return nil
		}
	}
	return map[string]attack{
		"rollback of timestamp": {behind(metadata.TIMESTAMP), ErrRollback},
		"rollback of snapshot":  {behind(metadata.SNAPSHOT), ErrRollback},
		"rollback of targets":   {behind(metadata.TARGETS), ErrRollback},
		"freeze":                {func(r *repo) handler { r.expires = time.Now().Add(-time.Hour); r.publish(); return nil }, ErrExpired},
		"mix and match": {func(r *repo) handler {
			r.publish()
			r.put("3.targets.json", r.files["/1.targets.json"])
			return nil
		}, nil},
		"wrong key of timestamp":   {wrong(metadata.TIMESTAMP), ErrSignature},
		"wrong key of snapshot":    {wrong(metadata.SNAPSHOT), ErrSignature},
		"wrong key of targets":     {wrong(metadata.TARGETS), ErrSignature},
		"revoked key of timestamp": {revoked(metadata.TIMESTAMP), ErrSignature},
		"revoked key of targets":   {revoked(metadata.TARGETS), ErrSignature},
		"root signed by a stranger": {func(r *repo) handler {
			r.keys[metadata.ROOT] = []ed25519.PrivateKey{newKey(r.t)}
			r.root.Signed.Version++
			r.signRoot()
			return nil
		}, ErrSignature},
		"root skips a version": {func(r *repo) handler {
			r.root.Signed.Version += 2
			r.signRoot()
			r.put("2.root.json", r.files["/3.root.json"])
			return nil
		}, nil},
		"threshold not met": {func(r *repo) handler {
			r.addKey(metadata.TARGETS, newKey(r.t))
			r.root.Signed.Roles[metadata.TARGETS].Threshold = 2
			r.root.Signed.Version++
			r.signRoot()
			r.publish()
			return nil
		}, ErrSignature},
		"oversize timestamp":   {set("timestamp.json", func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), maxTimestamp)...) }), ErrTooLarge},
		"oversize root":        {func(r *repo) handler { r.put("2.root.json", make([]byte, maxRoot+1)); return nil }, ErrTooLarge},
		"endless timestamp":    {func(r *repo) handler { return only("timestamp.json", endless) }, ErrTooLarge},
		"endless targets":      {func(r *repo) handler { r.publish(); return only("targets.json", endless) }, ErrTooLarge},
		"truncated timestamp":  {set("timestamp.json", cut), ErrSignature},
		"truncated snapshot":   {set("N.snapshot.json", cut), ErrSignature},
		"truncated targets":    {set("N.targets.json", cut), ErrSignature},
		"flipped in timestamp": {set("timestamp.json", flip), ErrSignature},
		"flipped in snapshot":  {set("N.snapshot.json", flip), ErrSignature},
		"flipped in targets":   {set("N.targets.json", flip), ErrSignature},
		"empty object":         {func(r *repo) handler { r.put("timestamp.json", []byte("{}")); return nil }, ErrSignature},
		"null signed":          {func(r *repo) handler { r.put("timestamp.json", []byte(`{"signatures":[],"signed":null}`)); return nil }, ErrSignature},
		"500 for ever":         {func(r *repo) handler { return only("", func(w http.ResponseWriter) { w.WriteHeader(500) }) }, ErrNetwork},
		"silent server": {func(r *repo) handler {
			return func(_ http.ResponseWriter, q *http.Request) bool { <-q.Context().Done(); return true }
		}, ErrNetwork},
		"hostile policy": {func(r *repo) handler {
			r.bundles[release.PolicyTarget] = []byte(`{"min_sequence":{"../x":1}}`)
			r.publish()
			return nil
		}, ErrSignature},
		"null target": {func(r *repo) handler {
			r.publish()
			r.put("3.targets.json", []byte(`{"signatures":[],"signed":{"_type":"targets","targets":{"x":null}}}`))
			return nil
		}, ErrSignature},
	}
}

// TestAttacks serves each attack to a client that has seen version 2 of all, and
// to the same client without its metadata: both refuse, keep what was good, and
// work again against the honest repository.
func TestAttacks(t *testing.T) {
	for name, tt := range attacks() {
		for _, deleted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/deleted=%v", name, deleted), func(t *testing.T) {
				r, dir := newRepo(t), t.TempDir()
				r.publish()
				c := r.open(dir)
				defer func() { c.Close() }()
				must(t, c.Refresh(context.Background()))
				honest := r.snapshotFiles()
				r.serve = tt.do(r)
				if deleted {
					c.Close()
					must(t, os.Remove(filepath.Join(dir, "trusted.json")))
					c = r.open(dir)
				}
				err := c.Refresh(context.Background())
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !known(err) {
					t.Errorf("Refresh: %v, want %v", err, tt.want)
				} else if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line: %q", err)
				}
				if all, err := c.Releases(); !deleted && !errors.Is(err, ErrNoMetadata) && len(all) != 1 {
					t.Errorf("the last good state is lost: %v, %v", all, err)
				}
				if strings.Contains(name, "revoked") || name == "threshold not met" {
					return // the honest repository of before is rightly refused now
				}
				r.restore(honest, nil)
				must(t, c.Refresh(context.Background()))
				if all, err := c.Releases(); err != nil || len(all) != 1 {
					t.Errorf("after the attack: %v, %v", all, err)
				}
			})
		}
	}
}

// An old repository, whole and validly signed, is refused also when the folder
// lost its metadata.
func TestReplayAfterDeletion(t *testing.T) {
	r, dir := newRepo(t), t.TempDir()
	old := r.snapshotFiles()
	r.publish()
	c := r.open(dir)
	must(t, c.Refresh(context.Background()))
	c.Close()
	must(t, os.Remove(filepath.Join(dir, "trusted.json")))
	r.restore(old, nil)
	c = r.open(dir)
	defer c.Close()
	if err := c.Refresh(context.Background()); !errors.Is(err, ErrRollback) {
		t.Errorf("Refresh: %v, want ErrRollback", err)
	}
}

// A stop at each step that changes the disk leaves a folder that works.
func TestStopAtEachStep(t *testing.T) {
	stop := errors.New("stop")
	for _, at := range []string{"root", "root floor", "state", "floors"} {
		t.Run(at, func(t *testing.T) {
			r, dir := newRepo(t), t.TempDir()
			c := r.open(dir)
			must(t, c.Refresh(context.Background()))
			r.revoke(metadata.TIMESTAMP)
			r.publish()
			c.step = func(name string) error {
				if name == at {
					return stop
				}
				return nil
			}
			if err := c.Refresh(context.Background()); err == nil {
				t.Fatal("the hook was not reached")
			}
			c.Close()
			c = r.open(dir)
			defer c.Close()
			must(t, c.Refresh(context.Background()))
		})
	}
}
