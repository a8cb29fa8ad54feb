package agent

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// Classifier takes single pictures to predictions with one loaded model, for
// the command line. It is for one goroutine.
type Classifier struct {
	model  *tflite.Model
	info   tflite.Info
	device string
	seq    uint64
	scaler pixel.Scaler
	rgb    []byte
	out    tflite.Output
}

// NewClassifier loads and warms the bundle's model. device names this host in
// the predictions.
func NewClassifier(b *tflite.Bundle, opts tflite.Options, device string) (*Classifier, error) {
	model, err := tflite.Load(b, opts)
	if err != nil {
		return nil, err
	}
	w, h := model.InputSize()
	c := &Classifier{model: model, info: model.Info(), device: device, rgb: make([]byte, w*h*3)}
	if err := model.Predict(c.rgb, &c.out); err != nil {
		return nil, fmt.Errorf("warm up model %q: %w", b.Name, err)
	}
	return c, nil
}

// Info is the loaded model's.
func (c *Classifier) Info() tflite.Info { return c.info }

// Close frees the model.
func (c *Classifier) Close() error { return c.model.Close() }

// Predict runs the model on the bytes of one picture file. The prediction has
// boot 0 and no clock to trust: it belongs to no running agent.
func (c *Classifier) Predict(name string, data []byte) (payload.Prediction, error) {
	start := time.Now()
	img := pixel.Image{Format: pixel.Sniff(data), Data: data}
	w, h := c.model.InputSize()
	if err := c.scaler.RGB(c.rgb, w, h, img); err != nil {
		return payload.Prediction{}, err
	}
	decoded := time.Now()
	if err := c.model.Predict(c.rgb, &c.out); err != nil {
		return payload.Prediction{}, err
	}
	end := time.Now()
	p := NewPrediction(c.info, c.out.Results)
	c.seq++
	p.Device, p.Seq, p.Camera, p.File = c.device, c.seq, "file", name
	p.ID = payload.NewID(c.device, 0, c.seq)
	p.Time, p.Clock = start.UTC(), payload.ClockUnsynced
	p.Latency = payload.Latency{
		Decode: decoded.Sub(start).Microseconds(),
		Invoke: c.out.InvokeTime.Microseconds(),
		Total:  end.Sub(start).Microseconds(),
	}
	return p, nil
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

// ReadPicture reads one picture file, or stdin for "-", within the decoder's
// size limit.
func ReadPicture(path string, stdin io.Reader) ([]byte, error) {
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
