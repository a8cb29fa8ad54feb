package ota

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/sync/release"
)

// served is what a repository with version 3 of all would have a client keep.
func served(files map[string][]byte) state {
	root := files["/1.root.json"]
	if newer := files["/2.root.json"]; newer != nil {
		root = newer
	}
	s := state{Root: root, Timestamp: files["/timestamp.json"], Snapshot: files["/3.snapshot.json"], Targets: files["/3.targets.json"]}
	for name, data := range files {
		if strings.HasSuffix(name, "."+release.PolicyTarget) {
			s.Policy = data
		}
	}
	return s
}

// honest is a state that verifies, and attacked what each attack would put in
// its place, as far as an attack is one of files.
func honest(t testing.TB) (good state, attacked []state) {
	r := newRepo(t)
	r.bundles[release.PolicyTarget] = []byte(`{"min_sequence":{"net":1}}`)
	r.publish()
	r.publish()
	good = served(r.snapshotFiles())
	for _, name := range slices.Sorted(maps.Keys(attacks())) {
		r := newRepo(t)
		r.publish()
		attacks()[name].do(r)
		attacked = append(attacked, served(r.snapshotFiles()))
	}
	return good, attacked
}

func (s *state) parts() []*[]byte {
	return []*[]byte{&s.Root, &s.Timestamp, &s.Snapshot, &s.Targets, &s.Policy}
}

// mustBeHonest fails when a state lists what the seeds' keys did not sign.
func mustBeHonest(t *testing.T, v *view) {
	t.Helper()
	for name := range v.targets {
		if name != "models/net/1.zip" && name != release.PolicyTarget {
			t.Errorf("a target that nobody signed was believed: %q", name)
		}
	}
	for name, role := range v.versions {
		if role.Version < 1 || role.Version > 3 {
			t.Errorf("%s version %d, which nobody signed", name, role.Version)
		}
	}
}

// FuzzState reads what may lie in trusted.json.
func FuzzState(f *testing.F) {
	good, attacked := honest(f)
	if _, err := good.verify(); err != nil {
		f.Fatal(err)
	}
	for _, s := range append(attacked, good) {
		data, err := json.Marshal(s)
		must(f, err)
		if len(data) > 64<<10 {
			continue // an oversize file, which is refused before it is kept
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	for _, s := range []string{"", "{}", "null", `{"root":"e30=","timestamp":"e30="}`, `{"root":1}`, `{"time":"x"}`, "\x00\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			return
		}
		v, err := s.verify()
		if err != nil {
			return
		}
		mustBeHonest(t, v)
		again, err := json.Marshal(s)
		must(t, err)
		if s, err = parseState(again); err != nil {
			t.Fatal(err)
		}
		if w, err := s.verify(); err != nil || !maps.Equal(w.versions, v.versions) {
			t.Errorf("saved and read again: %v, %v", w, err)
		}
	})
}

// FuzzMetadata puts one foreign file among those of an honest repository, and
// has all that reads it read it.
func FuzzMetadata(f *testing.F) {
	good, attacked := honest(f)
	for _, s := range append(attacked, good) {
		for i, part := range s.parts() {
			if len(*part) < 8<<10 { // oversize ones are refused before they are read
				f.Add(uint8(i), *part)
			}
		}
	}
	for i := range good.parts() {
		for _, s := range []string{`{}`, `null`, `{"signed":null}`, `{"signatures":null,"signed":{"_type":"targets","targets":{"x":null}}}`,
			`{"signatures":[null],"signed":{"_type":"root","keys":{"a":null},"roles":{"root":null}}}`,
			`{"signatures":[],"signed":{"_type":"snapshot","meta":{"targets.json":null}}}`,
			`{"signatures":[],"signed":{"_type":"timestamp","meta":null}}`, `{"min_sequence":{"../x":1}}`, strings.Repeat("[", 20000)} {
			f.Add(uint8(i), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		s := good
		*s.parts()[which%5] = data
		if n, err := parseRoot(data); err == nil && (n < 1 || n > 3) {
			t.Errorf("root version %d", n)
		}
		if v, err := s.verify(); err == nil {
			mustBeHonest(t, v)
		} else if !known(err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("verify: %q", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what it would fetch is not asked for
		c := &Client{fetch: unreachable(t)}
		_ = c.fetchPolicy(ctx, &s)
	})
}

func unreachable(t *testing.T) *fetcher {
	fetch, err := newFetcher(HTTP{Retries: -1}, "http://models.invalid", "http://models.invalid/targets")
	must(t, err)
	return fetch
}

// FuzzTarget reads one entry of signed targets: what it becomes has a name that
// can be a file's, and a URL below the repository's.
func FuzzTarget(f *testing.F) {
	f.Add("models/net/1.zip", []byte(`{"release":"r1","sequence":1,"model":{"name":"net","version":1}}`), int64(10), make([]byte, 32))
	f.Add("models/net/1.zip", []byte(`{"release":"r1","sequence":1,"model":{"name":"net","version":1},"hardware":["plan9/arm"],"min_agent":"9.9.9"}`), int64(-1), make([]byte, 32))
	f.Add("models/../net/1.zip", []byte(`{"release":"../..","sequence":1,"model":{"name":"..","version":1}}`), int64(1<<62), []byte("short"))
	f.Add("/etc/passwd", []byte(`null`), int64(0), []byte(nil))
	f.Add("models/net/1.zip?x#y", []byte(`{"model":{}}`), int64(1), make([]byte, 32))
	f.Fuzz(func(t *testing.T, name string, custom []byte, length int64, sum []byte) {
		raw := json.RawMessage(custom)
		info := &metadata.TargetFiles{Length: length, Hashes: metadata.Hashes{"sha256": sum}, Custom: &raw}
		c := &Client{o: Options{Platform: "linux/arm64", Agent: "1.0.0"}, view: &view{policy: release.Policy{}}, fetch: unreachable(t)}
		rel, err := c.release(name, info)
		if err != nil {
			return
		}
		file := rel.Model.Name + "-" + fmt.Sprint(rel.Model.Version) + ".zip"
		if filepath.Base(file) != file || !filepath.IsLocal(file) || rel.Target != name || path.Clean(name) != name {
			t.Errorf("%q became the file %q of %q", name, file, rel.Target)
		}
		u, err := c.targetURL(rel.Target, info, true)
		if err != nil || !strings.HasPrefix(u.Path, "/targets/models/"+rel.Model.Name+"/"+hex.EncodeToString(sum)+".") || u.RawQuery != "" || u.Host != "models.invalid" {
			t.Errorf("%q became %v, %v", name, u, err)
		}
		if _, err := url.Parse(u.String()); err != nil {
			t.Error(err)
		}
		if (length <= 0 || length > release.MaxBundleBytes) && rel.Refused == nil {
			t.Errorf("%d bytes were allowed", length)
		}
	})
}
