package pixel

import (
	"slices"
	"time"
)

var began = time.Now()

func nanotime() float64 { return float64(time.Since(began)) }

func middleOf(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
