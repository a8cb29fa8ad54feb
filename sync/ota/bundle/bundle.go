// Package bundle packs a model's folder into one zip file and unpacks it again.
//
// What comes out of a zip is checked as it is written: only plain files with
// plain names, no more and no larger ones than a model has, whatever the zip's
// own tables say. A crash or a power cut leaves the whole folder or none of it.
//
// It does not know what is in a model, nor who signed it.
package bundle

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/egret-edge/egret/sync/release"
)

// Limits of a bundle. All sizes are of what is unpacked; the zip itself may
// have release.MaxBundleBytes.
const (
	maxFiles      = 256
	maxBytes      = release.MaxBundleBytes // of all files together
	maxPath       = 200
	maxDirectory  = 2 << 20 // bytes of the zip's own tables
	modelFile     = "model.tflite"
	spareOnDisk   = 16 << 20 // left free for everything else on the device
	pathSeparator = "/"
)

// ErrInvalid is in the error of a zip or folder that is no bundle, or one that
// is not to be trusted; ErrNoSpace in that of a disk without room for it.
var (
	ErrInvalid = errors.New("not a valid bundle")
	ErrNoSpace = errors.New("not enough space")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// contents keeps the rules that hold for a bundle's files, packed or not.
type contents struct {
	seen  map[string]string // lower-case path or folder → as it was written
	files int
	bytes int64
}

// add checks a file of at least size bytes.
func (c *contents) add(name string, size int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	if c.files++; c.files > maxFiles {
		return invalid("more than %d files", maxFiles)
	}
	if c.bytes += size; size < 0 || c.bytes > maxBytes {
		return invalid("more than %d MiB unpacked", maxBytes>>20)
	}
	if c.seen == nil {
		c.seen = map[string]string{}
	}
	if other, ok := c.seen[strings.ToLower(name)]; ok {
		return invalid("%q and %q are the same to some file systems", other, name)
	}
	c.seen[strings.ToLower(name)] = name
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		key := strings.ToLower(dir) + pathSeparator
		if other, ok := c.seen[key]; ok && other != dir {
			return invalid("%q and %q are the same to some file systems", other, dir)
		}
		c.seen[key] = dir
	}
	return nil
}

// whole is asked at the end.
func (c *contents) whole() error {
	for lower, name := range c.seen {
		if _, ok := c.seen[lower+pathSeparator]; ok {
			return invalid("%q is a file and a folder", name)
		}
	}
	if c.seen[modelFile] != modelFile {
		return invalid("there is no %s in it", modelFile)
	}
	return nil
}

// checkName takes relative paths of letters, digits and a few signs: what every
// file system takes, and no shell or terminal minds.
func checkName(name string) error {
	switch {
	case len(name) > maxPath:
		return invalid("a path of %d bytes, at most %d", len(name), maxPath)
	case !fs.ValidPath(name) || name == ".":
		return invalid("the path %.100q leaves the bundle or is not plain", name)
	}
	for part := range strings.SplitSeq(name, pathSeparator) {
		if part[0] == '.' || part[len(part)-1] == '.' || part[len(part)-1] == ' ' || part[0] == ' ' {
			return invalid("the path %.100q has a part that begins or ends with a dot or a space", name)
		}
	}
	for _, r := range name {
		if !strings.ContainsRune(pathSeparator+"._-+ ()", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return invalid("the path %.100q has other characters than A-Z a-z 0-9 . _ - + ( ) and spaces", name)
		}
	}
	return nil
}

// tables limits what the zip's own tables may take while they are read.
type tables struct {
	io.ReaderAt
	left int64
}

func (t *tables) ReadAt(p []byte, off int64) (int, error) {
	if t.left >= 0 {
		if t.left -= int64(len(p)); t.left < 0 {
			return 0, invalid("its tables have more than %d MiB", maxDirectory>>20)
		}
	}
	return t.ReaderAt.ReadAt(p, off)
}

// open reads a zip's tables and checks all that they say.
func open(r io.ReaderAt, size int64) (*zip.Reader, contents, error) {
	var c contents
	if size > release.MaxBundleBytes {
		return nil, c, invalid("%d MiB, at most %d", size>>20, release.MaxBundleBytes>>20)
	}
	t := &tables{r, maxDirectory}
	z, err := zip.NewReader(t, size)
	if errors.Is(err, ErrInvalid) {
		return nil, c, err
	} else if err != nil {
		return nil, c, invalid("%v", err)
	}
	t.left = -1 // from here on it is the files' bytes that are counted
	for _, f := range z.File {
		switch {
		case strings.HasSuffix(f.Name, pathSeparator):
			if err := checkName(strings.TrimSuffix(f.Name, pathSeparator)); err != nil {
				return nil, c, err
			}
			if f.UncompressedSize64 != 0 {
				return nil, c, invalid("the folder %.100q has content", f.Name)
			}
			continue
		case !f.Mode().IsRegular():
			return nil, c, invalid("%.100q is no plain file", f.Name)
		case f.Flags&1 != 0:
			return nil, c, invalid("%.100q is encrypted", f.Name)
		case f.UncompressedSize64 > maxBytes:
			return nil, c, invalid("more than %d MiB unpacked", maxBytes>>20)
		}
		if err := c.add(f.Name, int64(f.UncompressedSize64)); err != nil {
			return nil, c, err
		}
	}
	return z, c, c.whole()
}
