package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/ota/bundle"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// verify unpacks a bundle that was fetched, and looks at what is in it.
func (m *Machine) verify(ctx context.Context, a *store.Attempt) (err error) {
	if a.Doc != nil { // else it is in its place, and nothing was fetched
		if err := m.unpack(a); errors.Is(err, fs.ErrNotExist) || errors.Is(err, ota.ErrCorrupt) {
			if m.corrupt++; m.corrupt >= maxCorrupt {
				return Refuse("what was downloaded is not what is read: %v, %d times: look at the disk", err, m.corrupt)
			}
			return m.next(a, payload.Downloading) // it was lost in between
		} else if err != nil {
			return err
		}
	}
	if a.New.Digest, err = m.o.Device.Inspect(a.New.Dir); err != nil {
		return Refuse("%v", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.next(a, payload.Probing); err != nil {
		return err
	}
	if a.Doc != nil {
		_ = os.Remove(m.zip(a.Model)) // else collect does
	}
	return nil
}

func (m *Machine) unpack(a *store.Attempt) error {
	m.mu.Lock()
	known := m.rec.Models[a.Model.Name]
	m.mu.Unlock()
	for _, v := range []*store.Version{known.Current, known.Previous} {
		if v != nil && v.Dir == a.New.Dir {
			return nil // it is here already, and has its content
		}
	}
	if err := m.o.Store.Remove(a.Model); err != nil { // of an earlier attempt
		return err
	}
	return Verify(m.zip(a.Model), a.New.Bundle, a.New.Dir, func(dir string) error {
		_, err := m.o.Device.Inspect(dir)
		return err
	})
}

// Verify makes the folder dir of a bundle's zip file: its SHA-256 must be sum,
// in hex, and inspect must find nothing wrong in the folder before it gets its
// name. What is wrong with the bundle is a *Refusal; other bytes than those of
// sum are ota.ErrCorrupt.
func Verify(zip, sum, dir string, inspect func(dir string) error) error {
	if err := checkFile(zip, sum); err != nil {
		return err
	}
	err := bundle.Unpack(zip, dir, func(fresh string) error {
		if err := inspect(fresh); err != nil {
			return Refuse("%v", err)
		}
		return nil
	})
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, bundle.ErrInvalid):
		return Refuse("%v", err)
	}
	return err
}

// checkFile compares a file with its SHA-256 in hex.
func checkFile(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, release.MaxBundleBytes+1)); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != want {
		return fmt.Errorf("%s: %w", path, ota.ErrCorrupt)
	}
	return nil
}
