package ota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/egret-edge/egret/internal/wholefile"
	"github.com/egret-edge/egret/sync/release"
)

// maxRotations bounds the roots that one Refresh walks through.
const maxRotations = 64

// Refresh brings the metadata up to date. When it fails, what was last good
// stays, unless a newer root has revoked the keys that signed it.
func (c *Client) Refresh(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(ctx); err != nil {
		return fmt.Errorf("refresh from %s: %w", c.fetch.metadata.Redacted(), kind(err))
	}
	return nil
}

func (c *Client) refresh(ctx context.Context) error {
	// go-tuf neither fsyncs nor writes several files at once, so it works on a
	// copy that is thrown away.
	work := filepath.Join(c.o.StateDir, "work")
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if v := c.view; v != nil {
		for name, data := range map[string][]byte{metadata.TIMESTAMP: v.state.Timestamp, metadata.SNAPSHOT: v.state.Snapshot, metadata.TARGETS: v.state.Targets} {
			if err := os.WriteFile(filepath.Join(work, name+".json"), data, 0o600); err != nil {
				return err
			}
		}
	}
	now := c.reference()
	runErr := c.update(ctx, work, func(u *updater.Updater) { u.UnsafeSetRefTime(now) })
	s, err := stateIn(work)
	if err != nil && runErr == nil {
		return err
	}
	if err := c.keepRoot(s.Root); err != nil {
		return err
	}
	if runErr != nil {
		return runErr
	}
	if err := c.fetchPolicy(ctx, &s); err != nil {
		return err
	}
	v, err := s.verify()
	if err != nil {
		return err
	}
	if err := c.floors.fl.check(v.versions); err != nil {
		return err
	}
	s.Time = now
	if err := c.keep(s); err != nil {
		return err
	}
	c.view = v
	if err := c.step("floors"); err != nil {
		return err
	}
	return c.floors.write(c.floors.fl.raise(v.versions, now))
}

// update runs go-tuf once.
func (c *Client) update(ctx context.Context, work string, set func(*updater.Updater)) error {
	cfg := &config.UpdaterConfig{
		MaxRootRotations: maxRotations, RootMaxLength: maxRoot, TimestampMaxLength: maxTimestamp,
		SnapshotMaxLength: maxSnapshot, TargetsMaxLength: maxTargets,
		Fetcher: bound{ctx, c.fetch}, LocalTrustedRoot: c.root, LocalMetadataDir: work, LocalTargetsDir: work,
		RemoteMetadataURL: c.fetch.metadata.String(), RemoteTargetsURL: c.fetch.targets.String(),
	}
	return parsing(func() error {
		u, err := updater.New(cfg)
		if err != nil {
			return err
		}
		set(u)
		return u.Refresh()
	})
}

func stateIn(work string) (s state, err error) {
	for name, to := range map[string]*[]byte{metadata.ROOT: &s.Root, metadata.TIMESTAMP: &s.Timestamp, metadata.SNAPSHOT: &s.Snapshot, metadata.TARGETS: &s.Targets} {
		data, e := readLimited(filepath.Join(work, name+".json"), maxTargets)
		err = errors.Join(err, e)
		*to = data
	}
	return s, err
}

// keepRoot saves a newer root even when the rest of the refresh failed: what it
// revokes is not believed again.
func (c *Client) keepRoot(newer []byte) error {
	was, _ := parseRoot(c.root)
	n, err := parseRoot(newer)
	if err != nil || n <= was {
		return nil
	}
	if low := c.floors.fl.Roles[metadata.ROOT].Version; n < low {
		return fmt.Errorf("root version %d: %w (version %d)", n, ErrRollback, low)
	}
	if err := c.write("root", c.rootPath(), newer); err != nil {
		return err
	}
	c.root = newer
	if c.view != nil {
		s := c.view.state
		s.Root = newer
		if c.view, err = s.verify(); err != nil {
			c.o.Log.Warn("a new root no longer trusts the keys of the saved metadata", "root", n)
		}
	}
	if err := c.step("root floor"); err != nil {
		return err
	}
	return c.floors.write(c.floors.fl.raise(versions{metadata.ROOT: {Version: n}}, time.Time{}))
}

func (c *Client) keep(s state) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.write("state", c.statePath(), data)
}

// write replaces a file for good.
func (c *Client) write(name, path string, data []byte) error {
	if err := c.step(name); err != nil {
		return err
	}
	if err := wholefile.Write(path, data); err != nil {
		return err
	}
	return wholefile.SyncDir(filepath.Dir(path))
}

// fetchPolicy fetches the signed policy, if there is one.
func (c *Client) fetchPolicy(ctx context.Context, s *state) error {
	var targets metadata.Metadata[metadata.TargetsType]
	var root metadata.Metadata[metadata.RootType]
	err := parsing(func() error {
		_, err := targets.FromBytes(s.Targets)
		if err == nil {
			_, err = root.FromBytes(s.Root)
		}
		return err
	})
	if err != nil {
		return err
	}
	info := targets.Signed.Targets[release.PolicyTarget]
	if info == nil {
		return nil
	}
	if v := c.view; v != nil && info.VerifyLengthHashes(v.state.Policy) == nil {
		s.Policy = v.state.Policy
		return nil
	}
	if info.Length > maxPolicy {
		return fmt.Errorf("%s of %d bytes: %w", release.PolicyTarget, info.Length, ErrTooLarge)
	}
	u, err := c.targetURL(release.PolicyTarget, info, root.Signed.ConsistentSnapshot)
	if err != nil {
		return err
	}
	data, err := bound{ctx, c.fetch}.DownloadFile(u.String(), info.Length, 0)
	if err == nil && info.VerifyLengthHashes(data) != nil {
		err = fmt.Errorf("%s: %w", release.PolicyTarget, ErrCorrupt)
	}
	s.Policy = data
	return err
}

func (c *Client) targetURL(path string, info *metadata.TargetFiles, prefix bool) (*url.URL, error) {
	sum, ok := info.Hashes["sha256"]
	if !ok || len(sum) != 32 {
		return nil, fmt.Errorf("target %s has no SHA-256: %w", path, ErrSignature)
	}
	dir, base := filepath.ToSlash(filepath.Dir(path)), filepath.Base(path)
	if prefix {
		base = sum.String() + "." + base
	}
	return c.fetch.targets.JoinPath(dir, base), nil
}

// kind adds the sentinel to an error of go-tuf.
func kind(err error) error {
	var as error
	var http *metadata.ErrDownloadHTTP
	switch {
	case err == nil, known(err):
		return err
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		as = ErrExpired
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		as = ErrRollback
	case errors.Is(err, &metadata.ErrLengthOrHashMismatch{}):
		as = ErrCorrupt
	case errors.As(err, &http):
		as = ErrNetwork
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, new(*os.PathError)), errors.As(err, new(*os.LinkError)):
		return err
	default:
		as = ErrSignature
	}
	return fmt.Errorf("%w: %s", as, oneLine(err))
}

func known(err error) bool {
	for _, e := range []error{ErrExpired, ErrRollback, ErrSignature, ErrCorrupt, ErrTooLarge, ErrNotListed, ErrWithdrawn, ErrUnfit, ErrNoSpace, ErrNetwork, ErrNoMetadata, ErrBusy} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
