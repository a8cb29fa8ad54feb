package api

import (
	"math"
	"strconv"
	"strings"
)

// exposition writes Prometheus' text format, version 0.0.4. Prometheus' own
// client would write it too, and add 4 MB to the program and 3 MB to its
// resident memory. Its zero value is empty.
type exposition struct {
	buf  []byte
	name string // of the family that is being written
}

const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// family begins one; its samples follow.
func (e *exposition) family(name, kind, help string) {
	e.name = name
	e.buf = append(e.buf, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"...)
}

// one is a family of one sample without labels.
func (e *exposition) one(name, kind, help string, value float64) {
	e.family(name, kind, help)
	e.sample(value)
}

// sample adds one to the family; labels are names and values in turn.
func (e *exposition) sample(value float64, labels ...string) { e.part("", value, labels) }

// histogram adds one: counts are cumulative and one for each bound.
func (e *exposition) histogram(bounds []float64, h Histogram, labels ...string) {
	with := append(labels[:len(labels):len(labels)], "le", "")
	for i, bound := range bounds {
		count := uint64(0)
		if i < len(h.Counts) {
			count = h.Counts[i]
		}
		with[len(with)-1] = strconv.FormatFloat(bound, 'g', -1, 64)
		e.part("_bucket", float64(count), with)
	}
	with[len(with)-1] = "+Inf"
	e.part("_bucket", float64(h.Count), with)
	e.part("_sum", h.Sum, labels)
	e.part("_count", float64(h.Count), labels)
}

func (e *exposition) part(suffix string, value float64, labels []string) {
	e.buf = append(append(e.buf, e.name...), suffix...)
	for i := 0; i < len(labels); i += 2 {
		e.buf = append(e.buf, "{,"[min(i, 1)])
		e.buf = append(append(e.buf, labels[i]...), '=', '"')
		e.buf = append(append(e.buf, labelValue.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD"))...), '"')
	}
	if len(labels) > 0 {
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, ' ')
	switch {
	case math.IsInf(value, 1):
		e.buf = append(e.buf, "+Inf"...)
	case value == math.Trunc(value) && math.Abs(value) < 1<<53:
		e.buf = strconv.AppendInt(e.buf, int64(value), 10)
	default:
		e.buf = strconv.AppendFloat(e.buf, value, 'g', -1, 64)
	}
	e.buf = append(e.buf, '\n')
}

var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func bit(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
