package requant

import (
	"math"

	"github.com/egret-edge/egret/tflite/schema"
)

// rounding is how far two kernels' roundings of one real value can lie apart,
// in units of the result: each is at most 0.75 away from it, because kernels of
// fixed-point numbers round twice. So results that are integers differ by 1 at
// most.
const rounding = 1.5

// settle notes how far an operator's result can be from the original's, when
// its real value before rounding can be off by so much. Saturation only brings
// values closer together.
func (c *conversion) settle(out int32, off float64) {
	c.deviation[out] = c.rounded(out, off)
}

func (c *conversion) rounded(out int32, off float64) float64 {
	s := c.scale(out)
	// 1e-9 is for divisions that are not exact.
	return s * math.Min(math.Floor(off/s+rounding+1e-9), 255)
}

// effective are the real values between which an original operator's result
// lies, by its type's limits and its activation.
func (c *conversion) effective(n *schema.Node) (least, most float64) {
	least, most = c.limits(n.Outputs[0])
	switch n.Options.Activation() {
	case schema.ReLU:
		least = max(least, 0)
	case schema.ReLU6:
		least, most = max(least, 0), min(most, 6)
	case schema.ReLUN1To1:
		least, most = max(least, -1), min(most, 1)
	}
	return least, most
}
