package repo

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/sync/release"
)

// Published are the versions that clients get now.
type Published struct {
	Root      int64     `json:"root"`
	Targets   int64     `json:"targets"`
	Snapshot  int64     `json:"snapshot"`
	Timestamp int64     `json:"timestamp"`
	Until     time.Time `json:"until"` // when the timestamp expires
}

// Publish checks what is staged, writes it with a new snapshot and a new
// timestamp, and unstages it. With nothing staged it only renews those two.
//
// Files appear one by one, each whole, in an order in which a crash in between
// leaves what clients have seen so far valid: a timestamp never names what is
// not there. Where a staged root replaces a key, clients can go on through a
// crash if the replaced key has signed too (Sign and Publish do so when they are
// given it); without it they wait until Publish has been run again.
func (r *Repo) Publish(keys []*KeyFile, ask Passphrase) (p Published, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("publish: %w", err)
		}
	}()
	if err := r.ready(); err != nil {
		return Published{}, err
	}
	ring := keyring{keys: keys, ask: ask, open: map[string]ed25519.PrivateKey{}}
	signers, err := ring.signers(r.eitherRoot(metadata.TIMESTAMP))
	if err != nil {
		return Published{}, err
	}
	p, err = r.write(r.nextRoot(), r.nextTargets(), r.snapshot.Signed.Version+1, r.timestamp.Signed.Version+1, signers)
	if err != nil {
		return Published{}, err
	}
	for _, role := range []string{metadata.ROOT, metadata.TARGETS} {
		if err := os.Remove(r.stagedPath(role)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return p, r.reload()
}

// reload reads what is published now.
func (r *Repo) reload() error {
	r.state = state{}
	return r.load()
}

// ready tells why what is staged cannot be published.
func (r *Repo) ready() error {
	root, targets := r.nextRoot(), r.nextTargets()
	if r.staged.root != nil {
		if root.Signed.Version != r.root.Signed.Version+1 {
			return fmt.Errorf("staged root is version %d, the published one %d", root.Signed.Version, r.root.Signed.Version)
		}
		for _, by := range []*rootMeta{r.root, root} {
			if err := enough(by, metadata.ROOT, root); err != nil {
				return fmt.Errorf("root %d, by the keys of root %d: %w", root.Signed.Version, by.Signed.Version, err)
			}
		}
	}
	if err := enough(root, metadata.TARGETS, targets); err != nil {
		return fmt.Errorf("targets %d: %w", targets.Signed.Version, err)
	}
	for _, m := range []struct {
		role    string
		expires time.Time
	}{{metadata.ROOT, root.Signed.Expires}, {metadata.TARGETS, targets.Signed.Expires}} {
		if !r.now().Before(m.expires) {
			return fmt.Errorf("%s metadata has %w on %s", m.role, ErrExpired, m.expires.Format(time.DateOnly))
		}
	}
	if err := r.onlyGrows(targets); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(targets.Signed.Targets)) {
		if err := r.verifyFile(name, targets.Signed.Targets[name]); err != nil {
			return err
		}
	}
	return nil
}

// onlyGrows compares targets with those that are published.
func (r *Repo) onlyGrows(targets *targetsMeta) error {
	policy, err := r.readPolicy(targets)
	if err != nil {
		return err
	}
	for model, low := range r.policy.MinSequence {
		if policy.MinSequence[model] < low {
			return fmt.Errorf("model %s: the lowest sequence number goes down from %d to %d", model, low, policy.MinSequence[model])
		}
	}
	highest, published := map[string]uint64{}, map[string]uint64{}
	for name, t := range r.targets.Signed.Targets {
		if name == release.PolicyTarget {
			continue
		}
		if next := targets.Signed.Targets[name]; next == nil || !next.Hashes.Equal(t.Hashes) {
			return fmt.Errorf("target %s is published and has vanished or changed: give a new version to what is new, and withdraw what is old", name)
		}
		m, err := metaOf(name, t)
		if err != nil {
			return err
		}
		published[name] = m.Sequence
		highest[m.Model.Name] = max(highest[m.Model.Name], m.Sequence)
	}
	for name, t := range targets.Signed.Targets {
		if name == release.PolicyTarget {
			continue
		}
		m, err := metaOf(name, t)
		if err != nil {
			return err
		}
		if m.Sequence != published[name] && m.Sequence <= highest[m.Model.Name] {
			return fmt.Errorf("target %s: sequence number %d does not grow: %d is published", name, m.Sequence, highest[m.Model.Name])
		}
	}
	return nil
}

// verifyFile reads a target's file and compares it with what is signed.
func (r *Repo) verifyFile(name string, t *metadata.TargetFiles) error {
	f, err := os.Open(r.targetPath(name, t))
	if err != nil {
		return fmt.Errorf("target %s: %w", name, err)
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(f, t.Length+1))
	if err == nil && (n != t.Length || !slices.Equal(hash.Sum(nil), t.Hashes["sha256"])) {
		err = fmt.Errorf("its file %w", ErrTampered)
	}
	if err != nil {
		return fmt.Errorf("target %s: %w", name, err)
	}
	return nil
}

// file is a file in the metadata folder.
type file struct {
	name string
	data []byte
}

// write writes what clients ask for, in plan's order.
func (r *Repo) write(root *rootMeta, targets *targetsMeta, snapshotVersion, timestampVersion int64, online []signer) (Published, error) {
	files, p, err := r.plan(root, targets, snapshotVersion, timestampVersion, online)
	if err != nil {
		return Published{}, err
	}
	for _, f := range files {
		if err := writePublic(r.meta(f.name), content(f.data)); err != nil {
			return Published{}, err
		}
	}
	return p, nil
}

// plan makes and signs snapshot and timestamp and puts the files in the order
// in which they may appear.
func (r *Repo) plan(root *rootMeta, targets *targetsMeta, snapshotVersion, timestampVersion int64, online []signer) ([]file, Published, error) {
	rootData, err := root.ToBytes(false)
	if err != nil {
		return nil, Published{}, err
	}
	targetsData, err := targets.ToBytes(false)
	if err != nil {
		return nil, Published{}, err
	}
	snapshot := metadata.Snapshot(r.expires(r.config.Expiry.Snapshot))
	snapshot.Signed.Version = snapshotVersion
	snapshot.Signed.Meta["targets.json"] = metaFile(targets.Signed.Version, targetsData)
	snapshotData, err := finish(root, metadata.SNAPSHOT, snapshot, online)
	if err != nil {
		return nil, Published{}, err
	}
	timestamp := metadata.Timestamp(r.expires(r.config.Expiry.Timestamp))
	timestamp.Signed.Version = timestampVersion
	timestamp.Signed.Meta["snapshot.json"] = metaFile(snapshotVersion, snapshotData)
	timestampData, err := finish(root, metadata.TIMESTAMP, timestamp, online)
	if err != nil {
		return nil, Published{}, err
	}
	rootFile, stampFile := file{numbered(root.Signed.Version, metadata.ROOT), rootData}, file{"timestamp.json", timestampData}
	files := []file{{numbered(targets.Signed.Version, metadata.TARGETS), targetsData}, {numbered(snapshotVersion, metadata.SNAPSHOT), snapshotData}}
	switch {
	case root == r.root:
		files = append(files, stampFile)
	case r.root != nil && signedFor(r.root, targets, snapshot, timestamp):
		// Valid under the old root and the new one: then no client ever sees a
		// timestamp that its root does not know.
		files = append(files, stampFile, rootFile)
	default:
		files = append(files, rootFile, stampFile)
	}
	p := Published{root.Signed.Version, targets.Signed.Version, snapshotVersion, timestampVersion, timestamp.Signed.Expires}
	return files, p, nil
}

func signedFor(root *rootMeta, targets *targetsMeta, snapshot *snapshotMeta, timestamp *timestampMeta) bool {
	return root.VerifyDelegate(metadata.TARGETS, targets) == nil && root.VerifyDelegate(metadata.SNAPSHOT, snapshot) == nil &&
		root.VerifyDelegate(metadata.TIMESTAMP, timestamp) == nil
}

// finish signs what the online keys sign, and checks it as a client would.
func finish[T metadata.Roles](root *rootMeta, role string, m *metadata.Metadata[T], online []signer) ([]byte, error) {
	if err := signAll(m, online); err != nil {
		return nil, err
	}
	if err := root.VerifyDelegate(role, m); err != nil {
		return nil, fmt.Errorf("%s: %w: the online key %.8s is not among those given", role, ErrNoKey, root.Signed.Roles[role].KeyIDs[0])
	}
	return m.ToBytes(false)
}

// metaFile binds one file to another. Length and hash are optional in TUF;
// with them a client knows how much to read and mixes no two publications.
func metaFile(version int64, data []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(data)
	return &metadata.MetaFiles{Version: version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}
