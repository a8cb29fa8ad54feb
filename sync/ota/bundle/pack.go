package bundle

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/egret-edge/egret/internal/wholefile"
	"github.com/egret-edge/egret/sync/release"
)

// Pack writes the folder dir as a zip file. The same files give the same bytes,
// whatever their times and modes. A crash leaves the file whole or what was
// there before. The errors are ErrInvalid and those of files.
func Pack(dir, file string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("pack %s: %w", dir, err)
		}
	}()
	names, err := list(dir)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(out.Name())
		}
	}()
	size, err := write(out, dir, names)
	if err == nil {
		// What is written here is read on every device: look at it as they do.
		_, _, err = open(out, size)
	}
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), file); err != nil {
		return err
	}
	return wholefile.SyncDir(filepath.Dir(file))
}

// list gives the folder's files, in order.
func list(dir string) (names []string, err error) {
	var c contents
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return invalid("%.100q is no plain file", name)
		}
		names = append(names, name)
		return c.add(name, info.Size())
	})
	if err != nil {
		return nil, err
	}
	return names, c.whole()
}

func write(out *os.File, dir string, names []string) (size int64, err error) {
	buf := bufio.NewWriterSize(out, 1<<20)
	z := zip.NewWriter(buf)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, name := range names {
		if err := writeFile(z, dir, name); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(z.Close(), buf.Flush()); err != nil {
		return 0, err
	}
	info, err := out.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func writeFile(z *zip.Writer, dir, name string) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.LimitReader(f, release.MaxBundleBytes))
	return err
}
