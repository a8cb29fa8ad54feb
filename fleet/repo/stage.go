package repo

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/sync/release"
)

// Add stages a bundle's zip file as the target of a release, and returns the
// target's path. The model version must be new, or the file the same as before
// (a release of it anew); the sequence number must be higher than any of the
// model's.
func (r *Repo) Add(bundle string, m release.Meta) (target string, err error) {
	defer func() {
		if err != nil {
			target, err = "", fmt.Errorf("add %s: %w", bundle, err)
		}
	}()
	if err := m.Check(); err != nil {
		return "", err
	}
	f, err := os.Open(bundle)
	if err != nil {
		return "", err
	}
	defer f.Close()
	file, err := examine(f)
	if err != nil {
		return "", err
	}
	target = release.Target(m.Model)
	if err := r.mayAdd(target, file, m); err != nil {
		return "", err
	}
	custom, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	file.Custom = (*json.RawMessage)(&custom)
	path := r.targetPath(target, file)
	_, err = os.Lstat(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err := writePublic(path, copyOf(f, file)); err != nil {
		return "", err
	}
	err = r.stageTargets(func(t *metadata.TargetsType) { t.Targets[target] = file })
	if err != nil && isNew {
		err = errors.Join(err, os.Remove(path))
	}
	return target, err
}

// examine measures and hashes a bundle, and sees that it is a zip file with a
// model in it. Whether the model works is for `egret model pack` and the devices.
func examine(f *os.File) (*metadata.TargetFiles, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no ordinary file")
	case info.Size() > release.MaxBundleBytes:
		return nil, fmt.Errorf("it has %d bytes, a bundle at most %d", info.Size(), int64(release.MaxBundleBytes))
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: egret model pack makes bundles", err)
	}
	if !slices.ContainsFunc(z.File, func(e *zip.File) bool { return strings.HasSuffix(e.Name, ".tflite") }) {
		return nil, errors.New("there is no .tflite file in it: egret model pack makes bundles")
	}
	hash := sha256.New()
	n, err := io.Copy(hash, io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		return nil, err
	}
	return &metadata.TargetFiles{Length: n, Hashes: metadata.Hashes{"sha256": hash.Sum(nil)}}, nil
}

// copyOf copies a file that has been examined, and sees that it is still the same.
func copyOf(f *os.File, file *metadata.TargetFiles) func(io.Writer) error {
	return func(w io.Writer) error {
		hash := sha256.New()
		if _, err := io.Copy(io.MultiWriter(w, hash), io.NewSectionReader(f, 0, file.Length)); err != nil {
			return err
		}
		if !slices.Equal(hash.Sum(nil), file.Hashes["sha256"]) {
			return errors.New("it changed while it was read")
		}
		return nil
	}
}

func (r *Repo) mayAdd(target string, file *metadata.TargetFiles, m release.Meta) error {
	present := r.nextTargets().Signed.Targets
	if old := present[target]; old != nil && !old.Hashes.Equal(file.Hashes) {
		return fmt.Errorf("target %s is there already with another hash: a version's content never changes, give it a new version", target)
	}
	var highest uint64
	for _, name := range slices.Sorted(maps.Keys(present)) {
		if name == release.PolicyTarget {
			continue
		}
		other, err := metaOf(name, present[name])
		if err != nil {
			return err
		}
		if other.Model.Name != m.Model.Name {
			continue
		}
		highest = max(highest, other.Sequence)
		if other.Release == m.Release && name != target {
			return fmt.Errorf("release %s is %s already", m.Release, name)
		}
	}
	if m.Sequence <= highest {
		return fmt.Errorf("sequence number %d does not grow: model %s has %d already", m.Sequence, m.Model.Name, highest)
	}
	policy, err := r.readPolicy(r.nextTargets())
	if err != nil {
		return err
	}
	return policy.Allows(m)
}

// Withdraw stages a policy under which devices install no release of the model
// below the sequence number. The number never goes down again.
func (r *Repo) Withdraw(model string, below uint64) error {
	policy, err := r.readPolicy(r.nextTargets())
	if err != nil {
		return fmt.Errorf("withdraw %s: %w", model, err)
	}
	if low := policy.MinSequence[model]; below <= low {
		return fmt.Errorf("withdraw %s: the lowest sequence number is %d already: it only grows", model, low)
	}
	next := release.Policy{MinSequence: map[string]uint64{}}
	maps.Copy(next.MinSequence, policy.MinSequence)
	next.MinSequence[model] = below
	data, err := json.Marshal(next)
	if err == nil {
		_, err = release.ParsePolicy(data)
	}
	if err == nil {
		known := slices.ContainsFunc(slices.Collect(maps.Keys(r.nextTargets().Signed.Targets)), func(name string) bool {
			m, err := release.ParseTarget(name)
			return err == nil && m.Name == model
		})
		if !known {
			err = errors.New("no target is of this model")
		}
	}
	if err != nil {
		return fmt.Errorf("withdraw %s: %w", model, err)
	}
	sum := sha256.Sum256(data)
	file := &metadata.TargetFiles{Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}}
	if err := writePublic(r.targetPath(release.PolicyTarget, file), content(data)); err != nil {
		return fmt.Errorf("withdraw %s: %w", model, err)
	}
	return r.stageTargets(func(t *metadata.TargetsType) { t.Targets[release.PolicyTarget] = file })
}

// Renew stages a role's metadata, root or targets, with nothing new but the time
// at which it expires.
func (r *Repo) Renew(role string) error {
	switch role {
	case RoleRoot:
		return r.stageRoot(func(*metadata.RootType) error { return nil })
	case RoleTargets:
		return r.stageTargets(func(*metadata.TargetsType) {})
	}
	return fmt.Errorf("renew %q: root and targets can be renewed, publishing renews the others", role)
}

// stageTargets writes the next version, unsigned, with what was staged before
// and the change.
func (r *Repo) stageTargets(change func(*metadata.TargetsType)) error {
	next, err := clone(r.nextTargets())
	if err != nil {
		return fmt.Errorf("stage targets: %w", err)
	}
	change(&next.Signed)
	next.Signed.Version = r.targets.Signed.Version + 1
	next.Signed.Expires = r.expires(r.config.Expiry.Targets)
	next.ClearSignatures()
	err = checkTargets(next)
	if err == nil {
		err = writeStaged(r, metadata.TARGETS, next, maxTargets)
	}
	if err != nil {
		return fmt.Errorf("stage targets: %w", err)
	}
	r.staged.targets = next
	return nil
}

func (r *Repo) stageRoot(change func(*metadata.RootType) error) error {
	next, err := clone(r.nextRoot())
	if err != nil {
		return fmt.Errorf("stage root: %w", err)
	}
	if err := change(&next.Signed); err != nil {
		return fmt.Errorf("stage root: %w", err)
	}
	next.Signed.Version = r.root.Signed.Version + 1
	next.Signed.Expires = r.expires(r.config.Expiry.Root)
	next.ClearSignatures()
	err = checkRoot(next)
	if err == nil {
		err = writeStaged(r, metadata.ROOT, next, maxRoot)
	}
	if err != nil {
		return fmt.Errorf("stage root: %w", err)
	}
	r.staged.root = next
	return nil
}

func writeStaged[T metadata.Roles](r *Repo, role string, m *metadata.Metadata[T], limit int) error {
	data, err := m.ToBytes(false)
	if err != nil {
		return err
	}
	if len(data) > limit {
		return fmt.Errorf("it would have %d bytes, clients take at most %d", len(data), limit)
	}
	return writePublic(r.stagedPath(role), content(data))
}

func clone[T metadata.Roles](m *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	data, err := m.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return decode[T](data)
}
