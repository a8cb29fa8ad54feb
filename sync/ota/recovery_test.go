package ota

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// seen is a folder that has seen version 3 of all and root 2, and an older
// repository, whole and validly signed by the same keys.
func seen(t *testing.T) (r *repo, dir string, old map[string][]byte) {
	t.Helper()
	r, dir = newRepo(t), t.TempDir()
	r.root.Signed.Version++
	r.signRoot()
	r.publish()
	old = r.snapshotFiles()
	r.publish()
	c := r.open(dir)
	must(t, c.Refresh(context.Background()))
	must(t, c.Close())
	return r, dir, old
}

// openLogged opens with the log in a buffer.
func openLogged(t *testing.T, r *repo, dir string) (*Client, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o := r.options(dir)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	return openWith(t, o), &log
}

// A damaged floors.db is set aside and said, and what trusted.json says takes
// its place: the old repository stays refused, and the time floor is kept.
func TestDamagedFloors(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"no database":      func(b []byte) []byte { return []byte("this is no database") },
		"zeros":            func(b []byte) []byte { return make([]byte, len(b)) },
		"one page":         func(b []byte) []byte { return b[:os.Getpagesize()] },
		"without its tail": func(b []byte) []byte { return b[:3*os.Getpagesize()] },
		"flipped version": func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`"targets":{"version":3`), []byte(`"targets":{"version":1`))
		},
		"pages overwritten": func(b []byte) []byte {
			return append(bytes.Clone(b[:2*os.Getpagesize()]), bytes.Repeat([]byte{0xa5}, len(b)-2*os.Getpagesize())...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, dir, old := seen(t)
			path := filepath.Join(dir, "floors.db")
			before, err := os.ReadFile(path)
			must(t, err)
			bad := damage(before)
			if bytes.Equal(bad, before) {
				t.Fatal("nothing was damaged")
			}
			must(t, os.WriteFile(path, bad, 0o600))
			c, log := openLogged(t, r, dir)
			if !strings.Contains(log.String(), "floors is damaged") || !strings.Contains(log.String(), "floors.db.damaged") {
				t.Errorf("log: %s", log)
			}
			if got, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(got, bad) {
				t.Errorf("set aside: %d bytes, %v", len(got), err)
			}
			if fl := c.floors.fl; fl.Roles[metadata.TARGETS].Version != 3 || fl.Roles[metadata.ROOT].Version != 2 || time.Since(fl.Time) > time.Minute {
				t.Errorf("floors %+v", fl)
			}
			honest := r.snapshotFiles()
			must(t, c.Close())
			// Also on the disk: the metadata may go now.
			must(t, os.Remove(filepath.Join(dir, "trusted.json")))
			c, log = openLogged(t, r, dir)
			r.restore(old, nil)
			if err := c.Refresh(context.Background()); !errors.Is(err, ErrRollback) {
				t.Errorf("the old repository: %v", err)
			}
			r.restore(honest, nil)
			must(t, c.Refresh(context.Background()))
			if log.Len() > 0 {
				t.Errorf("said again: %s", log)
			}
		})
	}
}

// The file is damaged while it is open: what is in memory is written to another.
func TestFloorsDamagedWhileOpen(t *testing.T) {
	r, dir, _ := seen(t)
	c, log := openLogged(t, r, dir)
	path := filepath.Join(dir, "floors.db")
	info, err := os.Stat(path)
	must(t, err)
	// Shorter than its memory map: touching a page behind its end is a fault.
	must(t, os.Truncate(path, 0))
	r.publish()
	must(t, c.Refresh(context.Background()))
	must(t, c.Refresh(context.Background()))
	must(t, c.Close())
	if !strings.Contains(log.String(), "floors is damaged") {
		t.Errorf("log: %q", log)
	}
	if now, err := os.Stat(path); err != nil || now.Size() < info.Size() {
		t.Errorf("the new file: %v, %v", now, err)
	}
	l, err := openLedger(path, slog.New(slog.DiscardHandler))
	must(t, err)
	defer l.close()
	if l.fl.Roles[metadata.TARGETS].Version != 4 {
		t.Errorf("floors %+v", l.fl)
	}
}

// Wherever the file is hit, the client opens, never believes less than what
// trusted.json says, and goes on.
func TestFloorsHitAnywhere(t *testing.T) {
	r, dir, old := seen(t)
	path := filepath.Join(dir, "floors.db")
	whole, err := os.ReadFile(path)
	must(t, err)
	honest := r.snapshotFiles()
	rng := rand.New(rand.NewPCG(1, 2))
	replaced := 0
	for round := range 150 {
		data := bytes.Clone(whole)
		switch at := rng.IntN(len(data)); round % 3 {
		case 0:
			data = data[:at]
		case 1:
			data[at] ^= byte(1 + rng.IntN(255))
		default:
			for i := range min(512, len(data)-at) {
				data[at+i] = byte(rng.Uint32())
			}
		}
		must(t, os.WriteFile(path, data, 0o600))
		_ = os.Remove(path + ".damaged")
		c, err := Open(r.options(dir))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if _, err := os.Stat(path + ".damaged"); err == nil {
			replaced++
		}
		if fl := c.floors.fl; fl.Roles[metadata.TARGETS].Version != 3 || fl.Roles[metadata.ROOT].Version != 2 || fl.Time.IsZero() {
			t.Errorf("round %d: floors %+v", round, fl)
		}
		r.restore(old, nil)
		if err := c.Refresh(context.Background()); !errors.Is(err, ErrRollback) {
			t.Errorf("round %d: the old repository: %v", round, err)
		}
		r.restore(honest, nil)
		must(t, c.Refresh(context.Background()))
		must(t, c.Close())
	}
	t.Logf("set aside %d of 150 times; the others hit what is not read", replaced)
	if replaced == 0 {
		t.Error("no damage was noticed")
	}
}

// What is left of trusted.json and root.json after a power cut is not believed,
// is said, and brings no old release back.
func TestTornState(t *testing.T) {
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	zeros := func(b []byte) []byte { return make([]byte, len(b)) }
	none := func(b []byte) []byte { return nil }
	for name, tt := range map[string]struct {
		file   string
		damage func([]byte) []byte
		said   string
	}{
		"half a state":    {"trusted.json", cut, "saved repository metadata is unusable"},
		"a state of zero": {"trusted.json", zeros, "saved repository metadata is unusable"},
		"an empty state":  {"trusted.json", none, "saved repository metadata is unusable"},
		"half a root":     {"root.json", cut, "saved root is unusable"},
		"a root of zeros": {"root.json", zeros, "saved root is unusable"},
		"an empty root":   {"root.json", none, "saved root is unusable"},
		"a foreign root":  {"root.json", func([]byte) []byte { return []byte(`{"signatures":[],"signed":{"_type":"root","roles":null}}`) }, "saved root is unusable"},
	} {
		t.Run(name, func(t *testing.T) {
			r, dir, old := seen(t)
			path := filepath.Join(dir, tt.file)
			data, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, tt.damage(data), 0o600))
			c, log := openLogged(t, r, dir)
			if !strings.Contains(log.String(), tt.said) {
				t.Errorf("log: %q, want %q", log, tt.said)
			}
			_, err = c.Releases()
			if lost := tt.file == "trusted.json"; lost != errors.Is(err, ErrNoMetadata) {
				t.Errorf("Releases: %v", err)
			}
			honest := r.snapshotFiles()
			r.restore(old, nil)
			if err := c.Refresh(context.Background()); !errors.Is(err, ErrRollback) {
				t.Errorf("the old repository: %v", err)
			}
			r.restore(honest, nil)
			must(t, c.Refresh(context.Background()))
			must(t, c.Close())
			if n, err := parseRoot(must2(os.ReadFile(filepath.Join(dir, "root.json")))); n != 2 || err != nil {
				t.Errorf("root.json: version %d, %v", n, err)
			}
		})
	}
}

func must2(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// With root.json and trusted.json torn, the floors still hold.
func TestAllTornButFloors(t *testing.T) {
	r, dir, old := seen(t)
	delete(old, "/2.root.json") // the thief even hides the newer root
	for _, name := range []string{"trusted.json", "root.json"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600))
	}
	c := r.open(dir)
	defer c.Close()
	honest := r.snapshotFiles()
	r.restore(old, nil)
	if err := c.Refresh(context.Background()); !errors.Is(err, ErrRollback) {
		t.Errorf("the old repository: %v", err)
	}
	r.restore(honest, nil)
	must(t, c.Refresh(context.Background()))
}

// A thief of the online and targets keys signs huge versions, so that nothing of
// the owner's is ever newer; new keys begin anew.
func TestFastForward(t *testing.T) {
	r, dir, _ := seen(t)
	c := r.open(dir)
	defer func() { c.Close() }()
	low := maps.Clone(r.version)
	for name := range r.version {
		r.version[name] = 1 << 40
	}
	r.publish()
	must(t, c.Refresh(context.Background()))
	r.version = maps.Clone(low)
	r.publish()
	if err := c.Refresh(context.Background()); !errors.Is(err, ErrRollback) {
		t.Errorf("with the same keys: %v", err)
	}
	for _, name := range roles[1:] {
		r.revoke(name)
	}
	r.version = low
	r.publish()
	must(t, c.Refresh(context.Background()))
	must(t, c.Close())
	c = r.open(dir)
	if len(mustReleases(t, c)) != 1 || c.view.versions[metadata.TARGETS].Version != low[metadata.TARGETS] {
		t.Errorf("versions %v, want %v", c.view.versions, low)
	}
}

// A clock that goes back to 1970 makes nothing valid again, and nothing that is
// valid invalid.
func TestTimeFloor(t *testing.T) {
	for _, lost := range []string{"nothing", "floors.db", "trusted.json"} {
		t.Run("lost "+lost, func(t *testing.T) {
			r, dir := newRepo(t), t.TempDir()
			seen := time.Now().Add(20 * time.Hour)
			c := r.open(dir)
			c.now = func() time.Time { return seen }
			must(t, c.Refresh(context.Background()))
			must(t, c.Close())
			if lost != "nothing" {
				must(t, os.Remove(filepath.Join(dir, lost)))
			}
			c = r.open(dir)
			defer c.Close()
			c.now = func() time.Time { return time.Unix(0, 0) }
			if at := c.reference(); !at.Equal(seen) {
				t.Errorf("reference time %v, want %v", at, seen)
			}
			good := r.expires
			r.expires = seen.Add(-time.Hour)
			r.publish()
			if err := c.Refresh(context.Background()); !errors.Is(err, ErrExpired) {
				t.Errorf("what had expired at the last refresh: %v", err)
			}
			r.expires = good
			r.publish()
			must(t, c.Refresh(context.Background()))
			must(t, c.fresh())
			if role, at, ok := c.Expires(); role == "" || !at.Equal(good) || !ok {
				t.Errorf("Expires: %s, %v, %v, want %v", role, at, ok, good)
			}
			c.now = func() time.Time { return good }
			if err := c.fresh(); !errors.Is(err, ErrExpired) || len(mustReleases(t, c)) != 1 {
				t.Errorf("at its end: %v", err)
			}
		})
	}
}

func mustReleases(t *testing.T, c *Client) []Release {
	t.Helper()
	all, err := c.Releases()
	must(t, err)
	return all
}

// Who tells a client that nothing was fetched yet gets false, not a zero time.
func TestExpiresBeforeRefresh(t *testing.T) {
	r := newRepo(t)
	c := r.open(t.TempDir())
	defer c.Close()
	if role, at, ok := c.Expires(); role != "" || !at.IsZero() || ok {
		t.Errorf("%q, %v, %v", role, at, ok)
	}
	if err := c.fresh(); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("Fresh: %v", err)
	}
}

func TestBusy(t *testing.T) {
	r, dir := newRepo(t), t.TempDir()
	c := r.open(dir)
	if _, err := Open(r.options(dir)); !errors.Is(err, ErrBusy) {
		t.Errorf("a second handle: %v", err)
	}
	if out := child(t, r, dir, "", "open").output(t); !strings.Contains(out, ErrBusy.Error()) {
		t.Errorf("a second process: %q", out)
	}
	must(t, c.Refresh(context.Background())) // the first one goes on
	must(t, c.Close())
	if err := c.Refresh(context.Background()); err == nil {
		t.Error("a closed client refreshed")
	}
	if _, err := os.Stat(filepath.Join(dir, "floors.db.damaged")); err == nil {
		t.Error("a closed file was taken for a damaged one")
	}
	if out := child(t, r, dir, "", "open").output(t); !strings.Contains(out, "opened") {
		t.Errorf("a process after it: %q", out)
	}
	c = r.open(dir)
	must(t, c.Close())
}

// A state without a time, and with fields that are not known, still loads.
func TestStateForms(t *testing.T) {
	r, dir, _ := seen(t)
	path := filepath.Join(dir, "trusted.json")
	var m map[string]any
	must(t, json.Unmarshal(must2(os.ReadFile(path)), &m))
	delete(m, "time")
	m["later"] = "of a version to come"
	data, err := json.Marshal(m)
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
	c, log := openLogged(t, r, dir)
	if len(mustReleases(t, c)) != 1 || log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}
