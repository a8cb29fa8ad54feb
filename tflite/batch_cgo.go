//go:build cgo

package tflite

import (
	"fmt"

	native "github.com/mattn/go-tflite"
)

// PredictBatch is Predict for several tensors at once, as many as Options.Batch
// at most. InvokeTime is that of all together.
func (m *Model) PredictBatch(tensors [][]byte, outs []*Output) error {
	if len(tensors) == 0 || len(tensors) > m.batch || len(outs) != len(tensors) {
		return fmt.Errorf("predict: %d tensors and %d outputs, model %s is loaded for %d", len(tensors), len(outs), m.info.Name, m.batch)
	}
	for i, tensor := range tensors {
		if err := m.fill(i, tensor); err != nil {
			return err
		}
	}
	took, err := m.invoke()
	if err != nil {
		return err
	}
	for i, out := range outs {
		out.InvokeTime = took
		if err := m.answer(i, out, m.decoder); err != nil {
			return err
		}
	}
	return nil
}

// resize has the interpreter take a batch. It is for before AllocateTensors.
func (m *Model) resize() error {
	t := m.interpreter.GetInputTensor(0)
	if t == nil || t.NumDims() != 4 {
		return fmt.Errorf("its input takes no batch of %d", m.batch)
	}
	shape := []int32{int32(m.batch)}
	for i := 1; i < 4; i++ {
		shape = append(shape, int32(t.Dim(i)))
	}
	if status := m.interpreter.ResizeInputTensor(0, shape); status != native.OK {
		return m.blame(fmt.Errorf("its input takes no batch of %d%s", m.batch, m.messages.reason()))
	}
	return nil
}

// one describes a tensor as it would be without a batch.
func (m *Model) one(t *native.Tensor) (TensorInfo, error) {
	info := describe(t)
	if m.batch == 1 {
		return info, nil
	}
	if len(info.Shape) == 0 || info.Shape[0] != m.batch {
		return info, fmt.Errorf("its tensor %s has no place for each picture of a batch of %d", info, m.batch)
	}
	info.Shape[0] = 1
	return info, nil
}
