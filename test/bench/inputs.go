package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"

	"golang.org/x/image/draw"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

// options are the command line's, and what was made of them.
type options struct {
	raw, naive, egret, out, more, only, dir string
	frame                                   sensors.Frame
}

// frame640 writes a photograph as a camera's JPEG of 640×480.
func frame640(path string) (sensors.Frame, error) {
	data, err := os.ReadFile("samples/detect/example.jpg")
	if err != nil {
		return sensors.Frame{}, fmt.Errorf("%w: run make deps", err)
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return sensors.Frame{}, err
	}
	small := image.NewRGBA(image.Rect(0, 0, 640, 480))
	draw.BiLinear.Scale(small, small.Bounds(), img, img.Bounds(), draw.Src, nil)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, small, &jpeg.Options{Quality: 85}); err != nil {
		return sensors.Frame{}, err
	}
	f := sensors.Frame{Image: pixel.Image{Format: pixel.JPEG, Data: b.Bytes()}}
	return f, os.WriteFile(path, b.Bytes(), 0o644)
}

// smallBundle generates an int8 model, so that XNNPACK has something to do
// wherever this runs. Its input and its Invoke are about those of a MobileNet
// v2, whose budgets it is held to.
func smallBundle(dir string) (string, error) {
	path := filepath.Join(dir, "generated_int8", "1")
	return path, smallmodel.WriteBundle(path, smallmodel.Options{Side: 224, Channels: 96})
}

// bundlesIn lists the bundles in a folder, or the folder itself when it is
// one.
func bundlesIn(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	if _, err := tflite.OpenBundle(dir); err == nil {
		return []string{dir}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); e.IsDir() {
			if _, err := tflite.OpenBundle(path); err == nil {
				out = append(out, path)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no bundle", dir)
	}
	return out, nil
}
