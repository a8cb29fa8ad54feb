// Command naive is the peer that egret is measured against: the loop that one
// writes first, from go-tflite's own label_image example. The standard
// library's JPEG decoder, a resize package, the example's four threads and the
// default kernels.
//
// It obeys lines on standard input: "run N" takes N frames and prints the
// nanoseconds of all together.
//
// Usage: naive MODEL FRAME.jpg
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"sort"
	"time"

	"github.com/mattn/go-tflite"
	"golang.org/x/image/draw"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return errors.New("usage: naive MODEL FRAME.jpg")
	}
	frame, err := os.ReadFile(os.Args[2])
	if err != nil {
		return err
	}
	model := tflite.NewModelFromFile(os.Args[1])
	if model == nil {
		return errors.New("cannot read the model")
	}
	defer model.Delete()
	options := tflite.NewInterpreterOptions()
	options.SetNumThread(4)
	defer options.Delete()
	interpreter := tflite.NewInterpreter(model, options)
	if interpreter == nil {
		return errors.New("cannot make an interpreter")
	}
	defer interpreter.Delete()
	if interpreter.AllocateTensors() != tflite.OK {
		return errors.New("cannot allocate tensors")
	}
	if err := classify(interpreter, frame); err != nil {
		return err
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var n int
		if _, err := fmt.Sscanf(in.Text(), "run %d", &n); err != nil {
			return errors.New("say run N")
		}
		start := time.Now()
		for range n {
			if err := classify(interpreter, frame); err != nil {
				return err
			}
		}
		fmt.Println(time.Since(start).Nanoseconds())
	}
	return nil
}

func classify(interpreter *tflite.Interpreter, frame []byte) error {
	img, err := jpeg.Decode(bytes.NewReader(frame))
	if err != nil {
		return err
	}
	input := interpreter.GetInputTensor(0)
	height, width := input.Dim(1), input.Dim(2)
	resized := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.BiLinear.Scale(resized, resized.Bounds(), img, img.Bounds(), draw.Src, nil)
	pixels := make([]byte, width*height*3)
	for y := range height {
		for x := range width {
			r, g, b, _ := resized.At(x, y).RGBA()
			at := (y*width + x) * 3
			pixels[at], pixels[at+1], pixels[at+2] = byte(r>>8), byte(g>>8), byte(b>>8)
		}
	}
	if input.Type() == tflite.Int8 {
		for i := range pixels {
			pixels[i] ^= 0x80
		}
	}
	input.CopyFromBuffer(&pixels[0])
	if interpreter.Invoke() != tflite.OK {
		return errors.New("cannot invoke")
	}
	output := interpreter.GetOutputTensor(0)
	scores := make([]byte, output.ByteSize())
	output.CopyToBuffer(&scores[0])
	sort.Slice(scores, func(i, j int) bool { return scores[i] > scores[j] })
	return nil
}
