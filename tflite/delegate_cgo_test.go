//go:build cgo

package tflite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/delegates"
)

// answer is what a model sees in the peacock.
func answer(t *testing.T, m *Model) (Output, error) {
	t.Helper()
	var out Output
	err := m.Predict(pixels(t, m, "../samples/classify/peacock.png"), &out)
	return out, err
}

func TestExternalDelegate(t *testing.T) {
	lib := delegates.Build(t)
	empty := filepath.Join(t.TempDir(), "empty.so")
	if err := os.WriteFile(empty, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, spec, wrong string }{
		{"takes nodes", delegates.Spec(lib, "take", ""), ""},
		{"refuses", delegates.Spec(lib, "refuse", ""), "no device found"},
		{"fails to prepare", delegates.Spec(lib, "prepare", ""), "no such graph"},
		{"no such file", "external:/no/such/delegate.so", "/no/such/delegate.so"},
		{"not a library", "external:" + empty, "empty.so"},
		{"not a delegate", "external:libc.so.6", "is no external delegate"},
		{"no accelerator here", "edgetpu", "libedgetpu.so.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Load(bundle(t, mobilenet), Options{Delegate: tt.spec})
			if tt.wrong != "" {
				if !errors.Is(err, ErrDelegate) || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want ErrDelegate with %q on one line", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if i := m.Info(); i.Delegate != "external:libtest_delegate.so" || i.Delegated != 1 || i.Operators != 31 {
				t.Errorf("delegate %q runs %d of %d operators, want the test delegate and 1 of 31", i.Delegate, i.Delegated, i.Operators)
			}
			if out, err := answer(t, m); err != nil || out.Results[0].Label != "peacock" {
				t.Errorf("results %v, %v, want peacock", out.Results, err)
			}
		})
	}
}

func TestLostDelegateIsBlamed(t *testing.T) {
	lost := filepath.Join(t.TempDir(), "lost")
	m := load(t, bundle(t, mobilenet), Options{Delegate: delegates.Spec(delegates.Build(t), "take", lost)})
	if _, err := answer(t, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lost, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := answer(t, m); !errors.Is(err, ErrDelegate) || !strings.Contains(err.Error(), "the device is gone") {
		t.Errorf("error %v, want ErrDelegate and the device's own words", err)
	}
}

// TestXNNPACKOnUint8 holds the trap that the fast unsigned kernels fail on the
// very models they are for: they stay off, and the CPU answers.
func TestXNNPACKOnUint8(t *testing.T) {
	m := load(t, bundle(t, mobilenet), Options{Delegate: XNNPACK})
	if i := m.Info(); i.Delegate != CPU || i.Delegated != 0 {
		t.Errorf("delegate %q runs %d operators, want the CPU", i.Delegate, i.Delegated)
	}
	if out, err := answer(t, m); err != nil || out.Results[0].Label != "peacock" {
		t.Errorf("results %v, %v, want peacock", out.Results, err)
	}
}
