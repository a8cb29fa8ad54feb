// Command frame turns a picture into the 640×480 JPEG that the software camera
// shows: frame IN OUT.jpg.
package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"os"

	"github.com/egret-edge/egret/sensors/pixel"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: frame IN OUT.jpg")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "frame:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	const width, height = 640, 480
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var s pixel.Scaler
	rgb := make([]byte, width*height*3)
	if err := s.RGB(rgb, width, height, pixel.Image{Format: pixel.Sniff(data), Data: data}); err != nil {
		return err
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		copy(img.Pix[4*i:], rgb[3*i:3*i+3])
		img.Pix[4*i+3] = 255
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 85}); err != nil {
		return err
	}
	return os.WriteFile(out, buf.Bytes(), 0o644)
}
