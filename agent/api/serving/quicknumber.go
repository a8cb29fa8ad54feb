package serving

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// Numbers are read eight bytes at a time, without a branch that depends on how
// many digits they have: a picture's have all lengths in turn, and a branch that
// is guessed wrong costs more than the number.

// eight is eight bytes of text, the first one lowest, less '0' each: digits are 0 to 9.
type eight uint64

func (t text) eight(i int) eight {
	return eight(binary.LittleEndian.Uint64(t[i:i+8]) ^ 0x3030303030303030)
}

// digits is how many digits come first. Adding sets the high bit of each byte
// that is none; a carry only reaches those after the first such.
func (d eight) digits() int {
	return bits.TrailingZeros64(uint64(d|(d+0x7676767676767676))&0x8080808080808080) >> 3
}

// first moves the first n bytes to the end, where the lowest digits belong.
func (d eight) first(n int) eight { return d << (uint(8-n) * 8 & 63) }

// value is the number of eight digits: neighbours are joined to pairs, and the
// four pairs weighed by their place.
func (d eight) value() uint64 {
	const pairs = 0x000000ff000000ff
	d = d*10 + d>>8
	return uint64((d&pairs*(100+1000000<<32) + d>>16&pairs*(1+10000<<32)) >> 32)
}

// three is the number of three digits at the end.
func (d eight) three() uint64 {
	return uint64(d>>56 + d>>48&0xff*10 + d>>40&0xff*100)
}

// least is the least number of one, two and three digits: JSON has no leading
// zeros.
var least = [4]uint64{0, 0, 10, 100}

// after is the position behind the comma, and one space, of a list's number
// that ends at i; ok is false when something else stands there.
func (t text) after(i int) (next int, ok bool) {
	if t[i] != ',' {
		if i = t.space(i); t[i] != ',' {
			return i, false
		}
	}
	if i++; t[i] == ' ' {
		i++
	}
	return i, true
}

// uint8s reads a list of whole numbers from 0 to 255.
func (t text) uint8s(dst []byte, i int) (int, bool) {
	i++
	for k := 0; k < len(dst); {
		d := t.eight(i)
		n := d.digits()
		v, low := d.first(n).three(), least[n&3]
		if uint(n-1) > 2 || v-low > 255-low {
			if j := t.space(i); j > i {
				i = j
				continue
			}
			return 0, false
		}
		dst[k] = byte(v)
		var ok bool
		if k++; k == len(dst) {
			i = t.space(i + n)
		} else if i, ok = t.after(i + n); !ok {
			return 0, false
		}
	}
	return i + 1, t[i] == ']'
}

// int8s reads a list of whole numbers from -128 to 127.
func (t text) int8s(dst []byte, i int) (int, bool) {
	i++
	for k := 0; k < len(dst); {
		minus := 0
		if t[i] == '-' {
			minus = 1
		}
		d := t.eight(i) >> (8 * minus)
		n := d.digits() // a byte that was moved in is a digit: three are followed by one that is none
		v, low := d.first(n).three(), least[n&3]
		if uint(n-1) > 2 || v-low > uint64(127+minus)-low {
			if j := t.space(i); j > i {
				i = j
				continue
			}
			return 0, false
		}
		dst[k] = byte(int(v) * (1 - 2*minus))
		var ok bool
		if k++; k == len(dst) {
			i = t.space(i + minus + n)
		} else if i, ok = t.after(i + minus + n); !ok {
			return 0, false
		}
	}
	return i + 1, t[i] == ']'
}

// floats reads a list of numbers.
func (t text) floats(dst []byte, i int) (int, bool) {
	i = t.space(i + 1)
	for k := 0; k < len(dst); k += 4 {
		f, end, ok := t.float(i)
		if !ok {
			return 0, false
		}
		binary.NativeEndian.PutUint32(dst[k:], math.Float32bits(f))
		if k == len(dst)-4 {
			i = t.space(end)
		} else if i, ok = t.after(end); !ok {
			return 0, false
		} else if t[i] <= ' ' {
			i = t.space(i)
		}
	}
	return i + 1, t[i] == ']'
}

// powers of ten that a float64 holds exactly.
var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// tens are the powers that a run of up to eight digits moves the rest by.
var tens = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// maxDigits is how many digits a uint64 holds, whatever they are.
const maxDigits = 19

// float reads a number without exponent. Up to 2^53, its digits and the power
// of ten are exact, so one division rounds as float64's standard says; more
// digits are strconv's. A whole number too large for a float32 to hold exactly
// is for another way.
func (t text) float(i int) (f float32, end int, ok bool) {
	start := i
	if t[i] == '-' {
		i++
	}
	m, n := t.fold(0, i)
	if n == 0 || n > 15 || n > 1 && t[i] == '0' || t[i+n]|0x20 == 'e' {
		return 0, 0, false
	}
	i += n
	fraction := 0
	if t[i] != '.' {
		if m > maxWhole {
			return 0, 0, false
		}
		if m == 0 {
			return 0, i, t[i]|0x20 != 'e' // a whole zero has no sign
		}
	} else {
		if m, fraction = t.fold(m, i+1); fraction == 0 {
			return 0, 0, false
		}
		i += 1 + fraction
	}
	if t[i]|0x20 == 'e' {
		return 0, 0, false
	}
	if n+fraction > maxDigits || m > 1<<53 {
		v, err := strconv.ParseFloat(string(t[start:i]), 64)
		return float32(v), i, err == nil
	}
	v := float64(m) / powers[fraction]
	if t[start] == '-' {
		v = -v
	}
	return float32(v), i, true
}

// fold appends the run of digits at i to those of m, and tells how many they
// are. Beyond maxDigits in all, m is of no use.
func (t text) fold(m uint64, i int) (_ uint64, n int) {
	for {
		d := t.eight(i + n)
		k := d.digits()
		if k == 0 {
			return m, n
		}
		m = m*tens[k] + d.first(k).value()
		if n += k; k < 8 {
			return m, n
		}
	}
}

// maxWhole is the largest whole number that TensorFlow Serving takes for a
// float: all up to it are exact.
const maxWhole = 1<<24 - 1
