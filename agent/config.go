package agent

import (
	"fmt"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/tflite"
)

// LoadConfig reads a configuration file and checks what the configs room
// cannot: that each camera's source is one that sensors can open, and each
// delegate one that tflite knows. Nothing is opened. Mistakes are of type
// configs.Errors.
func LoadConfig(path string) (configs.Config, error) {
	cfg, err := configs.Load(path)
	if err != nil {
		return cfg, err
	}
	var errs configs.Errors
	for i, c := range cfg.Cameras {
		if _, err := sensors.Open(c.Source, sensors.Options{}); err != nil {
			errs = append(errs, &configs.Error{File: path, Field: fmt.Sprintf("cameras[%d].source", i), Problem: err.Error()})
		}
	}
	for i, spec := range cfg.Inference.Delegate.List() {
		if spec == auto {
			continue
		}
		if _, err := tflite.ParseDelegate(spec); err != nil {
			errs = append(errs, &configs.Error{File: path, Field: fmt.Sprintf("inference.delegate[%d]", i), Problem: err.Error()})
		}
	}
	if len(errs) > 0 {
		return cfg, errs
	}
	return cfg, nil
}
