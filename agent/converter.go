package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/tflite"
	"github.com/egret-edge/egret/tflite/requant"
)

// ConvertedDir is the name of the folder of converted models in the state
// folder.
const ConvertedDir = "converted"

// Converter makes conversions of uint8 models for a Tuner, proves that they
// agree with their originals, and keeps their files.
type Converter struct {
	// Dir is for the converted files.
	Dir string
	// Required has a uint8 model that cannot run converted refused.
	Required bool
	// MaxMemory is what the process of a conversion may have resident, in
	// bytes; 0 is any.
	MaxMemory uint64
	// ReadOnly has only what is there used: whoever looks at another user's state
	// leaves no files in it.
	ReadOnly bool
	// Timeout bounds each answer of the comparison.
	Timeout time.Duration
	// Watch is called before and while two models are compared; may be nil.
	Watch func()

	compare func(context.Context, Comparing) (Comparison, error) // Compare, or a test's
}

// Conversion is a converted model that runs in its original's place.
type Conversion struct {
	To string `json:"to"` // "int8" or "float32"
	// Digest is the converted file's.
	Digest string `json:"digest"`
	// Agreement is the share of equal answers among Sure ones: inputs where the
	// original leads by ClearLead, or boxes with a score of 0.5 or more.
	Agreement float64 `json:"agreement"`
	Sure      int     `json:"sure"`
	Inputs    int     `json:"inputs"`
	// Medians of Invoke in milliseconds, of the same inputs one after the
	// other, each on what runs it best.
	OriginalMs  float64 `json:"original_ms"`
	ConvertedMs float64 `json:"converted_ms"`
}

// attempt is a conversion that is being tried. fresh: its file was not there
// before.
type attempt struct {
	Conversion
	fresh bool
}

// What a comparison at the start takes, and asks for.
const (
	compareInputs = 96
	compareLeast  = 24               // inputs, however long they take
	compareBudget = 10 * time.Second // for more than those
	// sureLeast is how many answers the original must be sure of: fewer prove
	// nothing.
	sureLeast = 12
	// minAgreement is the share of those that must be the same. One may differ
	// in any case: of few, a single one is more than the rest.
	minAgreement = 0.98
)

// maxConversions is how many converted files are kept.
const maxConversions = 8

// spareDisk is what a converted file must leave free, in bytes: the predictions
// need the disk more.
const spareDisk = 64 << 20

// file is where a bundle's conversion is kept.
func (c *Converter) file(b *tflite.Bundle, to string) string {
	return filepath.Join(c.Dir, fmt.Sprintf("%s-%s-%d.tflite", strings.TrimPrefix(b.Digest, "sha256:"), to, requant.Version))
}

// as is the bundle with its conversion in the model's place.
func (c *Converter) as(b *tflite.Bundle, to string) *tflite.Bundle { return b.As(to, c.file(b, to)) }

// intact tells whether a conversion's file still is what was proved, and marks it as
// used.
func (c *Converter) intact(b *tflite.Bundle, v Conversion) bool {
	if c == nil {
		return false
	}
	digest, err := c.as(b, v.To).FileDigest()
	if err != nil || digest != v.Digest {
		return false
	}
	if c.ReadOnly {
		return true
	}
	now := time.Now()
	_ = os.Chtimes(c.file(b, v.To), now, now) // at worst it is made again one day
	return true
}

// errNeedless is the error of a model that has nothing to gain from a
// conversion.
var errNeedless = errors.New("nothing to convert")

// passing is an error that the next attempt may not meet: a full disk, a process
// that was killed.
type passing struct{ err error }

func (e *passing) Error() string { return e.err.Error() }
func (e *passing) Unwrap() error { return e.err }

// failure is why a trial failed. A process that could not be started or was
// killed, and a full disk, say nothing of the model; one that hung, and was killed
// for that, does.
func failure(r ProbeReport) error {
	if r.untried || r.Unwritten || r.died && !r.hung {
		return &passing{errors.New(r.Reason)}
	}
	return errors.New(r.Reason)
}

// needless tells whether a model has nothing to gain from a conversion.
func (t *Tuner) needless(ctx context.Context, b *tflite.Bundle) (bool, error) {
	r := t.Probe(ctx, ProbeRequest{Model: b.Path(), Converted: ToInt8, Convert: true})
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case r.untried || r.died:
		return false, failure(r)
	}
	return r.Needless, nil
}

// make has a process of its own write the conversion's file and returns its
// digest.
func (t *Tuner) make(ctx context.Context, b *tflite.Bundle, to string) (digest string, err error) {
	c := t.Converter
	temp, err := c.temporary(b, to)
	if err != nil {
		if no, _ := t.needless(ctx, b); no {
			return "", errNeedless
		}
		return "", &passing{err}
	}
	defer os.Remove(temp)
	r := t.Probe(ctx, ProbeRequest{Model: b.Path(), Converted: to, File: temp, Convert: true})
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case r.Needless:
		return "", errNeedless
	case !r.OK:
		return "", failure(r)
	}
	if err := os.Rename(temp, c.file(b, to)); err != nil {
		return "", &passing{err}
	}
	c.prune()
	return r.Digest, nil
}

// temporary is a new file beside where the conversion is kept: an update and a
// reload may convert the same model at once.
func (c *Converter) temporary(b *tflite.Bundle, to string) (string, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return "", err
	}
	if err := c.room(b, to); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(c.Dir, "*"+unfinished)
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// unfinished is the ending of files that are being written.
const unfinished = ".part"

// room refuses a file that would fill the disk.
func (c *Converter) room(b *tflite.Bundle, to string) error {
	info, err := os.Stat(b.ModelPath)
	if err != nil {
		return err
	}
	need := uint64(info.Size()) * 2 // with what is added to it
	if to == ToFloat32 {
		need = uint64(info.Size()) * 5
	}
	if free := new(sensors.Host).Read(c.Dir).DiskFree; free != nil && *free < need+spareDisk {
		return fmt.Errorf("%d MiB are free where it would be kept, and %d MiB shall stay so", *free>>20, spareDisk>>20)
	}
	return nil
}

// prune removes the files that were used longest ago, beyond maxConversions, and
// what a crash left of one. What was used within the hour stays: another model
// of the same start may have it chosen and not yet opened.
func (c *Converter) prune() {
	type file struct {
		path string
		used time.Time
	}
	var files []file
	entries, _ := os.ReadDir(c.Dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, file{filepath.Join(c.Dir, e.Name()), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return b.used.Compare(a.used) }) // the newest first
	kept := 0
	for _, f := range files {
		if time.Since(f.used) < time.Hour {
			kept++
		} else if strings.HasSuffix(f.path, unfinished) || kept >= maxConversions {
			_ = os.Remove(f.path) // who has it loaded keeps it
		} else {
			kept++
		}
	}
}

// prove compares a conversion with its original, each on what runs it best, and
// says why it does not count if it does not.
func (c *Converter) prove(ctx context.Context, original, converted Side) (Conversion, error) {
	v := Conversion{To: converted.Bundle.Converted}
	req := Comparing{
		Original: original, Converted: converted, Pictures: GoldenPictures(original.Bundle), Drawings: true,
		Inputs: compareInputs, Least: compareLeast, Budget: compareBudget, Timeout: c.Timeout, Watch: c.Watch,
	}
	req.Pictures = req.Pictures[:min(len(req.Pictures), varied)]
	if c.Watch != nil {
		c.Watch()
	}
	compare := c.compare
	if compare == nil {
		compare = Compare
	}
	r, err := compare(ctx, req)
	if err != nil {
		return v, err
	}
	v.Inputs, v.OriginalMs, v.ConvertedMs = r.Inputs, r.Original.InvokeP50, r.Converted.InvokeP50
	v.Agreement, _ = r.Share()
	v.Sure = r.Sure()
	wrong := v.Sure - int(math.Round(v.Agreement*float64(v.Sure)))
	switch {
	case v.Sure < sureLeast:
		return v, fmt.Errorf("the original is sure of %d of its answers, and %d are the least to judge by: add golden samples to its model.yaml", v.Sure, sureLeast)
	case r.Task == tflite.Classify && r.Classes < 2:
		return v, errors.New("the original is sure of one class alone, which anything could agree with: add golden samples to its model.yaml")
	case wrong > max(1, int((1-minAgreement)*float64(v.Sure))):
		return v, fmt.Errorf("it gives another answer in %d of %d of which the original is sure", wrong, v.Sure)
	case v.ConvertedMs*near >= v.OriginalMs:
		return v, fmt.Errorf("it is not faster: %.2f ms, the original takes %.2f ms", v.ConvertedMs, v.OriginalMs)
	}
	return v, nil
}

// conversions tries the bundle's conversions and gives the reports of the first
// that is faster than the original's works and agrees with it: int8 or, where
// there are no fast kernels for it, float32. None is no error.
func (t *Tuner) conversions(ctx context.Context, c *Choice, b *tflite.Bundle, works []ProbeReport, threads int) []ProbeReport {
	if t.Converter == nil || t.Converter.ReadOnly || len(works) == 0 {
		return nil
	}
	best := fastest(works)
	for _, to := range []string{ToInt8, ToFloat32} {
		a, reports, err := t.conversion(ctx, c, b, to, best, threads)
		if err == nil {
			c.Conversion = &a.Conversion
			return reports
		}
		if c.needless = errors.Is(err, errNeedless); c.needless || ctx.Err() != nil {
			return nil
		}
		if a.fresh { // what was there before may serve another choice
			_ = os.Remove(t.Converter.file(b, to)) // at worst it is pruned one day
		}
		t.drop(c, b, to, err)
	}
	return nil
}

// drop gives a conversion up.
func (t *Tuner) drop(c *Choice, b *tflite.Bundle, to string, why error) {
	c.Refused = append(c.Refused, to+": "+strings.ReplaceAll(why.Error(), "model "+t.Converter.file(b, to), "the conversion"))
	c.passing = c.passing || errors.As(why, new(*passing))
	c.Conversion = nil
}

// conversion makes and tries one of them; best is the original on what runs it
// best.
func (t *Tuner) conversion(ctx context.Context, c *Choice, b *tflite.Bundle, to string, best ProbeReport, threads int) (a attempt, works []ProbeReport, err error) {
	a.To = to
	// What agreed once agrees: the same bytes of the same model.
	proof, proved := t.Memory.proof(b, to)
	if !proved || !t.Converter.intact(b, proof) {
		_, err := os.Stat(t.Converter.file(b, to))
		a.fresh = err != nil
		if a.Digest, err = t.make(ctx, b, to); err != nil {
			return a, nil, err
		}
		proved = proved && proof.Digest == a.Digest
	}
	works, last := t.climb(ctx, c, b, way{delegate: tflite.XNNPACK, converted: to}, threads, true)
	switch {
	case ctx.Err() != nil:
		return a, nil, ctx.Err()
	case len(works) == 0 && last.OK:
		return a, nil, errors.New("there are no fast kernels for it here")
	case len(works) == 0:
		return a, nil, failure(last)
	}
	least := slices.MinFunc(works, func(a, b ProbeReport) int { return cmp.Compare(a.Memory, b.Memory) }).Memory
	if most := t.Converter.MaxMemory; most > 0 {
		works = slices.DeleteFunc(works, func(r ProbeReport) bool { return r.Memory > most })
		if len(works) == 0 {
			return a, nil, fmt.Errorf("it needs %d MiB of memory, and at most %d are allowed", least>>20, most>>20)
		}
	}
	fast := fastest(works)
	if fast.InvokeP50*near >= best.InvokeP50 {
		return a, nil, fmt.Errorf("it is not faster: %.2f ms, the original takes %.2f ms", fast.InvokeP50, best.InvokeP50)
	}
	if proved {
		a.Conversion = proof
		return a, works, nil
	}
	digest := a.Digest
	a.Conversion, err = t.Converter.prove(ctx, Side{b, best.Spec, best.Threads}, Side{t.Converter.as(b, to), fast.Spec, fast.Threads})
	if a.Digest = digest; err == nil {
		if err := t.Memory.prove(b, a.Conversion); err != nil {
			t.log().Warn("cannot remember that a conversion agrees with its model", "error", err)
		}
	}
	return a, works, err
}
