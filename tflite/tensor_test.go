package tflite

import (
	"bytes"
	"testing"
)

// TestTurn: every byte becomes the signed one of the same value less 128, at any
// length, and comes back.
func TestTurn(t *testing.T) {
	all := make([]byte, 256+7)
	for i := range all {
		all[i] = byte(i)
	}
	for n := range len(all) {
		src := all[:n]
		there, back := make([]byte, n), make([]byte, n)
		turn(there, src)
		if more := append(make([]byte, n), 77); n > 0 { // a picture before others of a batch
			if turn(more, src); more[n] != 77 {
				t.Fatalf("%d bytes were written behind their end", n)
			}
		}
		turn(back, there)
		if !bytes.Equal(back, src) {
			t.Fatalf("%d bytes do not come back", n)
		}
		for i, b := range there {
			if int(int8(b)) != int(src[i])-128 {
				t.Fatalf("byte %d of %d: %d became %d, want %d", i, n, src[i], int8(b), int(src[i])-128)
			}
		}
	}
}

func TestUnsigned(t *testing.T) {
	was := TensorInfo{Name: "x", Type: "int8", Shape: []int{1, 3}, Scale: 0.5, ZeroPoint: -128}
	if now, ok := was.unsigned(); !ok || now.Type != "uint8" || now.ZeroPoint != 0 || now.Scale != 0.5 {
		t.Errorf("%v became %v, %v", was, now, ok)
	}
	if now, ok := (TensorInfo{Type: "float32"}).unsigned(); ok || now.Type != "float32" {
		t.Errorf("float32 became %v, %v", now, ok)
	}
}

// A conversion may be a little less sure of its golden samples, no more.
func TestGoldenTolerance(t *testing.T) {
	want := Expect{Label: "peacock", MinScore: 0.8}
	for _, tt := range []struct {
		score     float32
		tolerance float64
		ok        bool
	}{{0.8, 0, true}, {0.79, 0, false}, {0.79, goldenTolerance, true}, {0.76, goldenTolerance, true}, {0.74, goldenTolerance, false}} {
		if got := want.in([]Result{{Label: "peacock", Score: tt.score}}, tt.tolerance); got != tt.ok {
			t.Errorf("score %v with tolerance %v: %v, want %v", tt.score, tt.tolerance, got, tt.ok)
		}
	}
}
