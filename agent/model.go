package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/tflite"
)

// OpenModel opens the bundle that a configured model names, with its labels
// overridden if the configuration says so.
func OpenModel(m configs.Model) (*tflite.Bundle, error) {
	b, err := tflite.OpenBundle(m.Path)
	if err != nil {
		return nil, err
	}
	if m.Labels != "" {
		if err := b.UseLabels(m.Labels); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// LoadOptions are the options that the configuration gives a model, but for
// what it runs on.
func LoadOptions(m configs.Model, log *slog.Logger) tflite.Options {
	return tflite.Options{TopK: m.TopK, Threshold: m.Threshold.Pointer(), Fit: m.Fit, Logger: log}
}

// NewTuner chooses delegates by trial processes that have as long as the
// configuration says, and keeps choices and converted models in dir; with "" it
// remembers nothing and converts nothing.
func NewTuner(inf configs.Inference, dir string, log *slog.Logger) *Tuner {
	t := &Tuner{
		Probe: Prober{Timeout: time.Duration(inf.ProbeTimeout)}.Probe,
		Cores: runtime.GOMAXPROCS(0), // what a container may use of the processors
		Log:   log,
	}
	if dir == "" {
		return t
	}
	t.Memory = &TuningMemory{Path: filepath.Join(dir, TuningFile)}
	if inf.Convert != "off" {
		t.Converter = &Converter{
			Dir: filepath.Join(dir, ConvertedDir), Required: inf.Convert == "require",
			MaxMemory: uint64(inf.MaxMemory), Timeout: time.Duration(inf.ProbeTimeout),
		}
	}
	return t
}

// defaultModel is what FindModel looks for; `make deps` brings it.
const defaultModel = "mobilenet_v1_1.0_224_quant"

// FindModel is path, or the default model's bundle when path is empty: in the
// working folder, beside the program, or where a package installs it.
func FindModel(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	roots := []string{"models"}
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		roots = append(roots, filepath.Join(dir, "../models"), filepath.Join(dir, "../share/egret/models"))
	}
	for _, root := range roots {
		if p := filepath.Join(root, defaultModel); isDir(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("the default model %s is not in %s: give --model, or run make deps", defaultModel, strings.Join(roots, ", "))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
