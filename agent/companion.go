package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// companion is a trial process that stays and answers frames: a model that is
// not trusted yet sees what the cameras see, and can take nothing down with it.
// It is for one goroutine.
type companion struct {
	report  ProbeReport
	timeout time.Duration // of each answer
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan []byte // lines; closed at the process's end
	stderr  *tail
	cancel  context.CancelFunc
	done    chan struct{} // the process has been waited for
	state   error         // how it ended; valid after done
	n       uint64
}

// frameHeader goes before a frame's bytes, as one line of JSON.
type frameHeader struct {
	N      uint64       `json:"n"`
	Format pixel.Format `json:"format"`
	Width  int          `json:"width,omitempty"`
	Height int          `json:"height,omitempty"`
	Stride int          `json:"stride,omitempty"`
	Colour pixel.Colour `json:"colour"`
	Bytes  int          `json:"bytes"`
}

// frameAnswer is what the process says of a frame.
type frameAnswer struct {
	N        uint64          `json:"n"`
	Results  []tflite.Result `json:"results"`
	InvokeUs float64         `json:"invoke_us"`
	Memory   uint64          `json:"memory_bytes"`
	// Picture says why the frame was no picture, which is not the model's
	// fault; Error why the model failed.
	Picture string `json:"picture,omitempty"`
	Error   string `json:"error,omitempty"`
}

// serveFrames answers frames until the input ends.
func serveFrames(m *tflite.Model, in *bufio.Reader, out io.Writer) error {
	target := m.Target()
	tensor := make([]byte, target.Bytes())
	var scaler pixel.Scaler
	defer scaler.Close()
	var o tflite.Output
	var data []byte
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		var h frameHeader
		if err == nil {
			err = json.Unmarshal(line, &h)
		}
		if err != nil || h.Bytes < 0 || h.Bytes > pixel.MaxBytes {
			return fmt.Errorf("read a frame's header: %w", errors.Join(err, errors.New("it is out of bounds")))
		}
		data = resize(data, h.Bytes)
		if _, err := io.ReadFull(in, data); err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
		a := frameAnswer{N: h.N}
		view, err := scaler.Tensor(tensor, &target, pixel.Image{Format: h.Format, Width: h.Width, Height: h.Height, Stride: h.Stride, Colour: h.Colour, Data: data})
		switch {
		case err != nil:
			a.Picture = err.Error()
		default:
			if err := m.Predict(tensor, &o); err != nil {
				a.Error = err.Error()
				break
			}
			o.Frame(view)
			a.Results, a.InvokeUs = o.Results, float64(o.InvokeTime.Nanoseconds())/1e3
		}
		a.Memory = peakMemory()
		if err := writeLine(out, a); err != nil {
			return err
		}
	}
}

// maxAnswer bounds a line of the process: a thousand results.
const maxAnswer = 1 << 20

// startCompanion starts the process and waits for its report, which may say
// that the model does not work. timeout bounds that and each answer.
func startCompanion(ctx context.Context, req ProbeRequest, timeout time.Duration) (*companion, error) {
	req.Frames = true
	input, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	exe, err := self()
	if err != nil {
		return nil, &passing{fmt.Errorf("start a trial process: %w", err)}
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &companion{timeout: timeout, cancel: cancel, done: make(chan struct{}), answers: make(chan []byte, 1), stderr: &tail{limit: maxChildOutput}}
	c.cmd = exec.CommandContext(ctx, exe, "probe", "-")
	c.cmd.Stderr = c.stderr
	c.cmd.WaitDelay = 2 * time.Second
	ownGroup(c.cmd)
	var out io.ReadCloser
	if c.in, err = c.cmd.StdinPipe(); err == nil {
		out, err = c.cmd.StdoutPipe()
	}
	if err != nil {
		cancel()
		return nil, &passing{fmt.Errorf("start a trial process: %w", err)}
	}
	started := make(chan error)
	go c.watch(out, started)
	if err := <-started; err != nil {
		cancel()
		return nil, &passing{fmt.Errorf("start a trial process: %w", err)}
	}
	line, err := c.exchange(ctx, append(input, '\n'), nil)
	if err == nil {
		err = json.Unmarshal(line, &c.report)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// watch starts the process on a thread that stays for as long as it runs (see
// child.run), reads its lines and waits for its end.
func (c *companion) watch(out io.Reader, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.done)
	if err := c.cmd.Start(); err != nil {
		started <- err
		close(c.answers)
		return
	}
	started <- nil
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 0, 64<<10), maxAnswer)
	for lines.Scan() {
		if line := lines.Bytes(); len(line) > 0 && line[0] == '{' {
			c.answers <- bytes.Clone(line)
		}
	}
	close(c.answers)
	_, _ = io.Copy(io.Discard, out) // after a line that was too long
	c.state = c.cmd.Wait()
}

// exchange sends a header and a body, and waits for the line that answers.
func (c *companion) exchange(ctx context.Context, header, body []byte) ([]byte, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := c.in.Write(header)
		if err == nil && len(body) > 0 {
			_, err = c.in.Write(body)
		}
		sent <- err
	}()
	timer := time.NewTimer(c.timeout)
	defer timer.Stop()
	var line []byte
	var ok bool
	select {
	case line, ok = <-c.answers:
	case <-timer.C:
		c.cancel() // the writer too ends with the process
		<-sent
		return nil, fmt.Errorf("%w within %v: killed", errHung, c.timeout)
	case <-ctx.Done():
		c.cancel()
		<-sent
		return nil, ctx.Err()
	}
	if !ok {
		c.cancel()
		<-sent
		<-c.done
		if c.cmd.ProcessState == nil {
			return nil, errors.New("the trial process ended")
		}
		return nil, &passing{ended(c.cmd.ProcessState, c.stderr.buf)}
	}
	return line, <-sent
}

// errPicture is in the error of a frame that is no picture.
var errPicture = errors.New("not a picture")

// answer has the model look at a frame. An error that is neither errPicture nor
// ctx's is the model's.
func (c *companion) answer(ctx context.Context, img pixel.Image) (frameAnswer, error) {
	c.n++
	header, err := json.Marshal(frameHeader{N: c.n, Format: img.Format, Width: img.Width, Height: img.Height, Stride: img.Stride, Colour: img.Colour, Bytes: len(img.Data)})
	if err != nil {
		return frameAnswer{}, err
	}
	line, err := c.exchange(ctx, append(header, '\n'), img.Data)
	if err != nil {
		return frameAnswer{}, err
	}
	var a frameAnswer
	if err := json.Unmarshal(line, &a); err != nil || a.N != c.n {
		return a, errors.New("the trial process answers out of order")
	}
	switch {
	case a.Picture != "":
		return a, fmt.Errorf("%w: %s", errPicture, a.Picture)
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}

// close ends the process.
func (c *companion) close() {
	_ = c.in.Close() // asks it to end
	select {
	case <-c.done:
	case <-time.After(2 * time.Second):
	}
	c.cancel()
	for range c.answers { // lines that nobody waits for
	}
	<-c.done
}
