package repo

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/egret-edge/egret/internal/wholefile"
)

// writePublic replaces a file that a web server hands out, so that a crash or a
// power cut leaves the old one or the new one. Unlike wholefile's, others may
// read it, its folder is made if need be, and the rename is on the disk when it
// returns: the next file may only appear after this one.
func writePublic(path string, write func(io.Writer) error) error {
	return writeAs(path, 0o644, 0o755, write)
}

func writeAs(path string, mode, dirMode fs.FileMode, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	if err := makeDir(dir, dirMode); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return wholefile.SyncDir(dir)
}

// makeDir is os.MkdirAll, with each new name on the disk when it returns.
func makeDir(dir string, mode fs.FileMode) error {
	err := os.Mkdir(dir, mode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir:
		if err := makeDir(filepath.Dir(dir), mode); err != nil {
			return err
		}
		return makeDir(dir, mode)
	case err != nil:
		return err
	}
	return wholefile.SyncDir(filepath.Dir(dir))
}

func content(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}
