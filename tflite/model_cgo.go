//go:build cgo

package tflite

/*
#include <tensorflow/lite/c/c_api.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"
	"unsafe"

	native "github.com/mattn/go-tflite"

	"github.com/egret-edge/egret/sensors/pixel"
)

// Model is a loaded model with its interpreter. It belongs to one goroutine
// and must be closed by it.
type Model struct {
	info    Info
	target  pixel.Target
	decoder decoder

	model       *native.Model
	options     *native.InterpreterOptions
	delegate    *nativeDelegate // nil on the CPU
	interpreter *native.Interpreter
	batch       int    // pictures of one Invoke
	input       []byte // native memory, of the whole batch
	turned      bool   // input holds signed bytes where the caller gives unsigned ones
	tensors     []*native.Tensor
	views       []tensorView
	messages    *messages
}

// Version is the native library's version.
func Version() string { return C.GoString(C.TfLiteVersion()) }

// Load loads a bundle's model. Errors name the model and say what does not
// fit; ErrDelegate marks those for which the delegate is to blame.
func Load(b *Bundle, opts Options) (*Model, error) {
	d, err := ParseDelegate(opts.Delegate)
	if err != nil {
		return nil, err
	}
	opts.Threads = max(opts.Threads, 1)
	m := &Model{}
	if err := m.load(b, d, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("load model %s: %w", b.ModelPath, err), m.Close())
	}
	if opts.Logger != nil {
		m.remark(opts.Logger)
	}
	return m, nil
}

// remark logs what is odd about a model that was loaded all the same.
func (m *Model) remark(log *slog.Logger) {
	log = log.With("model", m.info.Name, "version", m.info.Version)
	if cores := runtime.NumCPU(); m.info.Threads > cores {
		log.Warn("more threads than cores make inference many times slower", "threads", m.info.Threads, "cores", cores)
	}
	if m.info.Labels == 0 {
		log.Warn("the model has no labels: classes are called by their numbers")
	}
	if m.info.Operators > 0 && m.info.Delegated == 0 {
		log.Warn("the delegate takes none of the model's operators: all run on the CPU", "operators", m.info.Operators)
	}
	if text := m.messages.take(); text != "" {
		log.Warn("the native library remarks on the model", "message", text)
	}
}

func (m *Model) load(b *Bundle, d Delegate, opts Options) (err error) {
	// From the file, not from bytes: go-tflite never frees those.
	if m.model = native.NewModelFromFile(b.ModelPath); m.model == nil {
		return errors.New("the library does not read it: is the file damaged?")
	}
	m.info.Delegate = d.String()
	m.options = native.NewInterpreterOptions()
	m.options.SetNumThread(opts.Threads)
	m.messages = newMessages(m.options)
	if m.delegate, err = newDelegate(d, opts.Threads); err != nil {
		return err
	}
	operators, taken := 0, 0
	if m.interpreter, operators, taken, err = newInterpreter(m.model, m.options, m.delegate); err != nil {
		return fmt.Errorf("%w%s", err, m.messages.reason())
	}
	if m.batch = max(opts.Batch, 1); m.batch > 1 {
		if err := m.resize(); err != nil {
			return err
		}
	}
	if status := m.interpreter.AllocateTensors(); status != native.OK {
		return m.blame(fmt.Errorf("its tensors cannot be allocated%s", m.messages.reason()))
	}
	m.info = Info{
		Name: b.Name, Version: b.Version, Digest: b.Digest, Converted: b.Converted,
		Delegate: d.String(), Threads: opts.Threads,
		Operators: operators, Delegated: taken,
		Labels: len(b.Labels), Library: Version(),
	}
	if operators > 0 && taken == 0 { // whoever was asked, it is the CPU that answers
		m.info.Delegate = CPU
	}
	in := b.Manifest.Input
	if opts.Fit != "" {
		in.Fit = opts.Fit
	}
	if err := m.bindInput(b, in); err != nil {
		return err
	}
	return m.bindOutputs(b, opts)
}

// blame marks an error that may be the delegate's: without it, the same model
// may run.
func (m *Model) blame(err error) error {
	if m.delegate == nil {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrDelegate, m.info.Delegate, err)
}

// bindInput checks the one input and keeps its memory.
func (m *Model) bindInput(b *Bundle, in Input) error {
	if c := m.interpreter.GetInputTensorCount(); c != 1 {
		return fmt.Errorf("it has %d inputs, an image model has one", c)
	}
	t := m.interpreter.GetInputTensor(0)
	info, err := m.one(t)
	if err != nil {
		return err
	}
	if b.Converted != "" {
		info, m.turned = info.unsigned()
	}
	m.info.Inputs = []TensorInfo{info}
	if m.target.Width, m.target.Height, err = imageInput(info); err != nil {
		return err
	}
	if in.Fit != "" {
		if m.target.Fit, err = pixel.ParseFit(in.Fit); err != nil {
			return err
		}
	}
	m.target.Encoding = newEncoding(info, in)
	if m.input = bytesOf(t); len(m.input) != m.batch*m.target.Bytes() {
		return fmt.Errorf("its input %s has %d bytes", info, len(m.input))
	}
	return nil
}

// bindOutputs runs the model once, because some outputs have no shape before,
// and picks the decoder for what comes out.
func (m *Model) bindOutputs(b *Bundle, opts Options) error {
	clear(m.input)
	if status := m.interpreter.Invoke(); status != native.OK {
		return m.blame(fmt.Errorf("its first Invoke failed%s", m.messages.reason()))
	}
	for i := range m.interpreter.GetOutputTensorCount() {
		t := m.interpreter.GetOutputTensor(i)
		info, err := m.one(t)
		if err != nil {
			return err
		}
		v := tensorView{TensorInfo: info}
		if b.Converted != "" {
			if v.TensorInfo, v.turned = info.unsigned(); v.turned {
				v.own = make([]byte, info.elements())
			}
		}
		m.tensors = append(m.tensors, t)
		m.info.Outputs = append(m.info.Outputs, v.TensorInfo)
		m.views = append(m.views, v)
	}
	var err error
	if m.decoder, m.info.Task, err = newDecoder(b, m.info.Outputs, opts); err != nil {
		return err
	}
	return m.readOutputs(0)
}

// readOutputs points the views at what the last Invoke wrote of a picture of
// the batch: a dynamic tensor moves. One that changed its size would be read out
// of bounds.
func (m *Model) readOutputs(picture int) error {
	for i, t := range m.tensors {
		v := &m.views[i]
		data, size := bytesOf(t), v.elements()*v.byteSize()
		if len(data) != m.batch*size {
			return fmt.Errorf("output %s has %d bytes, want %d", v.TensorInfo, len(data), m.batch*size)
		}
		v.data = data[picture*size : (picture+1)*size]
		if v.turned {
			turn(v.own, v.data)
			v.data = v.own
		}
	}
	return nil
}

// Info describes the model.
func (m *Model) Info() Info { return m.info }

// Target describes the tensor that the model takes, for pixel.Scaler.
func (m *Model) Target() pixel.Target { return m.target }

// Predict runs the model on a tensor of its Target and fills in out. The tensor
// is copied first, so that it may be filled with the next frame meanwhile.
func (m *Model) Predict(tensor []byte, out *Output) error { return m.predict(tensor, out, m.decoder) }

func (m *Model) predict(tensor []byte, out *Output, dec decoder) error {
	if err := m.fill(0, tensor); err != nil {
		return err
	}
	took, err := m.invoke()
	if out.InvokeTime = took; err != nil {
		return err
	}
	return m.answer(0, out, dec)
}

// fill copies a picture's tensor to its place in the input.
func (m *Model) fill(picture int, tensor []byte) error {
	if m.interpreter == nil {
		return errors.New("predict: the model is closed")
	}
	size := len(m.input) / m.batch
	if len(tensor) != size {
		return fmt.Errorf("predict: a tensor of %d bytes, model %s takes %d: %s", len(tensor), m.info.Name, size, m.info.Inputs[0])
	}
	if to := m.input[picture*size:]; m.turned {
		turn(to, tensor)
	} else {
		copy(to, tensor)
	}
	return nil
}

func (m *Model) invoke() (time.Duration, error) {
	start := time.Now()
	status := m.interpreter.Invoke()
	took := time.Since(start)
	if status != native.OK {
		return took, m.blame(fmt.Errorf("invoke model %s: the library reports a failure%s", m.info.Name, m.messages.reason()))
	}
	return took, nil
}

// answer copies out what the last Invoke said of a picture.
func (m *Model) answer(picture int, out *Output, dec decoder) (err error) {
	if err := m.readOutputs(picture); err != nil {
		return fmt.Errorf("invoke model %s: %w", m.info.Name, err)
	}
	if out.Results, err = dec.decode(m.views, out.Results); err != nil {
		return fmt.Errorf("read the results of model %s: %w", m.info.Name, err)
	}
	if !out.Raw {
		return nil
	}
	for len(out.Tensors) < len(m.views) {
		out.Tensors = append(out.Tensors, nil)
	}
	out.Tensors = out.Tensors[:len(m.views)]
	for i := range m.views {
		out.Tensors[i] = append(out.Tensors[i][:0], m.views[i].data...)
	}
	return nil
}

// Close frees the model. Closing again does nothing; the native objects would
// crash on it.
func (m *Model) Close() error {
	if m.interpreter != nil {
		m.interpreter.Delete()
	}
	if m.options != nil {
		m.options.Delete()
	}
	m.delegate.Delete() // used by the interpreter until here, as were the messages
	m.messages.free()
	if m.model != nil {
		m.model.Delete()
		giveBack()
	}
	m.interpreter, m.options, m.delegate, m.model, m.input, m.tensors = nil, nil, nil, nil, nil, nil
	return nil
}

func describe(t *native.Tensor) TensorInfo {
	q := t.QuantizationParams()
	return TensorInfo{
		Name: t.Name(), Type: strings.ToLower(t.Type().String()), Shape: t.Shape(),
		Scale: q.Scale, ZeroPoint: q.ZeroPoint,
	}
}

// bytesOf is a tensor's native memory.
func bytesOf(t *native.Tensor) []byte {
	p := t.Data()
	if p == nil {
		return nil
	}
	return unsafe.Slice((*byte)(p), t.ByteSize())
}
