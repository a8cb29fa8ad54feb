package repo

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/internal/wholefile"
)

const maxRootKeys = 16

// InitOptions are the choices of a new repository.
type InitOptions struct {
	// Keys is the folder for the key files. It must lie outside the repository.
	Keys string
	// RootKeys is how many root keys there are and RootThreshold how many of
	// them must sign a root. Zero is one.
	RootKeys, RootThreshold int
	// Expiry is DefaultExpiry when it is zero.
	Expiry Expiry
	// Passphrase is asked for each new key. It is required.
	Passphrase Passphrase
}

// Init makes a repository that clients can use at once, without any target,
// and its keys. It leaves nothing when it fails.
func Init(dir string, o InitOptions) (keys []*KeyFile, err error) {
	defer func() {
		if err != nil {
			keys, err = nil, fmt.Errorf("create repository %q: %w", dir, err)
		}
	}()
	o.RootKeys, o.RootThreshold = max(o.RootKeys, 1), max(o.RootThreshold, 1)
	if o.Expiry == (Expiry{}) {
		o.Expiry = DefaultExpiry()
	}
	switch {
	case o.RootKeys > maxRootKeys:
		return nil, fmt.Errorf("%d root keys: at most %d", o.RootKeys, maxRootKeys)
	case o.RootThreshold > o.RootKeys:
		return nil, fmt.Errorf("%d root keys cannot give %d signatures", o.RootKeys, o.RootThreshold)
	}
	if err := errors.Join(o.Expiry.check(), outside(dir, o.Keys), mustBeFree(dir)); err != nil {
		return nil, err
	}
	if err := makeDir(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return nil, err
	}
	// All is made beside its place and appears with one rename.
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), filepath.Base(dir)+".init-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	r := &Repo{dir: temp, now: time.Now, config: config{Format: 1, Expiry: o.Expiry}}
	if keys, err = r.fill(o); err != nil {
		return nil, err
	}
	saved := 0
	defer func() {
		if err != nil {
			for _, k := range keys[:saved] {
				_ = os.Remove(k.Path)
			}
		}
	}()
	for _, k := range keys {
		if err := k.save(); err != nil {
			return keys, err
		}
		saved++
	}
	// What mustBeFree found empty may go.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if err := os.Rename(temp, dir); err != nil {
		return keys, err
	}
	return keys, wholefile.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// fill writes the first version of everything.
func (r *Repo) fill(o InitOptions) ([]*KeyFile, error) {
	if err := os.Chmod(r.dir, 0o755); err != nil { // MkdirTemp's is its owner's alone
		return nil, err
	}
	root := metadata.Root(r.expires(o.Expiry.Root))
	var keys []*KeyFile
	var rootSigners, targetsSigners, onlineSigners []signer
	for _, made := range []struct {
		role string
		n    int
		to   *[]signer
	}{{RoleRoot, o.RootKeys, &rootSigners}, {RoleTargets, 1, &targetsSigners}, {RoleOnline, 1, &onlineSigners}} {
		for range made.n {
			k, private, err := newKey(made.role, o.Keys, o.Passphrase)
			if err != nil {
				return nil, err
			}
			if err := addKey(root, k); err != nil {
				return nil, err
			}
			keys = append(keys, k)
			*made.to = append(*made.to, signer{k.ID, private})
		}
	}
	root.Signed.Roles[metadata.ROOT].Threshold = o.RootThreshold
	targets := metadata.Targets(r.expires(o.Expiry.Targets))
	if err := errors.Join(signAll(root, rootSigners), signAll(targets, targetsSigners)); err != nil {
		return nil, err
	}
	if _, err := r.write(root, targets, 1, 1, onlineSigners); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(r.config, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := makeDir(filepath.Join(r.dir, targetsDir), 0o755); err != nil {
		return nil, err
	}
	return keys, writePublic(filepath.Join(r.dir, configName), content(append(data, '\n')))
}

// addKey lets a key act for its role.
func addKey(root *rootMeta, k *KeyFile) error {
	key, err := k.tufKey()
	if err != nil {
		return err
	}
	for _, role := range duties(k.Role) {
		if err := root.Signed.AddKey(key, role); err != nil {
			return err
		}
	}
	return nil
}

// signer is an unlocked key.
type signer struct {
	id      string
	private ed25519.PrivateKey
}

func signAll[T metadata.Roles](m *metadata.Metadata[T], signers []signer) error {
	for _, s := range signers {
		if err := signWith(m, s.id, s.private); err != nil {
			return err
		}
	}
	return nil
}

// outside refuses keys inside the repository: it goes to a web server.
func outside(dir, keys string) error {
	if keys == "" {
		return fmt.Errorf("%w: no folder for keys is named", ErrNoKey)
	}
	inner, err := realPath(keys)
	if err != nil {
		return err
	}
	outer, err := realPath(dir)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(outer, inner); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fmt.Errorf("the keys' folder %s lies inside it: what is in a repository gets published", keys)
	}
	return nil
}

// realPath follows links, also where the path's end is not made yet.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(abs) != abs {
		if real, err = realPath(filepath.Dir(abs)); err == nil {
			real = filepath.Join(real, filepath.Base(abs))
		}
	}
	return real, err
}

func mustBeFree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = errors.New("the folder is not empty")
	}
	return err
}
