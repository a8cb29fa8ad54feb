package serving

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// plainDesk is a desk for a side×side input of a type.
func plainDesk(kind string, side int) *desk {
	d := &desk{decoder: NewDecoder(1), budget: &budget{limit: 1 << 30}, maxBody: 16 << 20, maxInstances: 4}
	target := pixel.Target{Width: side, Height: side}
	if kind == "float32" {
		target.Encoding.Floats = new([3][256]float32)
	}
	d.begin(newInput(tflite.TensorInfo{Name: "input", Type: kind}, target))
	return d
}

func (d *desk) say(body string) {
	d.text = append(append(d.text[:0], body...), make([]byte, padding)...)
}

// body is a request of one random picture, as Python's json writes it.
func body(side int, number func() string) string {
	pixels := make([]string, side)
	rows := make([]string, side)
	for y := range rows {
		for x := range pixels {
			pixels[x] = fmt.Sprintf("[%s, %s, %s]", number(), number(), number())
		}
		rows[y] = "[" + strings.Join(pixels, ", ") + "]"
	}
	return `{"instances": [[` + strings.Join(rows, ", ") + `]]}`
}

func numbers(kind string) func() string {
	r := rand.New(rand.NewPCG(1, 2))
	switch kind {
	case "uint8":
		return func() string { return fmt.Sprint(r.IntN(256)) }
	case "int8":
		return func() string { return fmt.Sprint(r.IntN(256) - 128) }
	}
	return func() string { return fmt.Sprint(float64(r.IntN(256)) / 255) }
}

func BenchmarkParse(b *testing.B) {
	const side = 224
	for _, kind := range []string{"uint8", "int8", "float32"} {
		said := body(side, numbers(kind))
		b.Run(kind, func(b *testing.B) {
			d := plainDesk(kind, side)
			d.say(said)
			b.SetBytes(int64(len(said)))
			b.ReportAllocs()
			for b.Loop() {
				d.begin(d.in)
				if _, err := d.parsePredict(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(kind+" encoding/json", func(b *testing.B) {
			b.SetBytes(int64(len(said)))
			b.ReportAllocs()
			for b.Loop() {
				var v struct{ Instances [][][][]float32 }
				if err := json.Unmarshal([]byte(said), &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// However large a picture is, a request of numbers costs the collector nothing
// to speak of: the two closures of the walk.
func TestParseAllocates(t *testing.T) {
	for _, kind := range []string{"uint8", "int8", "float32"} {
		d := plainDesk(kind, 16)
		d.say(body(16, numbers(kind)))
		got := testing.AllocsPerRun(20, func() {
			d.begin(d.in)
			if _, err := d.parsePredict(); err != nil {
				t.Fatal(err)
			}
		})
		if got > 4 {
			t.Errorf("%s: %v allocations", kind, got)
		}
	}
}

func BenchmarkAppendRows(b *testing.B) {
	for kind, size := range map[string]int{"uint8": 1, "float32": 4} {
		b.Run(kind, func(b *testing.B) {
			outputs := []tflite.TensorInfo{{Name: "scores", Type: kind, Shape: []int{1, 1001}}}
			answers := []Answer{{Outputs: [][]byte{make([]byte, 1001*size)}}}
			for i := range answers[0].Outputs[0] {
				answers[0].Outputs[0][i] = byte(i * 7 & 0x3f)
			}
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, err = appendRows(out[:0], outputs, answers); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(out)))
		})
	}
}
