package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/tflite"
	"github.com/egret-edge/egret/tflite/requant"
)

// comparedInputs is enough that one wrong answer is a quarter of a percent.
const comparedInputs = 480

// conversions converts the default models to int8 and compares each with its
// original, input by input, on one thread.
func conversions(ctx context.Context, o options) ([]result, error) {
	m := &bench{options: o}
	for _, model := range []struct {
		name, path string
		agreement  float64
	}{
		{"v1", "models/mobilenet_v1_1.0_224_quant", 0.99},
		{"ssd", "models/ssd_mobilenet_v1_quant", 0.98},
	} {
		c, err := m.converted(ctx, model.path, model.name)
		if err != nil {
			return nil, fmt.Errorf("convert %s: %w", model.path, err)
		}
		share, ok := c.Share()
		if !ok {
			return nil, fmt.Errorf("convert %s: the original is sure of nothing in its samples", model.path)
		}
		m.add("convert_speedup_"+model.name, c.Speedup, "speed ratio", budget(3), false)
		m.add("convert_agreement_"+model.name, share, "share", budget(model.agreement), false)
		if c.Task == tflite.Classify {
			m.add("convert_agreement_"+model.name+"_all", c.Top1, "share", nil, false)
		}
	}
	return m.results, nil
}

func (m *bench) converted(ctx context.Context, path, name string) (agent.Comparison, error) {
	b, err := tflite.OpenBundle(path)
	if err != nil {
		return agent.Comparison{}, err
	}
	dir := filepath.Join(m.dir, "converted-"+name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return agent.Comparison{}, err
	}
	converted, _, err := agent.Convert(b, agent.ToInt8, requant.Options{NativeBorder: true}, dir)
	if err != nil {
		return agent.Comparison{}, err
	}
	return agent.Compare(ctx, agent.Comparing{
		Original:  agent.Side{Bundle: b, Delegate: tflite.CPU, Threads: 1},
		Converted: agent.Side{Bundle: converted, Delegate: tflite.XNNPACK, Threads: 1},
		Pictures:  agent.GoldenPictures(b), Inputs: comparedInputs, Timeout: time.Minute,
	})
}
