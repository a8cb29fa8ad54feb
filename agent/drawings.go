package agent

import (
	"math"

	"github.com/egret-edge/egret/sensors/pixel"
)

// Drawings are in pixels.
const drawnWidth, drawnHeight = 320, 240

// drawings are pictures that models of photographs are sure of without one being
// at hand: a window screen, a radiator, a ball, a coil, a crossword puzzle, a horizon. Each gives
// the brightness of red, green and blue at x and y, all 0 to 1.
var drawings = []func(x, y float64) (r, g, b float64){
	func(x, y float64) (r, g, b float64) {
		if math.Mod(16*x, 1) < 0.15 || math.Mod(12*y, 1) < 0.15 {
			return 0.1, 0.1, 0.1
		}
		return 0.9, 0.9, 0.85
	},
	func(x, _ float64) (r, g, b float64) {
		v := 0.5 + 0.5*math.Sin(60*x)
		return v, v, 0.9 * v
	},
	func(x, y float64) (r, g, b float64) {
		if d := fromMiddle(x, y); d < 0.3 {
			return 1 - d, 0.5 * (1 - d), 0
		}
		return 0.2, 0.4, 0.8
	},
	func(x, y float64) (r, g, b float64) {
		v := 0.5 + 0.5*math.Sin(80*fromMiddle(x, y))
		return v, 0.8 * v, 0.5 * v
	},
	func(x, y float64) (r, g, b float64) {
		v := float64((int(8*x) + int(6*y)) % 2)
		return v, v, v
	},
	func(_, y float64) (r, g, b float64) {
		if y > 0.6 {
			return 0.3, 0.55, 0.1
		}
		return 0.4 + y/2, 0.6 + y/3, 1
	},
}

func fromMiddle(x, y float64) float64 { return math.Hypot((x-0.5)*drawnWidth/drawnHeight, y-0.5) }

func draw(at func(x, y float64) (r, g, b float64)) pixel.Image {
	img := pixel.Image{Format: pixel.RGB24, Width: drawnWidth, Height: drawnHeight}
	for y := range drawnHeight {
		for x := range drawnWidth {
			r, g, b := at(float64(x)/drawnWidth, float64(y)/drawnHeight)
			for _, v := range [...]float64{r, g, b} {
				img.Data = append(img.Data, byte(255*min(v, 1)))
			}
		}
	}
	return img
}
