package agent

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/egret-edge/egret/tflite"
	"github.com/egret-edge/egret/tflite/requant"
)

// The types that a model can be converted to.
const (
	ToInt8    = "int8"
	ToFloat32 = "float32"
)

// Convert converts a bundle's model and puts it into dir, an empty folder, with
// all that belongs to it: labels, manifest, golden samples. A model that cannot
// be converted is a *requant.Refusal.
func Convert(b *tflite.Bundle, to string, opts requant.Options, dir string) (*tflite.Bundle, requant.Report, error) {
	converted, report, err := convertModel(b, to, opts)
	if err != nil {
		return nil, report, err
	}
	path := filepath.Join(dir, b.Name+".tflite")
	if b.Path() == b.Dir { // a folder: the file has the same name in the copy
		if err := os.CopyFS(dir, os.DirFS(b.Dir)); err != nil {
			return nil, report, fmt.Errorf("copy the model's folder: %w", err)
		}
		path = filepath.Join(dir, filepath.Base(b.ModelPath))
		if err := os.Remove(path); err != nil {
			return nil, report, err
		}
	}
	if err := os.WriteFile(path, converted, 0o644); err != nil {
		return nil, report, err
	}
	if b.Path() == b.Dir {
		path = dir
	}
	copied, err := tflite.OpenBundle(path)
	if err != nil {
		return nil, report, err
	}
	if copied.Labels == nil {
		copied.Labels = b.Labels
	}
	return copied, report, nil
}

// convertModel gives the bytes of a bundle's converted model.
func convertModel(b *tflite.Bundle, to string, opts requant.Options) ([]byte, requant.Report, error) {
	data, err := os.ReadFile(b.ModelPath)
	if err != nil {
		return nil, requant.Report{}, fmt.Errorf("read model: %w", err)
	}
	m, err := requant.Read(data)
	if err != nil {
		return nil, requant.Report{}, err
	}
	switch to {
	case ToInt8:
		return m.Int8(opts)
	case ToFloat32:
		return m.Float32(opts)
	}
	return nil, requant.Report{}, fmt.Errorf("convert to %q: only %s and %s are known", to, ToInt8, ToFloat32)
}

// GoldenPictures are the files of a bundle's golden samples.
func GoldenPictures(b *tflite.Bundle) []string {
	var files []string
	for _, g := range b.Manifest.Golden {
		files = append(files, filepath.Join(b.Dir, filepath.FromSlash(g.Image)))
	}
	return files
}
