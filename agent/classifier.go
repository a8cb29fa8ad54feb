package agent

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// Classifier takes pictures to predictions with one loaded model, for the
// command line. It is for one goroutine.
type Classifier struct {
	model  *tflite.Model
	info   tflite.Info
	device string
	seq    uint64
	out    tflite.Output
}

// NewClassifier loads the bundle's model. device names this host in the
// predictions.
func NewClassifier(b *tflite.Bundle, opts tflite.Options, device string) (*Classifier, error) {
	model, err := tflite.Load(b, opts)
	if err != nil {
		return nil, err
	}
	return &Classifier{model: model, info: model.Info(), device: device}, nil
}

// Info is the loaded model's.
func (c *Classifier) Info() tflite.Info { return c.info }

// Close frees the model.
func (c *Classifier) Close() error { return c.model.Close() }

// picture is a decoded one on its way to the model.
type picture struct {
	name   string
	tensor []byte
	view   pixel.View
	start  time.Time
	decode time.Duration
	err    error
}

// Each runs the model on pictures in order ("-" reads stdin) and calls done
// with the prediction or the error of each. The next picture is read and
// decoded while the model works on the one before, so that all together cost
// little more than the Invokes. It ends early when ctx does or done fails, with
// that error.
func (c *Classifier) Each(ctx context.Context, files []string, stdin io.Reader, done func(file string, p payload.Prediction, err error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	target := c.model.Target()
	free, ready := make(chan []byte, 2), make(chan picture)
	for range cap(free) {
		free <- make([]byte, target.Bytes())
	}
	go func() {
		defer close(ready)
		var scaler pixel.Scaler
		defer scaler.Close()
		for _, file := range files {
			var tensor []byte
			select {
			case tensor = <-free:
			case <-ctx.Done():
				return
			}
			p := picture{name: file, tensor: tensor, start: time.Now()}
			p.view, p.err = decodeFile(&scaler, tensor, &target, file, stdin)
			p.decode = time.Since(p.start)
			select {
			case ready <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	for p := range ready {
		pred, err := c.predict(p)
		free <- p.tensor
		if err := done(p.name, pred, err); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func decodeFile(s *pixel.Scaler, tensor []byte, target *pixel.Target, file string, stdin io.Reader) (pixel.View, error) {
	data, err := readPicture(file, stdin)
	if err != nil {
		return pixel.View{}, err
	}
	return s.Tensor(tensor, target, pixel.Image{Format: pixel.Sniff(data), Data: data})
}

// predict runs the model on a decoded picture. The prediction has boot 0: it
// belongs to no running agent.
func (c *Classifier) predict(pic picture) (payload.Prediction, error) {
	if pic.err != nil {
		return payload.Prediction{}, pic.err
	}
	start := time.Now()
	if err := c.model.Predict(pic.tensor, &c.out); err != nil {
		return payload.Prediction{}, err
	}
	c.out.Frame(pic.view)
	took := time.Since(start)
	p := NewPrediction(c.info, c.out.Results)
	c.seq++
	p.Device, p.Seq, p.Camera, p.File = c.device, c.seq, "file", pic.name
	p.ID = payload.NewID(c.device, 0, c.seq)
	p.Time, p.Clock = stamp(pic.start), ClockNow()
	p.Latency = payload.Latency{
		Decode: pic.decode.Microseconds(),
		Invoke: c.out.InvokeTime.Microseconds(),
		Total:  (pic.decode + took).Microseconds(),
	}
	return p, nil
}

// ClockNow is the kernel's opinion of its clock at this moment.
func ClockNow() payload.Clock {
	if ok, err := sensors.ClockSynced(); err == nil && ok {
		return payload.ClockSynced
	}
	return payload.ClockUnsynced
}

// pictureTypes are the file name endings that count as pictures in a folder.
var pictureTypes = []string{".jpg", ".jpeg", ".png", ".bmp", ".webp"}

// Pictures lists the picture files that a path stands for: the file itself,
// or all in a folder and below it, sorted. "-" is passed through.
func Pictures(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open picture: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var out []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && slices.Contains(pictureTypes, strings.ToLower(filepath.Ext(p))) {
			out = append(out, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list pictures: %w", err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("folder %s holds no pictures (%s)", path, strings.Join(pictureTypes, ", "))
	}
	return out, nil
}

// readPicture reads one picture file, or stdin for "-", within the decoder's
// size limit.
func readPicture(path string, stdin io.Reader) ([]byte, error) {
	r := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open picture: %w", err)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, pixel.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read picture %s: %w", path, err)
	}
	if len(data) > pixel.MaxBytes {
		return nil, fmt.Errorf("picture %s is larger than the limit of %d MiB", path, pixel.MaxBytes>>20)
	}
	return data, nil
}
