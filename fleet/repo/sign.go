package repo

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Signed is a signature that was made.
type Signed struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Key     string `json:"key"`
}

// Sign signs what is staged with those of the keys that may sign it, and leaves
// the signatures of others as they are: key holders can sign one after the
// other. A key that a staged root revokes signs too. Root needs that; for
// targets it lets clients verify them before and after they have the new root.
func (r *Repo) Sign(keys []*KeyFile, ask Passphrase) ([]Signed, error) {
	if r.staged.root == nil && r.staged.targets == nil {
		return nil, fmt.Errorf("sign: %w", ErrNothing)
	}
	ring := keyring{keys: keys, ask: ask, open: map[string]ed25519.PrivateKey{}}
	var done []Signed
	var write []func() error
	if m := r.staged.root; m != nil {
		signers, err := ring.signers(r.eitherRoot(metadata.ROOT))
		if err != nil {
			return nil, fmt.Errorf("sign root: %w", err)
		}
		if err := signAll(m, signers); err != nil {
			return nil, fmt.Errorf("sign root: %w", err)
		}
		done = append(done, signed(metadata.ROOT, m.Signed.Version, signers)...)
		write = append(write, func() error { return writeStaged(r, metadata.ROOT, m, maxRoot) })
	}
	if m := r.staged.targets; m != nil {
		signers, err := ring.signers(r.eitherRoot(metadata.TARGETS))
		if err != nil {
			return nil, fmt.Errorf("sign targets: %w", err)
		}
		if err := signAll(m, signers); err != nil {
			return nil, fmt.Errorf("sign targets: %w", err)
		}
		done = append(done, signed(metadata.TARGETS, m.Signed.Version, signers)...)
		write = append(write, func() error { return writeStaged(r, metadata.TARGETS, m, maxTargets) })
	}
	if len(done) == 0 {
		return nil, fmt.Errorf("sign: %w: none of the %d key files given may sign what is staged", ErrNoKey, len(keys))
	}
	// Only now that every passphrase was right.
	for _, w := range write {
		if err := w(); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
	}
	return done, nil
}

func signed(role string, version int64, signers []signer) []Signed {
	var done []Signed
	for _, s := range signers {
		done = append(done, Signed{role, version, s.id})
	}
	return done
}

// eitherRoot are the keys of a TUF role in the published root or the staged one.
func (r *Repo) eitherRoot(role string) []string {
	ids := slices.Clone(r.nextRoot().Signed.Roles[role].KeyIDs)
	for _, id := range r.root.Signed.Roles[role].KeyIDs {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// keyring unlocks each key when it is needed, once.
type keyring struct {
	keys []*KeyFile
	ask  Passphrase
	open map[string]ed25519.PrivateKey
}

// signers unlocks those of the keys that are there.
func (k keyring) signers(ids []string) ([]signer, error) {
	var signers []signer
	for _, id := range ids {
		i := slices.IndexFunc(k.keys, func(f *KeyFile) bool { return f.ID == id })
		if i < 0 {
			continue
		}
		if k.open[id] == nil {
			passphrase, err := k.ask(k.keys[i], false)
			if err != nil {
				return nil, err
			}
			if k.open[id], err = k.keys[i].unlock(passphrase); err != nil {
				return nil, err
			}
		}
		signers = append(signers, signer{id, k.open[id]})
	}
	return signers, nil
}

// signatures tells which of the keys that root names for a role have signed m.
func signatures(root *rootMeta, role string, m any) []string {
	var have []string
	for _, id := range root.Signed.Roles[role].KeyIDs {
		alone := &rootMeta{Signed: metadata.RootType{
			Keys:  root.Signed.Keys,
			Roles: map[string]*metadata.Role{role: {KeyIDs: []string{id}, Threshold: 1}},
		}}
		if alone.VerifyDelegate(role, m) == nil {
			have = append(have, id)
		}
	}
	return have
}

// enough tells whether root's threshold for a role is met.
func enough(root *rootMeta, role string, m any) error {
	if err := root.VerifyDelegate(role, m); err != nil {
		return fmt.Errorf("%w: %d of %d", ErrThreshold, len(signatures(root, role, m)), root.Signed.Roles[role].Threshold)
	}
	return nil
}
