package bundle

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/egret-edge/egret/internal/wholefile"
)

// Unpack makes the folder dir of the zip file. Dir must not exist; check, when
// not nil, sees the finished folder under another name before it gets its own,
// and may refuse it. Whatever goes wrong leaves nothing; what a crash left of an
// earlier try is removed. The errors are ErrInvalid, ErrNoSpace, fs.ErrExist,
// check's, and those of files.
func Unpack(file, dir string, check func(dir string) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("unpack %s: %w", file, err)
		}
	}()
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return invalid("it is no plain file")
	}
	z, c, err := open(f, info.Size())
	if err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s: %w", dir, fs.ErrExist)
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	if free, ok := freeBytes(parent); ok && free < c.bytes+spareOnDisk {
		return fmt.Errorf("%w: it needs %d MiB in %s and %d must stay free, there are %d", ErrNoSpace, c.bytes>>20+1, parent, spareOnDisk>>20, free>>20)
	}
	fresh := dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(fresh))
		}
	}()
	if err := extract(z, fresh); err != nil {
		return err
	}
	if check != nil {
		if err := check(fresh); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		return err
	}
	return wholefile.SyncDir(parent)
}

// extract writes all files below root, on disk when it returns.
func extract(z *zip.Reader, root string) error {
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	folders := map[string]bool{root: true}
	for _, f := range z.File {
		if f.Mode().IsDir() {
			continue // made when there is something in it
		}
		to := filepath.Join(root, filepath.FromSlash(f.Name))
		for d := filepath.Dir(to); !folders[d]; d = filepath.Dir(d) {
			folders[d] = true
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := extractFile(f, to); err != nil {
			return err
		}
	}
	for d := range folders {
		if err := wholefile.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// extractFile believes the size in the tables, which was checked, and no more
// than that: the rest is an error.
func extractFile(f *zip.File, to string) (err error) {
	in, err := f.Open()
	if err != nil {
		return invalid("%s: %v", f.Name, err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	limited := &io.LimitedReader{R: in, N: int64(f.UncompressedSize64) + 1}
	n, err := io.Copy(out, limited)
	var onDisk *fs.PathError
	switch {
	case errors.As(err, &onDisk):
		return err
	case err != nil:
		return invalid("%s: %v", f.Name, err)
	case n != int64(f.UncompressedSize64):
		return invalid("%s has another length than its tables say", f.Name)
	}
	return out.Sync()
}
