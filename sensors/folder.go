package sensors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

// maxFiles bounds what one scan of a folder remembers.
const maxFiles = 1_000_000

var pictureSuffixes = []string{".jpg", ".jpeg", ".png", ".bmp", ".webp"}

// folder gives the pictures of a folder and all below it, sorted by path; or
// one file. A frame's data is the file's bytes. Defaults: fps=1, loop=false. A
// looping folder is scanned again at each turn, so files may come and go.
type folder struct {
	path string
	spec string
	fps  float64
	loop bool
	log  *slog.Logger
}

func openFolder(rest string, opts Options) (Source, error) {
	path, raw, _ := strings.Cut(rest, "?")
	if path == "" {
		return nil, errors.New("has no path: write folder:/path?fps=5&loop=true")
	}
	q, err := parseParams(raw, "fps", "loop")
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, spec: "folder:" + rest, log: opts.logger()}
	if f.fps, err = q.fps(1, true); err != nil {
		return nil, err
	}
	if s := q.values.Get("loop"); s != "" {
		if f.loop, err = strconv.ParseBool(s); err != nil {
			return nil, fmt.Errorf("loop is %q: want true or false", s)
		}
	}
	return f, nil
}

func (f *folder) String() string { return f.spec }

func (f *folder) Run(ctx context.Context, emit func(*Frame)) error {
	pace := newPace(f.fps)
	defer pace.stop()
	skips := newTally(f.log, "pictures skipped")
	defer skips.flush()
	var frame Frame
	for first := true; first || f.loop; first = false {
		names, err := f.scan(ctx)
		if err != nil {
			return err
		}
		given := frame.Seq
		for _, name := range names {
			if frame.Seq > 0 {
				if err := pace.wait(ctx); err != nil {
					return err
				}
			}
			if err := f.read(&frame, name); err != nil {
				skips.add(err)
				continue
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			emit(&frame)
		}
		if frame.Seq == given {
			return fmt.Errorf("folder %q: none of its %d pictures can be read: %w", f.path, len(names), skips.last)
		}
	}
	return ErrEnd
}

// read fills the frame with the file's bytes, reusing its buffer.
func (f *folder) read(frame *Frame, name string) error {
	path := filepath.Join(f.path, name)
	if name == "" {
		path, name = f.path, filepath.Base(f.path)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() > pixel.MaxBytes {
		return fmt.Errorf("%s has %d bytes, limit is %d", path, info.Size(), pixel.MaxBytes)
	}
	buf := slices.Grow(frame.Image.Data[:0], int(info.Size()))[:info.Size()]
	n, err := io.ReadFull(file, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	frame.Seq++
	frame.Time, frame.Name = time.Now(), filepath.ToSlash(name)
	frame.Image = pixel.Image{Format: pixel.Sniff(buf[:n]), Data: buf[:n]}
	return nil
}

// scan lists the pictures, relative to the folder; "" is the path itself when
// that is a file.
func (f *folder) scan(ctx context.Context) ([]string, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	if !info.IsDir() {
		return []string{""}, nil
	}
	var names []string
	err = filepath.WalkDir(f.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil && path == f.path || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if err != nil || d.IsDir() || !slices.Contains(pictureSuffixes, strings.ToLower(filepath.Ext(path))) {
			return nil // a subfolder that vanished or is closed to us hides only itself
		}
		if len(names) == maxFiles {
			return fmt.Errorf("more than %d pictures", maxFiles)
		}
		name, err := filepath.Rel(f.path, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("folder %q: %w", f.path, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("folder %q has no pictures (%s)", f.path, strings.Join(pictureSuffixes, ", "))
	}
	slices.Sort(names)
	return names, nil
}
