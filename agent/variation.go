package agent

import (
	"math/rand/v2"
	"os"

	"github.com/egret-edge/egret/sensors/pixel"
)

// variations shows a picture in many ways, the same ones each time: parts of
// it, mirrored or not, darker, brighter, with noise. They are no new pictures,
// but they take a model through many more of its values than one does.
type variations struct {
	rgb           []byte
	width, height int
	rng           *rand.Rand
	out           []byte
}

// maxVaried is the longer side that a picture is brought to at most, in
// pixels: more than models look at.
const maxVaried = 640

func newVariations(file string, seed uint64) (*variations, error) {
	data, err := readPicture(file, os.Stdin)
	if err != nil {
		return nil, err
	}
	return variationsOf(pixel.Image{Format: pixel.Sniff(data), Data: data}, seed)
}

func variationsOf(src pixel.Image, seed uint64) (*variations, error) {
	w, h, err := pixel.Size(src)
	if err != nil {
		return nil, err
	}
	if most := max(w, h); most > maxVaried {
		w, h = max(w*maxVaried/most, 1), max(h*maxVaried/most, 1)
	}
	v := &variations{rgb: make([]byte, w*h*3), width: w, height: h, rng: rand.New(rand.NewPCG(seed, 3))}
	var s pixel.Scaler
	defer s.Close()
	return v, s.RGB(v.rgb, w, h, src)
}

// next is the k-th variation, of which the first is the picture itself. It is
// valid until the next one.
func (v *variations) next(k int) pixel.Image {
	if k == 0 {
		return pixel.Image{Format: pixel.RGB24, Width: v.width, Height: v.height, Data: v.rgb}
	}
	part := 0.5 + v.rng.Float64()/2
	w, h := max(int(part*float64(v.width)), 1), max(int(part*float64(v.height)), 1)
	left, top := v.rng.IntN(v.width-w+1), v.rng.IntN(v.height-h+1)
	mirrored := v.rng.IntN(2) == 1
	gain, noise := 0.6+0.8*v.rng.Float64(), 1+v.rng.IntN(16)
	v.out = resize(v.out, w*h*3)
	for y := range h {
		for x := range w {
			from := x
			if mirrored {
				from = w - 1 - x
			}
			src, dst := 3*((top+y)*v.width+left+from), 3*(y*w+x)
			for c := range 3 {
				p := gain*float64(v.rgb[src+c]) + float64(v.rng.IntN(2*noise+1)-noise)
				v.out[dst+c] = byte(min(max(p, 0), 255))
			}
		}
	}
	return pixel.Image{Format: pixel.RGB24, Width: w, Height: h, Data: v.out}
}
