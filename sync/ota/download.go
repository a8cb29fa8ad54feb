package ota

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/internal/wholefile"
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

// Fresh tells whether anything new may be installed: nil, ErrExpired or
// ErrNoMetadata.
func (c *Client) Fresh() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fresh()
}

func (c *Client) fresh() error {
	if c.view == nil {
		return ErrNoMetadata
	}
	fl, err := readFloors(c.db)
	if err != nil {
		return err
	}
	if v := c.view; !c.reference(fl).Before(v.expires) {
		return fmt.Errorf("%s: %w at %s: nothing new is installed", v.expiring, ErrExpired, v.expires.UTC().Format(time.RFC3339))
	}
	return nil
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
	d := &transfer{f: c.fetch, url: u.String(), length: now.Length, sum: now.SHA256,
		path: filepath.Join(dir, now.Model.Name+"-"+strconv.Itoa(now.Model.Version)+".zip")}
	d.part = filepath.Join(dir, now.SHA256[:32]+partSuffix)
	d.etag = filepath.Join(dir, now.SHA256[:32]+etagSuffix)
	return d.path, d.run(ctx, dir)
}

// transfer is one bundle on its way.
type transfer struct {
	f                     *fetcher
	url, path, part, etag string
	length                int64
	sum                   string // SHA-256 in hex
}

func (d *transfer) run(ctx context.Context, dir string) error {
	for _, suffix := range []string{partSuffix, etagSuffix} {
		others, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
		for _, other := range others {
			if other != d.part && other != d.etag {
				_ = os.Remove(other)
			}
		}
	}
	if n, h, err := hashFile(d.path, d.length); err == nil && n == d.length && hex.EncodeToString(h.Sum(nil)) == d.sum {
		return nil
	}
	anew := false
	for try := 0; ; try++ {
		before := sizeOf(d.part)
		resumed, err := d.once(ctx, dir)
		if err == nil {
			break
		}
		switch after := sizeOf(d.part); {
		case errors.Is(err, ErrCorrupt) && resumed && !anew:
			anew = true // the file changed between the tries: once more from the start
			continue
		case ctx.Err() != nil, !errors.Is(err, ErrNetwork):
			return err
		case after > before:
			try = -1 // progress: the count begins again
		case try >= d.f.h.Retries:
			return err
		}
		d.f.pause(ctx, max(try, 0))
	}
	if err := os.Rename(d.part, d.path); err != nil {
		return err
	}
	_ = os.Remove(d.etag)
	return syncDir(dir)
}

// once asks for what is missing. It tells whether what was there counted.
func (d *transfer) once(ctx context.Context, dir string) (resumed bool, err error) {
	have, sum, err := hashFile(d.part, d.length)
	if err != nil || have > d.length {
		d.forget()
		have, sum = 0, sha256.New()
	}
	out, err := os.OpenFile(d.part, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return false, err
	}
	defer out.Close()
	if have < d.length {
		if free, err := freeSpace(dir); err == nil && free < uint64(d.length-have)+spare {
			return false, fmt.Errorf("%w in %s: %d MB are needed, %d MB are free", ErrNoSpace, dir, (d.length-have+spare)>>20, free>>20)
		}
		if resumed, err = d.receive(ctx, out, have, sum); err != nil {
			return resumed, err
		}
	} else {
		resumed = true
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != d.sum {
		d.forget()
		return resumed, fmt.Errorf("%w: its SHA-256 is %s", ErrCorrupt, got)
	}
	return resumed, errors.Join(out.Sync(), out.Close())
}

func (d *transfer) receive(ctx context.Context, out *os.File, have int64, sum hash.Hash) (resumed bool, err error) {
	header := http.Header{}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		// Without a validator the hash alone tells whether the parts fit.
		if tag, err := readLimited(d.etag, 1024); err == nil && len(tag) > 0 && len(tag) <= 1024 {
			header.Set("If-Range", string(tag))
		}
	}
	res, err := d.f.get(ctx, d.url, header)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	switch start, total := contentRange(res.Header.Get("Content-Range")); {
	case res.StatusCode == http.StatusPartialContent && have > 0 && start == have && (total < 0 || total == d.length):
		resumed = true
	case res.StatusCode == http.StatusOK:
		have = 0
		sum.Reset()
		if err := out.Truncate(0); err != nil {
			return false, err
		}
	case have > 0 && (res.StatusCode == http.StatusPartialContent || res.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		d.forget()
		return true, fmt.Errorf("%w: the server has another file", ErrCorrupt)
	default:
		return false, fmt.Errorf("%w: %s says %s", ErrNetwork, d.url, res.Status)
	}
	if res.ContentLength > d.length-have {
		d.forget()
		return resumed, fmt.Errorf("%w: the server sends %d bytes, %d were signed", ErrTooLarge, have+res.ContentLength, d.length)
	}
	if tag := res.Header.Get("ETag"); !resumed && strings.HasPrefix(tag, `"`) && len(tag) <= 1024 {
		if err := wholefile.Write(d.etag, []byte(tag)); err != nil {
			return false, err
		}
	} else if !resumed {
		_ = os.Remove(d.etag)
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return resumed, err
	}
	n, err := io.CopyBuffer(io.MultiWriter(out, sum), io.LimitReader(res.Body, d.length-have), make([]byte, 64<<10))
	switch {
	case err != nil:
		return resumed, err
	case n < d.length-have:
		return resumed, fmt.Errorf("%w: it ended after %d of %d bytes", ErrNetwork, have+n, d.length)
	}
	if more, _ := res.Body.Read(make([]byte, 1)); more > 0 {
		d.forget()
		return resumed, fmt.Errorf("%w: the server sends more than the %d bytes that were signed", ErrTooLarge, d.length)
	}
	return resumed, nil
}

func (d *transfer) forget() {
	_ = os.Remove(d.part)
	_ = os.Remove(d.etag)
}

// contentRange reads "bytes 5-9/10"; total is below 0 when it is not said.
func contentRange(s string) (start, total int64) {
	span, size, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	first, _, ok2 := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	if !ok || !ok2 || err != nil {
		return -1, -1
	}
	if total, err = strconv.ParseInt(size, 10, 64); err != nil {
		total = -1
	}
	return start, total
}

// hashFile hashes a file of at most limit bytes, and one more of a longer one.
func hashFile(path string, limit int64) (int64, hash.Hash, error) {
	h := sha256.New()
	f, err := os.Open(path)
	if err != nil {
		return 0, h, err
	}
	defer f.Close()
	n, err := io.Copy(h, io.LimitReader(f, limit+1))
	return n, h, err
}

func sizeOf(path string) int64 {
	if i, err := os.Stat(path); err == nil {
		return i.Size()
	}
	return 0
}
