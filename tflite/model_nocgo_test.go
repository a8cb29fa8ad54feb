//go:build !cgo

package tflite

import (
	"errors"
	"testing"
)

func TestWithoutInference(t *testing.T) {
	m, err := Load(&Bundle{}, Options{})
	if m != nil || !errors.Is(err, ErrNoInference) {
		t.Errorf("Load gave %v, %v, want ErrNoInference", m, err)
	}
	if Version() != "" {
		t.Errorf("library version %q without a library", Version())
	}
}
