package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/tflite"
)

// auto stands in a list of delegates for the fastest that the device has.
const auto = "auto"

// Choice is what a model shall run on.
type Choice struct {
	Delegate string `json:"delegate"` // a specification
	Threads  int    `json:"threads"`
	// Report is the choice's own, of Table.
	Report ProbeReport `json:"report"`
	// Table is everything that was measured on the way.
	Table []ProbeReport `json:"table"`
	// Remembered: it was measured at an earlier start.
	Remembered bool `json:"-"`
	// Conversion runs in the model's place; nil: the model itself runs.
	Conversion *Conversion `json:"conversion,omitempty"`
	// Passed are the delegates that would have been preferred and do not work.
	Passed []ProbeReport `json:"-"`
	// Refused says why no conversion runs, one reason for each.
	Refused []string `json:"refused,omitempty"`
	// needless: there is nothing to convert. passing: a reason may be gone at
	// the next start.
	needless, passing bool
	// repeated: it was measured for another interpreter of the same start.
	repeated bool
}

// way is one way to run a model.
type way struct {
	delegate  string // a specification
	threads   int
	converted string // to which type; empty: the model as it is
	digest    string // of the converted file; empty: any
}

func (c Choice) way() way {
	w := way{delegate: c.Delegate, threads: c.Threads}
	if c.Conversion != nil {
		w.converted, w.digest = c.Conversion.To, c.Conversion.Digest
	}
	return w
}

func (r ProbeReport) way() way {
	return way{delegate: r.Spec, threads: r.Threads, converted: r.Converted}
}

// sameKind tells whether two reports differ in threads at most.
func sameKind(a, b ProbeReport) bool { return a.Spec == b.Spec && a.Converted == b.Converted }

// Tuner chooses delegate and threads by trial. It is for one goroutine.
type Tuner struct {
	Probe func(context.Context, ProbeRequest) ProbeReport
	// Converter has uint8 models tried converted too; nil does not.
	Converter *Converter
	// Memory holds earlier choices; nil forgets.
	Memory *TuningMemory
	// Cores bounds the threads that are tried.
	Cores int
	// Log may be nil.
	Log *slog.Logger
	// Watch sees every report as it comes; may be nil.
	Watch func(ProbeReport)
	// Doubt has a remembered delegate tried again before it is believed: the
	// agent ended without order, and it may be what hung or crashed.
	Doubt bool
	// trials is what the tuners of one start share; may be nil.
	trials *trials
}

// trials keeps what is tried for one start or reload from being tried again
// for the next interpreter: whoever has a delegate that hangs waits for it
// once.
type trials struct {
	choices map[string]Choice      // by Tuner.key
	hung    map[string]ProbeReport // by delegate
	said    map[string]bool        // choices that are or will be in the log, by Tuner.key
}

// seen is the report of a delegate that hung already. The CPU is tried with
// every model: what takes long then is the model.
func (t *trials) seen(spec string) (r ProbeReport, ok bool) {
	if t != nil {
		r, ok = t.hung[spec]
	}
	return r, ok
}

func (t *trials) note(r ProbeReport) {
	if _, known := t.seen(r.Spec); t != nil && r.hung && !known && r.Spec != tflite.CPU && r.Spec != tflite.XNNPACK {
		t.hung[r.Spec] = r
	}
}

func newTrials() *trials {
	return &trials{choices: map[string]Choice{}, hung: map[string]ProbeReport{}, said: map[string]bool{}}
}

// Choose finds what runs the model: the first delegate of the list that works,
// "auto" being the fastest one, and the CPU last. threads 0 are measured too.
// The error says why not even the CPU runs it.
func (t *Tuner) Choose(ctx context.Context, b *tflite.Bundle, list []string, threads int) (Choice, error) {
	key := t.key(b, list, threads)
	if t.trials != nil {
		if c, ok := t.trials.choices[key]; ok {
			c.repeated = t.trials.said[key]
			t.trials.said[key] = true
			return c, nil
		}
	}
	c, err := t.choose(ctx, key, b, list, threads)
	if err == nil && t.trials != nil {
		t.trials.choices[key], t.trials.said[key] = c, true
	}
	return c, err
}

func (t *Tuner) choose(ctx context.Context, key string, b *tflite.Bundle, list []string, threads int) (Choice, error) {
	if c, ok := t.Memory.recall(key); ok && t.believe(ctx, b, c) {
		c.Remembered = true
		return c, nil
	}
	t.log().Info("measuring what runs the model fastest", "model", b.Name)
	if !slices.Contains(list, tflite.CPU) {
		list = append(slices.Clone(list), tflite.CPU)
	}
	var c Choice
	for _, spec := range list {
		specs := []string{spec}
		if spec == auto {
			specs = Candidates()
		}
		best, ok := t.sweep(ctx, &c, b, specs, threads)
		if ctx.Err() != nil {
			return c, ctx.Err()
		}
		if ok {
			c.Delegate, c.Threads, c.Report = best.Spec, best.Threads, best
			if best.Converted == "" && c.Conversion != nil {
				t.drop(&c, b, c.Conversion.To, errors.New("measured again, it is not faster"))
			}
			if err := t.required(ctx, b, &c); err != nil {
				return c, err
			}
			t.remember(key, c)
			return c, nil
		}
	}
	last := c.Passed[len(c.Passed)-1]
	if last.untried { // no way to try: the plainest one is taken on trust
		t.log().Warn("cannot try delegates, taking the CPU with one thread", "reason", last.Reason)
		c.Delegate, c.Threads = tflite.CPU, max(threads, 1)
		return c, nil
	}
	if last.hung {
		last.Reason += " (a model that takes longer needs a larger inference.probe_timeout)"
	}
	return c, fmt.Errorf("model %s does not run here: %s", b.ModelPath, last.Reason)
}

// required is the error of a model that shall run converted and does not.
func (t *Tuner) required(ctx context.Context, b *tflite.Bundle, c *Choice) error {
	plain := c.Delegate == tflite.CPU || c.Delegate == tflite.XNNPACK // an accelerator needs no conversion
	if t.Converter == nil || t.Converter.ReadOnly || !t.Converter.Required || c.Conversion != nil || c.needless || !plain {
		return nil
	}
	why := strings.Join(c.Refused, "; ")
	if why == "" { // nobody tried
		if no, err := t.needless(ctx, b); no || err != nil {
			return err
		}
		why = "inference.delegate has it run on " + c.Delegate + " before auto or xnnpack, on which a converted model runs"
	}
	err := fmt.Errorf("model %s does not run converted, and inference.convert is require: %s", b.ModelPath, why)
	if c.passing {
		return &passing{err}
	}
	return err
}

// request asks for a trial of the bundle's model, run in that way.
func (t *Tuner) request(b *tflite.Bundle, w way) ProbeRequest {
	req := ProbeRequest{Model: b.Path(), Delegate: w.delegate, Threads: w.threads, Budget: tryBudget}
	if w.converted != "" {
		req.Converted, req.File = w.converted, t.Converter.file(b, w.converted)
	}
	return req
}

// bundle is what to load to run the model in that way: other results under its
// name would be worse than none.
func (t *Tuner) bundle(b *tflite.Bundle, w way) (*tflite.Bundle, error) {
	if w.converted == "" {
		return b, nil
	}
	as := t.Converter.as(b, w.converted)
	if digest, err := as.FileDigest(); err != nil {
		return nil, err
	} else if digest != w.digest {
		return nil, fmt.Errorf("%s is not the conversion that was compared with its model", as.ModelPath)
	}
	return as, nil
}

// believe tells whether a remembered choice still works, where that is in doubt.
func (t *Tuner) believe(ctx context.Context, b *tflite.Bundle, c Choice) bool {
	if c.Conversion != nil && !t.Converter.intact(b, *c.Conversion) {
		return false
	}
	if !t.Doubt || c.Delegate == tflite.CPU {
		return true
	}
	r := t.Probe(ctx, t.request(b, c.way()))
	t.trials.note(r)
	return r.OK
}

// remember keeps a choice for the next start, unless something better was
// passed over: it may be back by then.
func (t *Tuner) remember(key string, c Choice) {
	if len(c.Passed) > 0 || c.passing {
		return
	}
	if err := t.Memory.store(key, c); err != nil {
		t.log().Warn("cannot remember the choice of delegate and threads", "error", err)
	}
}

// sweep tries the specs with one thread and more, adds all reports to the
// choice's table, and gives the best that works.
func (t *Tuner) sweep(ctx context.Context, c *Choice, b *tflite.Bundle, specs []string, threads int) (ProbeReport, bool) {
	var works []ProbeReport
	for _, spec := range specs {
		more, last := t.climb(ctx, c, b, way{delegate: spec}, threads, spec != tflite.CPU && slices.Contains(specs, tflite.CPU))
		if ctx.Err() != nil {
			return ProbeReport{}, false
		}
		if len(more) == 0 && !last.OK {
			c.Passed = append(c.Passed, last)
		}
		works = append(works, more...)
	}
	if slices.Contains(specs, tflite.XNNPACK) {
		works = append(works, t.conversions(ctx, c, b, works, threads)...)
	}
	if len(works) > 1 {
		var broke []ProbeReport
		if works, broke = t.rounds(ctx, c, b, works); ctx.Err() != nil {
			return ProbeReport{}, false
		}
		for _, r := range broke {
			if r.Converted == "" {
				c.Passed = append(c.Passed, r)
			} else if !slices.ContainsFunc(works, func(w ProbeReport) bool { return w.Converted != "" }) {
				t.drop(c, b, r.Converted, failure(r))
			}
		}
	}
	if len(works) == 0 {
		return ProbeReport{}, false
	}
	c.Passed = slices.DeleteFunc(c.Passed, func(r ProbeReport) bool {
		// Among candidates, only an accelerator is worth waiting for.
		plain := len(specs) > 1 && (r.Spec == tflite.XNNPACK || r.Spec == tflite.CPU)
		return slices.Contains(specs, r.Spec) && (plain || slices.ContainsFunc(works, func(w ProbeReport) bool { return w.Spec == r.Spec }))
	})
	return fastest(works), true
}

// climb tries a way with one thread and more, until one is slower. last is the
// report that ended it: of what failed or, with beside, of a delegate that takes
// nothing of this model: the CPU is tried anyway.
func (t *Tuner) climb(ctx context.Context, c *Choice, b *tflite.Bundle, w way, threads int, beside bool) (works []ProbeReport, last ProbeReport) {
	fewer := 0.0
	for _, w.threads = range threadCounts(threads, t.Cores) {
		last = t.try(ctx, c, b, w)
		if !last.OK || ctx.Err() != nil || beside && last.Delegate == tflite.CPU {
			break // what fails with so many threads is not tried with more
		}
		works = append(works, last)
		if fewer > 0 && last.InvokeP50 > 1.2*fewer {
			break // and even more threads would be slower yet
		}
		fewer = last.InvokeP50
	}
	return works, last
}

// moreRounds is how often those that may be the fastest are measured again.
const moreRounds = 2

// rounds measures what is not far behind the fastest again, one after the
// other, and gives the reports with the median of what came of all rounds;
// those of which none works twice give way to slower ones. broke are the
// reports of what failed.
// Shared machines and hot ones change their speed from second to second, so
// times count only in relation to the others of their round: a wrong choice of
// threads may cost a factor of fifty.
func (t *Tuner) rounds(ctx context.Context, c *Choice, b *tflite.Bundle, works []ProbeReport) (out, broke []ProbeReport) {
	limit := 2.5 * slices.MinFunc(works, func(a, b ProbeReport) int { return cmp.Compare(a.InvokeP50, b.InvokeP50) }).InvokeP50
	inRange := func(r ProbeReport) bool { return r.InvokeP50 <= limit }
	var runs []timed
	var slower []ProbeReport
	for _, r := range works {
		// One thread is measured wherever more are, however slow it seemed once.
		if inRange(r) || r.Threads == 1 && slices.ContainsFunc(works, func(o ProbeReport) bool { return sameKind(o, r) && inRange(o) }) {
			runs = append(runs, timed{r, []float64{r.InvokeP50}})
		} else {
			slower = append(slower, r)
		}
	}
	for range moreRounds {
		steady := runs[:0:0]
		for _, run := range runs {
			again := t.try(ctx, c, b, run.way())
			if ctx.Err() != nil {
				return nil, nil
			}
			if again.OK {
				steady = append(steady, timed{run.ProbeReport, append(run.times, again.InvokeP50)})
			} else if !slices.ContainsFunc(broke, func(r ProbeReport) bool { return sameKind(r, again) }) {
				broke = append(broke, again) // it worked once: what comes and goes is not for every day
			}
		}
		if runs = steady; len(runs) == 0 {
			return slower, broke
		}
	}
	first := runs[0].times
	for _, run := range runs {
		single := slices.IndexFunc(runs, func(o timed) bool { return sameKind(o.ProbeReport, run.ProbeReport) && o.Threads == 1 })
		if run.Threads > 1 && single >= 0 && wavers(run.times, runs[single].times) {
			continue
		}
		relative := make([]float64, len(first))
		for i, t := range run.times {
			relative[i] = t / first[i]
		}
		slices.Sort(relative)
		run.InvokeP50 = first[0] * relative[len(relative)/2]
		out = append(out, run.ProbeReport)
	}
	return out, broke
}

// timed is a report with the Invoke of each round.
type timed struct {
	ProbeReport
	times []float64
}

// wavers tells whether several threads do not gain on one in the mean of all
// rounds: a single round that is many times slower means that something else
// wants the cores too, which a median would not show.
func wavers(threads, single []float64) bool {
	sum := 0.0
	for i, t := range threads {
		sum += t / single[i]
	}
	return sum/float64(len(threads)) >= 1/near
}

// maxReason bounds what is kept of a reason, in bytes: it may be the last line
// that a driver wrote.
const maxReason = 400

// tryBudget is how long one of the sweep's measurements takes; three Invokes
// are made in any case.
const tryBudget = 400 * time.Millisecond

func (t *Tuner) try(ctx context.Context, c *Choice, b *tflite.Bundle, w way) ProbeReport {
	var r ProbeReport
	if hung, ok := t.trials.seen(w.delegate); ok {
		r = hung
		r.Reason = "hung before: " + hung.Reason
	} else if r = t.Probe(ctx, t.request(b, w)); ctx.Err() != nil {
		return r
	}
	r.Converted = w.converted
	r.Reason = r.Reason[:min(len(r.Reason), maxReason)]
	t.trials.note(r)
	c.Table = append(c.Table, r)
	if t.Watch != nil {
		t.Watch(r)
	}
	return r
}

// near is how much slower a plainer choice may be and still be preferred: one
// thread leaves the other cores to the cameras.
const near = 1.05

// fastest is the report with the shortest Invoke; of those near it, the one
// with the fewest threads, then the plainest delegate, then the original.
func fastest(reports []ProbeReport) ProbeReport {
	limit := slices.MinFunc(reports, func(a, b ProbeReport) int {
		return cmp.Compare(a.InvokeP50, b.InvokeP50)
	}).InvokeP50 * near
	var best *ProbeReport
	for i := range reports {
		r := &reports[i]
		if r.InvokeP50 > limit {
			continue
		}
		if best == nil || r.Threads < best.Threads || r.Threads == best.Threads && plainer(r, best) {
			best = r
		}
	}
	return *best
}

func plainer(a, b *ProbeReport) bool {
	return b.Spec != tflite.CPU && a.Spec == tflite.CPU || b.Converted != "" && a.Converted == ""
}

// threadCounts are the numbers of threads to try: the given one, or 1 to the
// number of cores, above 4 by doubling.
func threadCounts(fixed, cores int) []int {
	if fixed > 0 {
		return []int{fixed}
	}
	counts := []int{1}
	for n := 2; n <= cores && n <= 64; {
		counts = append(counts, n)
		switch {
		case n < 4:
			n++
		case n < cores:
			n = min(2*n, cores)
		default:
			n++
		}
	}
	return counts
}

func (t *Tuner) log() *slog.Logger {
	if t.Log != nil {
		return t.Log
	}
	return slog.New(slog.DiscardHandler)
}

// Summary is the table in one line, for the log.
func (c Choice) Summary() string {
	var b strings.Builder
	for i, r := range c.Table {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(specName(r.Spec))
		if r.Converted != "" {
			b.WriteString("/" + r.Converted)
		}
		fmt.Fprintf(&b, "×%d ", r.Threads)
		if r.OK {
			fmt.Fprintf(&b, "%.2f ms", r.InvokeP50)
		} else {
			b.WriteString("failed")
		}
	}
	return b.String()
}

// specName is a specification as logs and tables show it.
func specName(spec string) string {
	d, err := tflite.ParseDelegate(spec)
	if err != nil {
		return spec
	}
	return d.String()
}
