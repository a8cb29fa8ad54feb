package tflite

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits of what is read from outside.
const (
	MaxModelBytes    = 512 << 20
	maxManifestBytes = 256 << 10
	maxLabelBytes    = 8 << 20
)

// The files of a bundle.
const (
	modelFile    = "model.tflite"
	manifestFile = "model.yaml"
	labelsFile   = "labels.txt"
)

// Bundle is a model on disk with what belongs to it. Opening one runs no
// native code.
type Bundle struct {
	// Dir holds the bundle; for a bare model file, the file's folder.
	Dir string
	// Name is the bundle's folder above the version, or a bare file's name
	// without its ending.
	Name string
	// Version is the number of the bundle's folder; 0 for a bare file.
	Version   int
	ModelPath string
	// Digest is "sha256:" and the hex digest of the model file.
	Digest   string
	Manifest Manifest
	// Labels are the class names by index; nil when there are none.
	Labels []string
	// Converted is the type that the file at ModelPath was converted to, such as
	// "int8"; empty: it is the model itself (see As).
	Converted string
	path      string // see Path
}

// OpenBundle opens the bundle at path: a version's folder
// (models/<name>/<version>), a model's folder (its highest version is taken,
// as TensorFlow Serving's policy "latest" does), or a bare .tflite file, whose
// labels are taken from its own metadata if it has any.
func OpenBundle(path string) (*Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w: give a bundle's folder or a .tflite file", err)
	}
	if !info.IsDir() {
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		return opened(&Bundle{Dir: filepath.Dir(path), Name: name, ModelPath: path, path: path})
	}
	dir, err := versionDir(path)
	if err != nil {
		return nil, err
	}
	// The name is in the folders' names, which "." and ".." do not tell.
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	b := &Bundle{Dir: dir, Name: filepath.Base(abs), ModelPath: filepath.Join(dir, modelFile), path: dir}
	if v, ok := versionNumber(b.Name); ok {
		b.Name, b.Version = filepath.Base(filepath.Dir(abs)), v
	}
	return opened(b)
}

// BundleName is the name that OpenBundle would give the bundle at path, found
// without reading it.
func BundleName(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("open model: %w: give a bundle's folder or a .tflite file", err)
	}
	if !info.IsDir() {
		return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("open model: %w", err)
	}
	if _, ok := versionNumber(filepath.Base(abs)); ok && isFile(filepath.Join(abs, modelFile)) {
		return filepath.Base(filepath.Dir(abs)), nil
	}
	return filepath.Base(abs), nil
}

// Path opens the same bundle again, this very version of it.
func (b *Bundle) Path() string { return b.path }

// As is the same bundle with a conversion in the place of its model's file. Name,
// version and digest stay the original's, and so do the tensors that callers
// see: Load turns bytes where the conversion has signed ones.
func (b *Bundle) As(converted, file string) *Bundle {
	as := *b
	as.Converted, as.ModelPath = converted, file
	return &as
}

// FileDigest is "sha256:" and the hex digest of the file at ModelPath now, which
// for a conversion is not Digest.
func (b *Bundle) FileDigest() (string, error) { return checkModelFile(b.ModelPath) }

func opened(b *Bundle) (*Bundle, error) {
	if err := b.load(); err != nil {
		return nil, err
	}
	return b, nil
}

// versionDir is path itself when it holds a model, else the highest numbered
// folder in it that does.
func versionDir(path string) (string, error) {
	if isFile(filepath.Join(path, modelFile)) {
		return path, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", fmt.Errorf("open model: %w", err)
	}
	best := -1
	for _, e := range entries {
		if v, ok := versionNumber(e.Name()); ok && v > best && isFile(filepath.Join(path, e.Name(), modelFile)) {
			best = v
		}
	}
	if best < 0 {
		return "", fmt.Errorf("open model: %s holds neither %s nor a numbered folder with one", path, modelFile)
	}
	return filepath.Join(path, strconv.Itoa(best)), nil
}

// versionNumber reads a version folder's name: a whole number without sign or
// leading zero.
func versionNumber(name string) (int, bool) {
	v, err := strconv.Atoi(name)
	return v, err == nil && v >= 0 && strconv.Itoa(v) == name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// load reads all but the model's weights.
func (b *Bundle) load() (err error) {
	if b.Digest, err = checkModelFile(b.ModelPath); err != nil {
		return err
	}
	if b.path == b.Dir {
		if b.Manifest, err = readManifest(filepath.Join(b.Dir, manifestFile)); err != nil {
			return err
		}
		path := filepath.Join(b.Dir, labelsFile)
		if b.Manifest.Labels != "" {
			if path, err = b.inside(b.Manifest.Labels); err != nil {
				return err
			}
		}
		if isFile(path) || b.Manifest.Labels != "" {
			return b.UseLabels(path)
		}
	}
	b.Labels, err = metadataLabels(b.ModelPath)
	return err
}

// inside resolves a path that the manifest names; it must stay in the bundle.
func (b *Bundle) inside(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("model %s: %s: path %q leaves the bundle", b.Name, manifestFile, name)
	}
	return filepath.Join(b.Dir, name), nil
}

// UseLabels replaces the bundle's labels by those in a file.
func (b *Bundle) UseLabels(path string) error {
	data, err := readLimited(path, maxLabelBytes)
	if err != nil {
		return fmt.Errorf("read labels: %w", err)
	}
	if b.Labels, err = ParseLabels(data); err != nil {
		return fmt.Errorf("read labels %s: %w", path, err)
	}
	return nil
}

// checkModelFile looks at a model file before native code does, and hashes it.
// Bytes 4 to 7 of a TensorFlow Lite FlatBuffer are its file identifier "TFL3"
// (tensorflow/lite/schema/schema.fbs).
func checkModelFile(path string) (digest string, err error) {
	if !isFile(path) { // opening a pipe would wait for a writer
		return "", fmt.Errorf("open model: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open model: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("open model: %w", err)
	}
	if info.Size() > MaxModelBytes {
		return "", fmt.Errorf("model %s is %d MiB, the limit is %d MiB", path, info.Size()>>20, MaxModelBytes>>20)
	}
	var head [8]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || string(head[4:]) != "TFL3" {
		return "", fmt.Errorf("model %s is not a TensorFlow Lite file (it lacks the identifier TFL3): is the download complete?", path)
	}
	h := sha256.New()
	h.Write(head[:])
	if _, err := io.Copy(h, io.LimitReader(f, MaxModelBytes)); err != nil {
		return "", fmt.Errorf("read model %s: %w", path, err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// readLimited reads a whole file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d KiB", path, errTooLarge, limit>>10)
	}
	return data, nil
}

var errTooLarge = errors.New("file too large")
