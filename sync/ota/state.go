package ota

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"github.com/egret-edge/egret/sync/release"
)

// Limits of what the repository may send.
const (
	maxRoot      = 256 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 256 << 10
	maxTargets   = 4 << 20
	maxPolicy    = 16 << 10
	// maxState holds them all in base64.
	maxState = 8 << 20
)

// state is what was verified, as the repository sent it, and when.
type state struct {
	Root      []byte `json:"root"`
	Timestamp []byte `json:"timestamp"`
	Snapshot  []byte `json:"snapshot"`
	Targets   []byte `json:"targets"`
	Policy    []byte `json:"policy,omitempty"`
	// Time is the floors' own, a second time: it outlives a damaged floors.db.
	Time time.Time `json:"time,omitzero"`
}

func readState(path string) (state, error) {
	data, err := readLimited(path, maxState)
	if err != nil {
		return state{}, err
	}
	return parseState(data)
}

// readLimited reads one byte more than the limit, so that the reader sees that
// it is too long.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

func parseState(data []byte) (state, error) {
	var s state
	if len(data) > maxState {
		return s, fmt.Errorf("more than %d bytes", maxState)
	}
	err := json.Unmarshal(data, &s)
	return s, err
}

// view is a state that holds together, read.
type view struct {
	state    state
	versions versions
	targets  map[string]*metadata.TargetFiles
	policy   release.Policy
	prefix   bool // files are stored under <hash>.<name>
	expires  time.Time
	expiring string // the role that expires first
}

// role is a version and who may sign it.
type role struct {
	Version int64  `json:"version"`
	Keys    string `json:"keys"` // a digest of the key ids and the threshold
}

// versions are by role: root, timestamp, snapshot, targets.
type versions map[string]role

// parsing runs what lets go-tuf read the bytes of others. It panics on some: on
// {"targets":{"x":null}}, for one.
func parsing(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: malformed: %v", ErrSignature, p)
		}
	}()
	return fn()
}

// verify checks signatures, versions and hashes throughout, and not whether
// anything has expired.
func (s state) verify() (v *view, err error) {
	err = parsing(func() error { v, err = s.read(); return err })
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (s state) read() (*view, error) {
	set, err := trustedmetadata.New(s.Root)
	if err != nil {
		return nil, kind(err)
	}
	set.RefTime = time.Time{}
	if _, err = set.UpdateTimestamp(s.Timestamp); err != nil {
		return nil, kind(err)
	}
	if _, err = set.UpdateSnapshot(s.Snapshot, false); err != nil {
		return nil, kind(err)
	}
	targets, err := set.UpdateDelegatedTargets(s.Targets, metadata.TARGETS, metadata.ROOT)
	if err != nil {
		return nil, kind(err)
	}
	root := set.Root
	v := &view{state: s, targets: targets.Signed.Targets, prefix: root.Signed.ConsistentSnapshot}
	v.versions = versions{
		metadata.ROOT:      {root.Signed.Version, ""},
		metadata.TIMESTAMP: {set.Timestamp.Signed.Version, keysOf(root, metadata.TIMESTAMP)},
		metadata.SNAPSHOT:  {set.Snapshot.Signed.Version, keysOf(root, metadata.SNAPSHOT, metadata.TIMESTAMP)},
		metadata.TARGETS:   {targets.Signed.Version, keysOf(root, metadata.TARGETS)},
	}
	v.expires, v.expiring = root.Signed.Expires, metadata.ROOT
	for name, at := range map[string]time.Time{metadata.TIMESTAMP: set.Timestamp.Signed.Expires, metadata.SNAPSHOT: set.Snapshot.Signed.Expires, metadata.TARGETS: targets.Signed.Expires} {
		if at.Before(v.expires) {
			v.expires, v.expiring = at, name
		}
	}
	if t := v.targets[release.PolicyTarget]; t != nil {
		if err := t.VerifyLengthHashes(s.Policy); err != nil {
			return nil, fmt.Errorf("%s: %w", release.PolicyTarget, ErrCorrupt)
		}
		if v.policy, err = release.ParsePolicy(s.Policy); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrSignature, oneLine(err))
		}
	}
	return v, nil
}

// keysOf tells sets of keys apart: the version of a role whose keys were
// replaced may start again, which is how a repository recovers from a thief who
// signed a huge version.
func keysOf(root *metadata.Metadata[metadata.RootType], roles ...string) string {
	h := sha256.New()
	for _, name := range roles {
		if r := root.Signed.Roles[name]; r != nil {
			ids := slices.Sorted(slices.Values(r.KeyIDs))
			fmt.Fprintf(h, "%s %d %q\n", name, r.Threshold, ids)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func parseRoot(data []byte) (version int64, err error) {
	err = parsing(func() error {
		set, err := trustedmetadata.New(data)
		if err == nil {
			version = set.Root.Signed.Version
		}
		return err
	})
	return version, err
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
