package ota

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/sync/release"
)

// Release is a signed release.
type Release struct {
	release.Meta
	Target string `json:"target"`
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
	// Refused says why this device may not install it; nil when it may. It is
	// ErrWithdrawn, ErrUnfit or ErrTooLarge.
	Refused error `json:"-"`
}

// Releases lists what was last known to be signed, by model and sequence. A
// target that is no release is left out. It works with expired metadata.
func (c *Client) Releases() ([]Release, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.releases()
}

func (c *Client) releases() ([]Release, error) {
	if c.view == nil {
		return nil, ErrNoMetadata
	}
	var all []Release
	for path, info := range c.view.targets {
		if path == release.PolicyTarget {
			continue
		}
		rel, err := c.release(path, info)
		if err != nil {
			c.o.Log.Warn("a signed target is no release", "target", fmt.Sprintf("%.100q", path), "error", oneLine(err))
			continue
		}
		all = append(all, rel)
	}
	slices.SortFunc(all, func(a, b Release) int {
		return cmp.Or(strings.Compare(a.Model.Name, b.Model.Name), cmp.Compare(a.Sequence, b.Sequence), strings.Compare(a.Target, b.Target))
	})
	return all, nil
}

func (c *Client) release(path string, info *metadata.TargetFiles) (Release, error) {
	if info == nil || info.Custom == nil || len(info.Hashes["sha256"]) != sha256.Size {
		return Release{}, errors.New("no custom metadata or no SHA-256")
	}
	m, err := release.ParseMeta(*info.Custom)
	if err != nil {
		return Release{}, err
	}
	if release.Target(m.Model) != path {
		return Release{}, fmt.Errorf("its metadata is of %s", release.Target(m.Model))
	}
	r := Release{Meta: m, Target: path, Length: info.Length, SHA256: hex.EncodeToString(info.Hashes["sha256"])}
	if err := c.view.policy.Allows(m); err != nil {
		r.Refused = fmt.Errorf("%w: %w", ErrWithdrawn, err)
	} else if err := m.Fits(c.o.Platform, c.o.Agent); err != nil {
		r.Refused = fmt.Errorf("%w: %w", ErrUnfit, err)
	} else if info.Length <= 0 || info.Length > release.MaxBundleBytes {
		r.Refused = fmt.Errorf("release %s has %d bytes: %w, at most %d", m.Release, info.Length, ErrTooLarge, release.MaxBundleBytes)
	}
	return r, nil
}

// Find returns the release of that name. A name that several targets bear is
// the one with the highest sequence.
func (c *Client) Find(name string) (Release, error) {
	all, err := c.Releases()
	if err != nil {
		return Release{}, err
	}
	var found *Release
	for i, r := range all {
		if r.Release == name && (found == nil || r.Sequence > found.Sequence) {
			found = &all[i]
		}
	}
	if found == nil {
		return Release{}, fmt.Errorf("release %.100q: %w", name, ErrNotListed)
	}
	return *found, nil
}

// Policy is what was last known to be signed for the repository as a whole.
func (c *Client) Policy() release.Policy {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil {
		return release.Policy{}
	}
	return c.view.policy
}

// fresh tells whether anything new may be installed: nil, ErrExpired or
// ErrNoMetadata.
func (c *Client) fresh() error {
	if c.view == nil {
		return ErrNoMetadata
	}
	if v := c.view; !c.reference().Before(v.expires) {
		return fmt.Errorf("%s: %w at %s: nothing new is installed", v.expiring, ErrExpired, v.expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// Expires tells which role of the last good state expires first, and when. It is
// false before the first Refresh that worked.
func (c *Client) Expires() (role string, at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil {
		return "", time.Time{}, false
	}
	return c.view.expiring, c.view.expires, true
}

const (
	partSuffix = ".egret-part"
	etagSuffix = ".egret-etag"
	// spare is left free on the disk for everybody else.
	spare = 16 << 20
)

// Download fetches a release's bundle into dir and returns its path,
// <name>-<version>.zip. What an earlier try fetched is not fetched again; parts
// of other releases are removed. Only what is signed to be there, with that
// length and hash, ever bears that name.
func (c *Client) Download(ctx context.Context, rel Release, dir string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path, err := c.download(ctx, rel, dir)
	if err != nil {
		return "", fmt.Errorf("download release %.100q: %w", rel.Release, err)
	}
	return path, nil
}

func (c *Client) download(ctx context.Context, rel Release, dir string) (string, error) {
	if err := c.fresh(); err != nil {
		return "", err
	}
	// The caller's copy may be from before a refresh.
	info := c.view.targets[rel.Target]
	if info == nil {
		return "", ErrNotListed
	}
	now, err := c.release(rel.Target, info)
	switch {
	case err != nil || now.Release != rel.Release || now.SHA256 != rel.SHA256:
		return "", ErrNotListed
	case now.Refused != nil:
		return "", now.Refused
	}
	u, err := c.targetURL(now.Target, info, c.view.prefix)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	d := &transfer{f: c.fetch, free: c.free, progress: c.o.Progress, url: u.String(), length: now.Length, sum: now.SHA256,
		path: filepath.Join(dir, now.Model.Name+"-"+strconv.Itoa(now.Model.Version)+".zip")}
	d.part = filepath.Join(dir, now.SHA256[:32]+partSuffix)
	d.etag = filepath.Join(dir, now.SHA256[:32]+etagSuffix)
	return d.path, d.run(ctx, dir)
}
