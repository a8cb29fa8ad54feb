package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// writeFile writes a file that a command makes, whole or not at all. What is
// no ordinary file (/dev/stdout) is written as it is.
func writeFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := openPart(path)
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// openPart opens a new file beside path.
func openPart(path string) (*os.File, error) {
	return os.OpenFile(fmt.Sprintf("%s.part-%d", path, os.Getpid()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// canWrite tells before a long measurement whether its file can be written
// afterwards; an empty path is none.
func canWrite(path string) error {
	info, err := os.Stat(path)
	switch {
	case path == "":
		return nil
	case err == nil && info.IsDir():
		return usageError{fmt.Errorf("%s is a folder: name a file", path)}
	case err == nil && !info.Mode().IsRegular():
		return nil
	}
	f, err := openPart(path)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
