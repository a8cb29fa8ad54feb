package agent

import (
	"fmt"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
)

// LoadConfig reads a configuration file and checks what the configs room
// cannot: that each camera's source is one that sensors can open. Nothing is
// opened. Mistakes are of type configs.Errors.
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
	if len(errs) > 0 {
		return cfg, errs
	}
	return cfg, nil
}
