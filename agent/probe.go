package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
	"github.com/egret-edge/egret/tflite/requant"
)

// ProbeRequest is what a trial process is asked: to load a model in one way,
// run its golden samples and time its Invokes. Nothing new is trusted in the
// agent's own process before: native code can crash it or never come back.
type ProbeRequest struct {
	// Model is a bundle's folder or a .tflite file.
	Model string `json:"model"`
	// Delegate is a specification for tflite.ParseDelegate.
	Delegate string `json:"delegate"`
	Threads  int    `json:"threads"`
	Batch    int    `json:"batch,omitempty"` // pictures of one Invoke
	// Converted is the type of the conversion in File that runs in the model's
	// place; empty: the model itself. With Convert the process writes that file
	// and does nothing else; without a File it only sees whether it could.
	Converted string `json:"converted,omitempty"`
	File      string `json:"file,omitempty"`
	Convert   bool   `json:"convert,omitempty"`
	// Invokes are timed until there are Runs of them or Budget is used up,
	// but three at least. Zero means 50 runs and 1 s.
	Runs   int           `json:"runs,omitempty"`
	Budget time.Duration `json:"budget_ns,omitempty"`
	// Frames has the process answer frames after its report, until its input
	// ends (see companion), as the other fields say.
	Frames    bool     `json:"frames,omitempty"`
	Labels    string   `json:"labels,omitempty"`
	TopK      int      `json:"top_k,omitempty"`
	Threshold *float64 `json:"threshold,omitempty"`
	Fit       string   `json:"fit,omitempty"`
}

// ProbeReport is the answer.
type ProbeReport struct {
	// Spec is the delegate that was asked for; Delegate is what ran, which is
	// "cpu" when Spec takes none of the model's operators.
	Spec     string `json:"spec"`
	Delegate string `json:"delegate"`
	Threads  int    `json:"threads"`
	// Converted is the type that the model was converted to for this trial.
	Converted string `json:"converted,omitempty"`
	OK        bool   `json:"ok"`
	// Reason says in one line why not.
	Reason    string  `json:"reason,omitempty"`
	Library   string  `json:"library,omitempty"`
	Operators int     `json:"operators,omitempty"` // of the model; 0 when not known
	Delegated int     `json:"delegated,omitempty"` // of those, the delegate's
	Golden    int     `json:"golden"`              // samples answered right
	LoadMs    float64 `json:"load_ms"`
	Runs      int     `json:"runs"`
	InvokeP50 float64 `json:"invoke_ms_p50"`
	InvokeP95 float64 `json:"invoke_ms_p95"`
	// Memory is the most that the process had resident, in bytes; 0 when not
	// known.
	Memory uint64 `json:"memory_bytes,omitempty"`
	// Of a conversion: the file's digest, that the model has nothing to gain, or
	// that the file could not be written.
	Digest    string `json:"digest,omitempty"`
	Needless  bool   `json:"needless,omitempty"`
	Unwritten bool   `json:"unwritten,omitempty"`
	// untried: no process could be started, which says nothing of the
	// delegate. died: it crashed or hung, and hung tells which.
	untried, died, hung bool
}

// Probe does what the request asks in this process. A model or delegate that
// does not work is no error: the report says so.
func Probe(req ProbeRequest) ProbeReport {
	r, m := probe(req)
	if m != nil {
		_ = m.Close()
	}
	return r
}

// probe is Probe that leaves the model open when it works.
func probe(req ProbeRequest) (ProbeReport, *tflite.Model) {
	r := ProbeReport{Spec: req.Delegate, Threads: req.Threads, Converted: req.Converted, Library: tflite.Version()}
	var m *tflite.Model
	var err error
	if req.Convert {
		err = r.convert(req)
	} else {
		m, err = r.run(req)
	}
	r.Memory = peakMemory()
	if err != nil {
		r.Reason = err.Error()
		return r, nil
	}
	r.OK = true
	return r, m
}

// maxProbeRequest bounds what a trial process reads; paths are 4096 bytes at
// most.
const maxProbeRequest = 64 << 10

// ServeProbe is the trial process: it reads one request, a line of JSON, and
// writes its report as one line of JSON.
func ServeProbe(in io.Reader, out io.Writer) error {
	expendable()
	from := bufio.NewReaderSize(in, maxProbeRequest)
	data, err := from.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read probe request: %w", err)
	}
	var req ProbeRequest
	if err := json.Unmarshal(data, &req); err != nil {
		return fmt.Errorf("read probe request: %w", err)
	}
	r, m := probe(req)
	if m != nil {
		defer m.Close()
	}
	if err := writeLine(out, r); err != nil || m == nil || !req.Frames {
		return err
	}
	return serveFrames(m, from, out)
}

// writeLine writes v as JSON on a line of its own: a driver may have printed
// something before.
func writeLine(out io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write probe report: %w", err)
	}
	_, err = fmt.Fprintf(out, "\n%s\n", line)
	return err
}

func (r *ProbeReport) run(req ProbeRequest) (_ *tflite.Model, err error) {
	b, err := OpenModel(configs.Model{Path: req.Model, Labels: req.Labels})
	if err != nil {
		return nil, err
	}
	if req.Converted != "" {
		b = b.As(req.Converted, req.File)
	}
	start := time.Now()
	m, err := tflite.Load(b, tflite.Options{Delegate: req.Delegate, Threads: req.Threads, Batch: req.Batch, TopK: req.TopK, Threshold: req.Threshold, Fit: req.Fit})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = m.Close() // err is the one to report
		}
	}()
	r.LoadMs = milliseconds(time.Since(start))
	info := m.Info()
	r.Delegate, r.Operators, r.Delegated = info.Delegate, info.Operators, info.Delegated
	if r.Golden, err = tflite.RunGolden(m, b); err != nil {
		return nil, err
	}
	return m, r.measure(m, req)
}

// convert writes the conversion's file.
func (r *ProbeReport) convert(req ProbeRequest) error {
	b, err := tflite.OpenBundle(req.Model)
	if err != nil {
		return err
	}
	// The agent gives bytes with the sign turned, which saves two operators.
	data, _, err := convertModel(b, req.Converted, requant.Options{NativeBorder: req.Converted == ToInt8})
	if err != nil {
		var no *requant.Refusal
		r.Needless = errors.As(err, &no) && no.Needless
		return err
	}
	if req.File == "" {
		return nil
	}
	if err := writeSynced(req.File, data); err != nil {
		r.Unwritten = true
		return err
	}
	r.Digest, err = b.As(req.Converted, req.File).FileDigest()
	return err
}

// writeSynced writes what is only then renamed to its place.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// measure times Invokes on noise: kernels take the same time for all pictures,
// but denormal numbers in a float model do not.
func (r *ProbeReport) measure(m *tflite.Model, req ProbeRequest) error {
	runs, budget := req.Runs, req.Budget
	if runs <= 0 {
		runs = 50
	}
	if budget <= 0 {
		budget = time.Second
	}
	tensor, err := noise(m.Target())
	if err != nil {
		return err
	}
	var out tflite.Output
	if err := m.Predict(tensor, &out); err != nil { // the first one warms up
		return err
	}
	var times []time.Duration
	for start := time.Now(); len(times) < 3 || len(times) < runs && time.Since(start) < budget; {
		if err := m.Predict(tensor, &out); err != nil {
			return err
		}
		times = append(times, out.InvokeTime)
	}
	slices.Sort(times)
	r.Runs, r.InvokeP50, r.InvokeP95 = len(times), percentile(times, 0.5)/1e3, percentile(times, 0.95)/1e3
	return nil
}

// noise is a picture of noise as the tensor.
func noise(t pixel.Target) ([]byte, error) {
	rgb := make([]byte, t.Width*t.Height*3)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range rgb {
		rgb[i] = byte(random.Uint32())
	}
	var s pixel.Scaler
	defer s.Close()
	tensor := make([]byte, t.Bytes())
	_, err := s.Tensor(tensor, &t, pixel.Image{Format: pixel.RGB24, Width: t.Width, Height: t.Height, Data: rgb})
	return tensor, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// Prober runs probes in processes of their own.
type Prober struct {
	// Timeout bounds one probe; zero means 20 s.
	Timeout time.Duration
	// Program is egret's file; empty is this very program.
	Program string
}

// Probe asks a process of its own, which is killed when it does not answer in
// time. It always gives a report.
func (p Prober) Probe(ctx context.Context, req ProbeRequest) ProbeReport {
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = 20 * time.Second
	}
	r := ProbeReport{Spec: req.Delegate, Threads: req.Threads, Converted: req.Converted}
	input, err := json.Marshal(req)
	if err != nil {
		r.Reason, r.untried = err.Error(), true
		return r
	}
	c := &child{program: p.Program, input: input, timeout: timeout}
	output, err := c.run(ctx)
	switch {
	case err != nil:
		r.Reason, r.untried, r.died, r.hung = err.Error(), !c.started, c.started, errors.Is(err, errHung)
	case json.Unmarshal(lastLine(output), &r) != nil:
		r = ProbeReport{Spec: req.Delegate, Threads: req.Threads, Converted: req.Converted, Reason: "the trial process gave no answer"}
	}
	return r
}
