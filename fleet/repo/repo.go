// Package repo is the operator's side of signed model updates: a TUF repository
// (https://theupdateframework.github.io/specification/v1.0.31/) kept as plain
// files that any web server, bucket or CDN can hand out.
//
// It makes and keeps keys, stages changes, signs and publishes them. It neither
// serves files nor talks to devices, and it never looks into a model.
//
// # Layout
//
//	repo.json                                 the repository's configuration
//	metadata/N.root.json                      every root there was
//	metadata/N.targets.json, N.snapshot.json  consistent snapshots
//	metadata/timestamp.json                   what clients ask for first
//	targets/models/NAME/HASH.VERSION.zip      bundles
//	targets/HASH.policy.json                  the release policy
//	staged/root.json, staged/targets.json     what is not published yet
//
// Clients need metadata and targets only.
//
// # Caveats
//
// The lock on a folder is advisory and for one machine: two people who work on
// copies of one repository must take turns.
package repo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/sync/release"
)

// What a caller may branch on.
var (
	ErrNoRepository = errors.New("no repository")
	ErrLocked       = errors.New("another command works on this repository")
	ErrPassphrase   = errors.New("wrong passphrase, or the file was changed")
	ErrNoKey        = errors.New("missing key")
	ErrThreshold    = errors.New("not enough signatures")
	ErrExpired      = errors.New("expired")
	ErrNothing      = errors.New("nothing is staged")
	ErrTampered     = errors.New("does not hold what was signed")
)

const (
	configName  = "repo.json"
	metadataDir = "metadata"
	targetsDir  = "targets"
	stagedDir   = "staged"
)

// Limits of files, in bytes. Those of metadata are go-tuf's defaults for
// clients: what is larger, they would refuse.
const (
	maxConfig    = 16 << 10
	maxRoot      = 512_000
	maxTargets   = 5_000_000
	maxSnapshot  = 2_000_000
	maxTimestamp = 16_384
)

// Expiry is for how many days each role's metadata is valid.
type Expiry struct {
	Root      int `json:"root"`
	Targets   int `json:"targets"`
	Snapshot  int `json:"snapshot"`
	Timestamp int `json:"timestamp"`
}

// DefaultExpiry renews by hand what is signed by offline keys, and daily what
// tells clients that nobody holds the news back.
func DefaultExpiry() Expiry { return Expiry{Root: 365, Targets: 90, Snapshot: 7, Timestamp: 1} }

func (e Expiry) check() error {
	for _, r := range []struct {
		role string
		days int
	}{{"root", e.Root}, {"targets", e.Targets}, {"snapshot", e.Snapshot}, {"timestamp", e.Timestamp}} {
		if r.days < 1 || r.days > 3650 {
			return fmt.Errorf("%s metadata valid for %d days: 1 to 3650 are possible", r.role, r.days)
		}
	}
	return nil
}

type config struct {
	Format int    `json:"format"`
	Expiry Expiry `json:"expiry_days"`
}

func parseConfig(data []byte) (config, error) {
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return config{}, err
	}
	if c.Format != 1 {
		return config{}, fmt.Errorf("format %d: this program knows format 1", c.Format)
	}
	return c, c.Expiry.check()
}

// Repo is an open repository. It holds the folder's lock until Close. It is not
// for use by several goroutines at once.
type Repo struct {
	dir    string
	config config
	unlock func() error
	now    func() time.Time
	state
}

type (
	rootMeta      = metadata.Metadata[metadata.RootType]
	targetsMeta   = metadata.Metadata[metadata.TargetsType]
	snapshotMeta  = metadata.Metadata[metadata.SnapshotType]
	timestampMeta = metadata.Metadata[metadata.TimestampType]
)

// state is what the repository's files say.
type state struct {
	root      *rootMeta // the newest that is published
	previous  *rootMeta // the one before, nil when there is none
	targets   *targetsMeta
	snapshot  *snapshotMeta
	timestamp *timestampMeta
	policy    release.Policy
	// staged is what is not published yet; each may be nil.
	staged struct {
		root    *rootMeta
		targets *targetsMeta
	}
}

// Open locks the repository, reads it and checks that what is published is
// signed by it.
func Open(dir string) (*Repo, error) {
	data, err := readLimited(filepath.Join(dir, configName), maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open repository %q: %w", dir, ErrNoRepository)
	}
	if err != nil {
		return nil, fmt.Errorf("open repository %q: %w", dir, err)
	}
	r := &Repo{dir: dir, now: time.Now}
	if r.config, err = parseConfig(data); err != nil {
		return nil, fmt.Errorf("open repository %q: %s: %w", dir, configName, err)
	}
	if r.unlock, err = lock(filepath.Join(dir, ".lock")); err != nil {
		return nil, fmt.Errorf("open repository %q: %w", dir, err)
	}
	if err := r.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open repository %q: %w", dir, err), r.unlock())
	}
	return r, nil
}

// Close gives the lock back.
func (r *Repo) Close() error { return r.unlock() }

func (r *Repo) load() error {
	if err := r.loadRoots(); err != nil {
		return err
	}
	var err error
	if r.timestamp, _, err = read[metadata.TimestampType](r.meta("timestamp.json"), maxTimestamp); err != nil {
		return err
	}
	snap := r.timestamp.Signed.Meta["snapshot.json"]
	if snap == nil {
		return fmt.Errorf("timestamp.json: %w: no snapshot", ErrTampered)
	}
	var data []byte
	if r.snapshot, data, err = read[metadata.SnapshotType](r.meta(numbered(snap.Version, "snapshot")), maxSnapshot); err != nil {
		return err
	}
	if err := snap.VerifyLengthHashes(data); err != nil {
		return fmt.Errorf("snapshot %d: %w: %w", snap.Version, ErrTampered, err)
	}
	targets := r.snapshot.Signed.Meta["targets.json"]
	if targets == nil {
		return fmt.Errorf("snapshot %d: %w: no targets", snap.Version, ErrTampered)
	}
	if r.targets, data, err = read[metadata.TargetsType](r.meta(numbered(targets.Version, "targets")), maxTargets); err != nil {
		return err
	}
	if err := targets.VerifyLengthHashes(data); err != nil {
		return fmt.Errorf("targets %d: %w: %w", targets.Version, ErrTampered, err)
	}
	// Right after a new root the rest may still be signed for the one before: a
	// publish that was interrupted. Clients refuse that; the next publish mends it.
	for role, m := range map[string]any{metadata.TIMESTAMP: r.timestamp, metadata.SNAPSHOT: r.snapshot, metadata.TARGETS: r.targets} {
		err := r.root.VerifyDelegate(role, m)
		if err != nil && r.previous != nil {
			err = r.previous.VerifyDelegate(role, m)
		}
		if err != nil {
			return fmt.Errorf("published %s: %w: %w", role, ErrTampered, err)
		}
	}
	if err := checkTargets(r.targets); err != nil {
		return fmt.Errorf("published targets: %w: %w", ErrTampered, err)
	}
	if r.policy, err = r.readPolicy(r.targets); err != nil {
		return err
	}
	return r.loadStaged()
}

// loadRoots walks from the first root to the newest, as a client does.
func (r *Repo) loadRoots() error {
	for v := int64(1); ; v++ {
		next, _, err := read[metadata.RootType](r.meta(numbered(v, "root")), maxRoot)
		if errors.Is(err, fs.ErrNotExist) && v > 1 {
			return nil
		}
		if err != nil {
			return err
		}
		if err := checkRoot(next); err != nil {
			return fmt.Errorf("root %d: %w: %w", v, ErrTampered, err)
		}
		if next.Signed.Version != v {
			return fmt.Errorf("%s: %w: it is version %d", numbered(v, "root"), ErrTampered, next.Signed.Version)
		}
		if err := verifyRoot(r.root, next); err != nil {
			return fmt.Errorf("root %d: %w: %w", v, ErrTampered, err)
		}
		r.previous, r.root = r.root, next
	}
}

// verifyRoot checks a root's signatures: its own keys' and those of the root
// before it, if there is one.
func verifyRoot(before, next *rootMeta) error {
	if before != nil {
		if err := before.VerifyDelegate(metadata.ROOT, next); err != nil {
			return err
		}
	}
	return next.VerifyDelegate(metadata.ROOT, next)
}

func (r *Repo) loadStaged() error {
	root, _, err := read[metadata.RootType](r.stagedPath(metadata.ROOT), maxRoot)
	if err == nil {
		err = checkRoot(root)
	}
	// What has been published already was left by a publish that was interrupted.
	if err == nil && root.Signed.Version > r.root.Signed.Version {
		r.staged.root = root
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("staged root: %w", err)
	}
	targets, _, err := read[metadata.TargetsType](r.stagedPath(metadata.TARGETS), maxTargets)
	if err == nil {
		err = checkTargets(targets)
	}
	if err == nil && targets.Signed.Version > r.targets.Signed.Version {
		r.staged.targets = targets
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("staged targets: %w", err)
	}
	return nil
}

// nextRoot is the root as it will be once all is published.
func (r *Repo) nextRoot() *rootMeta {
	if r.staged.root != nil {
		return r.staged.root
	}
	return r.root
}

func (r *Repo) nextTargets() *targetsMeta {
	if r.staged.targets != nil {
		return r.staged.targets
	}
	return r.targets
}

// checkRoot refuses what go-tuf's verification would not survive: the file may
// have come by mail from another key holder.
func checkRoot(m *rootMeta) error {
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if m.Signed.Roles[role] == nil {
			return fmt.Errorf("role %s is missing", role)
		}
	}
	for id, key := range m.Signed.Keys {
		if key == nil || key.Type != metadata.KeyTypeEd25519 || len(key.Value.PublicKey) != 64 {
			return fmt.Errorf("key %.64q is no ed25519 key", id)
		}
		if _, err := key.ToPublicKey(); err != nil {
			return fmt.Errorf("key %.64q: %w", id, err)
		}
		if got, err := key.ID(); err != nil || got != id {
			return fmt.Errorf("key %.64q has another ID", id)
		}
	}
	return nil
}

// checkTargets refuses targets that this package would not have made. Sequence
// numbers are unique per model.
func checkTargets(m *targetsMeta) error {
	if m.Signed.Delegations != nil {
		return errors.New("there are delegations, which this program does not use")
	}
	seen := map[string]map[uint64]string{}
	for _, name := range slices.Sorted(maps.Keys(m.Signed.Targets)) {
		t := m.Signed.Targets[name]
		if t == nil || len(t.Hashes["sha256"]) != 32 || len(t.Hashes) != 1 || t.Length < 0 || t.Length > release.MaxBundleBytes {
			return fmt.Errorf("target %.100q: it needs a SHA-256 and a length of at most %d", name, int64(release.MaxBundleBytes))
		}
		if name == release.PolicyTarget {
			continue
		}
		meta, err := metaOf(name, t)
		if err != nil {
			return err
		}
		if other, ok := seen[meta.Model.Name][meta.Sequence]; ok {
			return fmt.Errorf("targets %s and %s have the same sequence number %d", other, name, meta.Sequence)
		}
		if seen[meta.Model.Name] == nil {
			seen[meta.Model.Name] = map[uint64]string{}
		}
		seen[meta.Model.Name][meta.Sequence] = name
	}
	return nil
}

// metaOf is what is signed about a bundle.
func metaOf(name string, t *metadata.TargetFiles) (release.Meta, error) {
	if t.Custom == nil {
		return release.Meta{}, fmt.Errorf("target %.100q: it says no release", name)
	}
	meta, err := release.ParseMeta(*t.Custom)
	if err != nil {
		return release.Meta{}, fmt.Errorf("target %.100q: %w", name, err)
	}
	if release.Target(meta.Model) != name {
		return release.Meta{}, fmt.Errorf("target %.100q: it says model %s version %d", name, meta.Model.Name, meta.Model.Version)
	}
	return meta, nil
}

func (r *Repo) readPolicy(m *targetsMeta) (release.Policy, error) {
	t := m.Signed.Targets[release.PolicyTarget]
	if t == nil {
		return release.Policy{}, nil
	}
	data, err := readLimited(r.targetPath(release.PolicyTarget, t), maxConfig)
	if err != nil {
		return release.Policy{}, err
	}
	if err := t.VerifyLengthHashes(data); err != nil {
		return release.Policy{}, fmt.Errorf("%s: %w: %w", release.PolicyTarget, ErrTampered, err)
	}
	return release.ParsePolicy(data)
}

func (r *Repo) meta(name string) string       { return filepath.Join(r.dir, metadataDir, name) }
func (r *Repo) stagedPath(role string) string { return filepath.Join(r.dir, stagedDir, role+".json") }

// targetPath is where go-tuf's client asks for a target: its hash stands before
// the last part of its name.
func (r *Repo) targetPath(name string, t *metadata.TargetFiles) string {
	dir, base := filepath.Split(filepath.FromSlash(name))
	return filepath.Join(r.dir, targetsDir, dir, fmt.Sprintf("%x.%s", []byte(t.Hashes["sha256"]), base))
}

func numbered(version int64, role string) string { return fmt.Sprintf("%d.%s.json", version, role) }

// expires is the end of validity from now on; TUF knows whole seconds.
func (r *Repo) expires(days int) time.Time {
	return r.now().UTC().AddDate(0, 0, days).Truncate(time.Second)
}

// read reads metadata of one role.
func read[T metadata.Roles](path string, limit int64) (*metadata.Metadata[T], []byte, error) {
	data, err := readLimited(path, limit)
	if err != nil {
		return nil, nil, err
	}
	m, err := decode[T](data)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return m, data, nil
}

// decode is go-tuf's FromBytes, which panics on some nulls, such as a target
// that is null.
func decode[T metadata.Roles](data []byte) (m *metadata.Metadata[T], err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("no TUF metadata: %v", p)
		}
	}()
	return new(metadata.Metadata[T]).FromBytes(data)
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("read %s: it is larger than %d bytes", path, limit)
	}
	return data, err
}
