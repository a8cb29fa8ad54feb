package repo

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Rotate makes a new key for a role in the folder keys and stages a root in
// which it takes the place of another. That is the key whose ID begins with
// revoke; with an empty one it is the role's only key. The root then needs the
// signatures of both thresholds, of the old root keys and of the new ones.
func (r *Repo) Rotate(role, keys, revoke string, ask Passphrase) (made *KeyFile, revoked string, err error) {
	defer func() {
		if err != nil {
			made, err = nil, fmt.Errorf("rotate %s: %w", role, err)
		}
	}()
	if duties(role) == nil {
		return nil, "", errors.New("the roles with keys are root, targets and online")
	}
	if err := outside(r.dir, keys); err != nil {
		return nil, "", err
	}
	if revoked, err = pick(r.nextRoot().Signed.Roles[duties(role)[0]].KeyIDs, revoke); err != nil {
		return nil, "", err
	}
	if made, _, err = newKey(role, keys, ask); err != nil {
		return nil, "", err
	}
	if err = made.save(); err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(made.Path)
		}
	}()
	// Targets that the old key signed would be worth nothing under the new root.
	if role == RoleTargets {
		if err = r.Renew(RoleTargets); err != nil {
			return made, "", err
		}
	}
	err = r.stageRoot(func(root *metadata.RootType) error {
		key, err := made.tufKey()
		if err != nil {
			return err
		}
		for _, duty := range duties(role) {
			if err := errors.Join(root.RevokeKey(revoked, duty), root.AddKey(key, duty)); err != nil {
				return err
			}
		}
		return nil
	})
	return made, revoked, err
}

func pick(ids []string, prefix string) (string, error) {
	fits := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, prefix) })
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) == 0:
		return "", fmt.Errorf("%w: none of the role's keys is %s", ErrNoKey, prefix)
	case prefix == "":
		return "", fmt.Errorf("the role has %d keys: say which one to revoke", len(ids))
	}
	return "", fmt.Errorf("%d keys begin with %s", len(fits), prefix)
}
