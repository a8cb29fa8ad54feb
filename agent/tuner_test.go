package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/test/delegates"
	"github.com/egret-edge/egret/tflite"
)

const mobilenet = "../models/mobilenet_v1_1.0_224_quant"

func openBundle(t testing.TB, path string) *tflite.Bundle {
	t.Helper()
	b, err := tflite.OpenBundle(path)
	if err != nil {
		t.Fatalf("%v (make deps brings it)", err)
	}
	return b
}

// device answers probes from a table of milliseconds; what it lacks fails.
type device struct {
	ms     map[string]float64 // by "delegate×threads"
	probed []string
}

func (d *device) probe(_ context.Context, req ProbeRequest) ProbeReport {
	name := fmt.Sprintf("%s×%d", specName(req.Delegate), req.Threads)
	d.probed = append(d.probed, name)
	r := ProbeReport{Spec: req.Delegate, Delegate: specName(req.Delegate), Threads: req.Threads}
	r.InvokeP50, r.OK = d.ms[name]
	if !r.OK {
		r.Reason = "no luck with " + name
	}
	return r
}

func TestChoose(t *testing.T) {
	b := openBundle(t, mobilenet)
	for _, tt := range []struct {
		name    string
		ms      map[string]float64
		list    []string
		threads int
		cores   int
		want    string
		passed  int
		probed  string
	}{
		{name: "int8: the fast kernels and both cores", cores: 2, list: []string{auto},
			ms:   map[string]float64{"xnnpack×1": 7.5, "xnnpack×2": 4.2, "cpu×1": 40, "cpu×2": 38},
			want: "xnnpack×2", probed: "xnnpack×1 xnnpack×2 cpu×1 cpu×2 xnnpack×1 xnnpack×2 xnnpack×1 xnnpack×2"},
		{name: "threads that do not help are not used", cores: 2, list: []string{auto},
			ms:   map[string]float64{"xnnpack×1": 60, "xnnpack×2": 60, "cpu×1": 36, "cpu×2": 35.5},
			want: "cpu×1", probed: "xnnpack×1 xnnpack×2 cpu×1 cpu×2 xnnpack×1 xnnpack×2 cpu×1 cpu×2 xnnpack×1 xnnpack×2 cpu×1 cpu×2"},
		{name: "more threads are not tried once they are slower", cores: 16, list: []string{"cpu"},
			ms:   map[string]float64{"cpu×1": 90, "cpu×2": 22, "cpu×3": 56},
			want: "cpu×2", probed: "cpu×1 cpu×2 cpu×3 cpu×1 cpu×2 cpu×1 cpu×2"},
		{name: "fixed threads", cores: 4, threads: 3, list: []string{auto},
			ms: map[string]float64{"xnnpack×3": 5, "cpu×3": 20}, want: "xnnpack×3", probed: "xnnpack×3 cpu×3 xnnpack×3 xnnpack×3"},
		{name: "the order of the list counts, not the speed", cores: 1, list: []string{"edgetpu", "xnnpack"},
			ms: map[string]float64{"edgetpu×1": 9, "xnnpack×1": 5, "cpu×1": 40}, want: "edgetpu×1", probed: "edgetpu×1"},
		{name: "the CPU is always last", cores: 2, list: []string{"edgetpu", "external:/x.so"},
			ms:   map[string]float64{"cpu×1": 60, "cpu×2": 21}, // one thread is measured again, however slow it seemed
			want: "cpu×2", passed: 2, probed: "edgetpu×1 external:x.so×1 cpu×1 cpu×2 cpu×1 cpu×2 cpu×1 cpu×2"},
		{name: "no fast kernels in this library", cores: 1, list: []string{auto},
			ms: map[string]float64{"cpu×1": 40}, want: "cpu×1", probed: "xnnpack×1 cpu×1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &device{ms: tt.ms}
			c, err := (&Tuner{Probe: d.probe, Cores: tt.cores}).Choose(t.Context(), b, tt.list, tt.threads)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%s×%d", c.Delegate, c.Threads); got != tt.want || len(c.Passed) != tt.passed {
				t.Errorf("chose %s and passed over %v, want %s and %d", got, c.Passed, tt.want, tt.passed)
			}
			if got := strings.Join(d.probed, " "); got != tt.probed {
				t.Errorf("probed %s\nwant   %s", got, tt.probed)
			}
			if len(c.Table) != len(d.probed) {
				t.Errorf("the table has %d rows of %d", len(c.Table), len(d.probed))
			}
		})
	}
}

// TestChooseOnARestlessMachine: the machine becomes half as fast while it
// is measured; what counts is who is faster at the same time.
func TestChooseOnARestlessMachine(t *testing.T) {
	for start := range 10 {
		d := &device{ms: map[string]float64{"xnnpack×1": 7.5, "xnnpack×2": 4.2, "cpu×1": 9, "cpu×2": 8}}
		tuner := Tuner{Cores: 2, Probe: func(ctx context.Context, req ProbeRequest) ProbeReport {
			r := d.probe(ctx, req)
			if n := len(d.probed); n > start && n <= start+2 { // for as long as two trials take
				r.InvokeP50 *= 2
			}
			return r
		}}
		c, err := tuner.Choose(t.Context(), openBundle(t, mobilenet), []string{auto}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s×%d", c.Delegate, c.Threads); got != "xnnpack×2" {
			t.Errorf("slow from trial %d on: chose %s of %s", start+1, got, c.Summary())
		}
	}
}

// What failed once, whichever it is, is not chosen however fast it was.
func TestChooseLeavesWhatFailsLater(t *testing.T) {
	for fails, want := range map[string]string{
		"xnnpack×1": "xnnpack×2", "xnnpack×2": "xnnpack×1", "cpu×1": "xnnpack×2",
	} {
		d := &device{ms: map[string]float64{"xnnpack×1": 7.5, "xnnpack×2": 4.2, "cpu×1": 9, "cpu×2": 8}}
		tuner := Tuner{Cores: 2, Probe: func(ctx context.Context, req ProbeRequest) ProbeReport {
			r := d.probe(ctx, req)
			if len(d.probed) > 4 && d.probed[len(d.probed)-1] == fails {
				return ProbeReport{Spec: r.Spec, Threads: r.Threads, Reason: "crashed"}
			}
			return r
		}}
		c, err := tuner.Choose(t.Context(), openBundle(t, mobilenet), []string{auto}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s×%d", c.Delegate, c.Threads); got != want {
			t.Errorf("%s fails later: chose %s, want %s", fails, got, want)
		}
	}
}

// Whoever fails with every repetition gives way to slower ones.
func TestChooseFallsToTheSlower(t *testing.T) {
	d := &device{ms: map[string]float64{"edgetpu×1": 2, "cpu×1": 50}}
	tuner := Tuner{Cores: 1, Probe: func(ctx context.Context, req ProbeRequest) ProbeReport {
		r := d.probe(ctx, req)
		if len(d.probed) > 2 {
			return ProbeReport{Spec: r.Spec, Threads: r.Threads, Reason: "crashed"}
		}
		return r
	}}
	b := openBundle(t, mobilenet)
	var c Choice
	best, ok := tuner.sweep(t.Context(), &c, b, []string{"edgetpu", "cpu"}, 0)
	if !ok || best.Spec != "cpu" || len(c.Passed) != 1 || c.Passed[0].Spec != "edgetpu" {
		t.Errorf("chose %+v and passed over %+v, want the CPU and the accelerator, once", best, c.Passed)
	}
}

// A delegate that works with one thread and not with more works.
func TestChooseTakesWhatWorksWithOneThread(t *testing.T) {
	for _, list := range [][]string{{auto}, {"edgetpu"}} {
		d := &device{ms: map[string]float64{"xnnpack×1": 8, "edgetpu×1": 8, "cpu×1": 20, "cpu×2": 15}}
		c, err := (&Tuner{Probe: d.probe, Cores: 4}).Choose(t.Context(), openBundle(t, mobilenet), list, 0)
		if err != nil {
			t.Fatal(err)
		}
		if c.Threads != 1 || c.Delegate == "cpu" || len(c.Passed) != 0 {
			t.Errorf("%v: chose %s×%d and passed over %+v, want one thread, and nothing", list, c.Delegate, c.Threads, c.Passed)
		}
	}
}

// Within one start a delegate that hangs is waited for once, and the same
// question is asked once.
func TestTrialsAreShared(t *testing.T) {
	d := &device{ms: map[string]float64{"cpu×1": 20}}
	probe := func(ctx context.Context, req ProbeRequest) ProbeReport {
		r := d.probe(ctx, req)
		r.died, r.hung = !r.OK, !r.OK
		return r
	}
	tried := newTrials()
	for i, path := range []string{mobilenet, mobilenet, "../models/ssd_mobilenet_v1_quant"} {
		tuner := Tuner{Probe: probe, Cores: 1, trials: tried}
		c, err := tuner.Choose(t.Context(), openBundle(t, path), []string{"edgetpu", "cpu"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if c.Delegate != "cpu" || len(c.Passed) != 1 || c.repeated != (i == 1) {
			t.Errorf("choice %d: %+v", i, c)
		}
	}
	if got := strings.Join(d.probed, " "); got != "edgetpu×1 cpu×1 cpu×1" {
		t.Errorf("probed %s", got)
	}
}

// TestChooseWithABusyCore: two threads are fine most of the time and terrible
// when something else runs.
func TestChooseWithABusyCore(t *testing.T) {
	d := &device{ms: map[string]float64{"cpu×1": 7.5, "cpu×2": 4.2}}
	tuner := Tuner{Cores: 2, Probe: func(ctx context.Context, req ProbeRequest) ProbeReport {
		r := d.probe(ctx, req)
		if len(d.probed) == 4 && req.Threads == 2 {
			r.InvokeP50 *= 10
		}
		return r
	}}
	if c, err := tuner.Choose(t.Context(), openBundle(t, mobilenet), []string{"cpu"}, 0); err != nil || c.Threads != 1 {
		t.Errorf("chose %d threads, %v, want 1 (%s)", c.Threads, err, c.Summary())
	}
}

func TestChooseFailsWhenNothingRuns(t *testing.T) {
	_, err := (&Tuner{Probe: (&device{}).probe, Cores: 2}).Choose(t.Context(), openBundle(t, mobilenet), []string{auto}, 0)
	if err == nil || !strings.Contains(err.Error(), "no luck with cpu×1") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line with the CPU's reason", err)
	}
}

func TestChooseEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := &device{ms: map[string]float64{"cpu×1": 1}}
	tuner := Tuner{Cores: 1, Probe: func(c context.Context, r ProbeRequest) ProbeReport { cancel(); return d.probe(c, r) }}
	if _, err := tuner.Choose(ctx, openBundle(t, mobilenet), []string{auto}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

func TestChoiceIsRemembered(t *testing.T) {
	b := openBundle(t, mobilenet)
	memory := &TuningMemory{Path: filepath.Join(t.TempDir(), TuningFile)}
	d := &device{ms: map[string]float64{"xnnpack×1": 5, "cpu×1": 40, "cpu×2": 40, "xnnpack×2": 3}}
	choose := func(list []string, threads, cores int) (Choice, int) {
		t.Helper()
		before := len(d.probed)
		c, err := (&Tuner{Probe: d.probe, Cores: cores, Memory: memory}).Choose(t.Context(), b, list, threads)
		if err != nil {
			t.Fatal(err)
		}
		return c, len(d.probed) - before
	}
	first, _ := choose([]string{auto}, 0, 2)
	again, probes := choose([]string{auto}, 0, 2)
	if probes != 0 || !again.Remembered || again.Delegate != first.Delegate || again.Threads != first.Threads || len(again.Table) != len(first.Table) {
		t.Errorf("again %+v after %d probes, want what was chosen first", again, probes)
	}
	for _, other := range []struct {
		name           string
		list           []string
		threads, cores int
	}{{"another number of cores", []string{auto}, 0, 1}, {"other delegates", []string{"xnnpack"}, 0, 2}, {"fixed threads", []string{auto}, 1, 2}} {
		if _, probes := choose(other.list, other.threads, other.cores); probes == 0 {
			t.Errorf("%s: not measured anew", other.name)
		}
	}
	t.Run("not when something better was passed over", func(t *testing.T) {
		if _, probes := choose([]string{"edgetpu", "cpu"}, 0, 1); probes == 0 {
			t.Fatal("not measured")
		}
		if _, probes := choose([]string{"edgetpu", "cpu"}, 0, 1); probes == 0 {
			t.Error("the edgetpu was given up for good")
		}
	})
	t.Run("forgotten on command", func(t *testing.T) {
		if err := memory.Forget(); err != nil {
			t.Fatal(err)
		}
		if _, probes := choose([]string{auto}, 0, 2); probes == 0 {
			t.Error("still remembered")
		}
	})
	t.Run("a damaged file is no memory", func(t *testing.T) {
		for _, text := range []string{"", "{", "[]", `{"choices":{"k":{"choice":{"delegate":"warp","threads":-1}}}}`, strings.Repeat("x", maxTuningBytes+1)} {
			if err := os.WriteFile(memory.Path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, probes := choose([]string{auto}, 0, 2); probes == 0 {
				t.Errorf("remembered from %.20q", text)
			}
		}
	})
	t.Run("the file stays small", func(t *testing.T) {
		for i := range maxTuningChoices + 5 {
			if err := memory.store(fmt.Sprint(i), first); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(memory.read().Choices); n != maxTuningChoices {
			t.Errorf("%d choices kept, want %d", n, maxTuningChoices)
		}
		if _, ok := memory.recall(fmt.Sprint(maxTuningChoices + 4)); !ok {
			t.Error("the newest was dropped")
		}
	})
}

func FuzzTuningFile(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"choices":{"k":{"choice":{"delegate":"cpu","threads":2},"used":"2026-01-01T00:00:00Z"}}}`, `{"choices":{"k":{"choice":{"threads":1e9}}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := &TuningMemory{Path: filepath.Join(t.TempDir(), "t.json")}
		if err := os.WriteFile(m.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, ok := m.recall("k"); ok && (c.Threads < 1 || c.Threads > 64) {
			t.Fatalf("recalled %+v", c)
		}
		if err := m.store("new", Choice{Delegate: "cpu", Threads: 1}); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.recall("new"); !ok {
			t.Fatal("what was stored is not there")
		}
	})
}

func TestThreadCounts(t *testing.T) {
	for cores, want := range map[int][]int{1: {1}, 2: {1, 2}, 3: {1, 2, 3}, 4: {1, 2, 3, 4}, 6: {1, 2, 3, 4, 6}, 8: {1, 2, 3, 4, 8}, 12: {1, 2, 3, 4, 8, 12}, 128: {1, 2, 3, 4, 8, 16, 32, 64}} {
		if got := threadCounts(0, cores); !slices.Equal(got, want) {
			t.Errorf("%d cores: %v, want %v", cores, got, want)
		}
	}
}

func TestEdgeTPUIsFound(t *testing.T) {
	dev, usb := t.TempDir(), t.TempDir()
	if edgeTPU(dev, usb) {
		t.Error("found one in empty folders")
	}
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(usb, "1-1", "idVendor"), "1a6e\n")
	put(filepath.Join(usb, "1-1", "idProduct"), "0001\n")
	if edgeTPU(dev, usb) {
		t.Error("took another device for one")
	}
	put(filepath.Join(usb, "1-1", "idProduct"), "089a\n")
	if !edgeTPU(dev, usb) {
		t.Error("missed the USB one")
	}
	put(filepath.Join(dev, "apex_0"), "")
	if !edgeTPU(dev, t.TempDir()) {
		t.Error("missed the PCIe one")
	}
}

// probeHere waits long for what answers, however busy the machine is, and not
// for what never will.
func probeHere(ctx context.Context, req ProbeRequest) ProbeReport {
	p := Prober{Timeout: time.Minute}
	if strings.Contains(req.Delegate, "mode=hang") || strings.Contains(req.Delegate, "mode=stuck") {
		p.Timeout = 3 * time.Second
	}
	return p.Probe(ctx, req)
}

// TestProbe is the contract of the real trial process; TestMain serves it.
func TestProbe(t *testing.T) {
	lib := delegates.Build(t)
	for _, tt := range []struct{ name, model, spec, want string }{
		{"works", mobilenet, delegates.Spec(lib, "take", ""), ""},
		{"refuses", mobilenet, delegates.Spec(lib, "refuse", ""), "no device found"},
		{"fails to prepare", mobilenet, delegates.Spec(lib, "prepare", ""), "no such graph"},
		{"crashes", mobilenet, delegates.Spec(lib, "crash", ""), "crashed (segmentation violation)"},
		{"hangs", mobilenet, delegates.Spec(lib, "hang", ""), "no answer within 3s: killed"},
		{"gets stuck in an Invoke", mobilenet, delegates.Spec(lib, "stuck", ""), "no answer within 3s: killed"},
		{"no model", "/no/such/model", "cpu", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := probeHere(t.Context(), ProbeRequest{Model: tt.model, Delegate: tt.spec, Threads: 1, Runs: 3})
			if tt.want != "" {
				if r.OK || r.untried || !strings.Contains(r.Reason, tt.want) || strings.Contains(r.Reason, "\n") {
					t.Errorf("report %+v, want one line with %q", r, tt.want)
				}
				return
			}
			if !r.OK || r.Delegate != "external:libtest_delegate.so" || r.Delegated != 1 || r.Golden != 1 || r.Runs != 3 || !(r.InvokeP50 > 0) || r.InvokeP95 < r.InvokeP50 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// TestOpenerRunsOnTheCPU: what crashes, hangs and refuses is tried in order,
// named once each, and the model runs on the CPU; when the device is back, so
// is the model.
func TestOpenerRunsOnTheCPU(t *testing.T) {
	lib := delegates.Build(t)
	lost := filepath.Join(t.TempDir(), "lost")
	if err := os.WriteFile(lost, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b := openBundle(t, mobilenet)
	o := &opener{bundle: b, open: openModel, tuner: &Tuner{Probe: probeHere, Cores: 1}}
	o.inf.Delegate = configs.DelegateList(delegates.Spec(lib, "crash", ""), delegates.Spec(lib, "hang", ""), delegates.Spec(lib, "take", lost))
	if err := o.choose(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := o.first()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Info().Delegate != "cpu" || len(o.choice.Passed) != 3 || o.recovery() == nil || !o.missing() {
		t.Errorf("runs on %s after %d failures", m.Info().Delegate, len(o.choice.Passed))
	}
	if _, err := o.revive(t.Context()); err == nil || !strings.Contains(err.Error(), "crashed") || !strings.Contains(err.Error(), "no device found") {
		t.Errorf("revived without a device: %v", err)
	}
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	back, err := o.revive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if back.Info().Delegate != "external:libtest_delegate.so" || !o.missing() {
		t.Errorf("came back on %s; what crashes and hangs is still missing: %v", back.Info().Delegate, o.missing())
	}
}

// fakeOpener opens fakes; what a delegate does is decided by the device.
func fakeOpener(t *testing.T, d *device, h *holders, list ...string) *opener {
	o := &opener{
		bundle: smallBundle(t, smallOptions), holders: h, tuner: &Tuner{Probe: d.probe, Cores: 1},
		open: func(_ *tflite.Bundle, opts tflite.Options) (predictor, error) {
			return &fakeModel{delegate: opts.Delegate}, nil
		},
	}
	o.inf.Delegate = configs.DelegateList(list...)
	return o
}

// TestReviveAsksForWhatIsLost: nothing else is measured, and nothing else is
// taken for its return.
func TestReviveAsksForWhatIsLost(t *testing.T) {
	d := &device{ms: map[string]float64{"edgetpu×1": 2, "cpu×1": 20}}
	o := fakeOpener(t, d, nil, "edgetpu", auto)
	if err := o.choose(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.missing() {
		t.Error("something is missing beside the first choice")
	}
	if _, err := o.spare(); err != nil || !o.missing() {
		t.Errorf("spare: %v, missing %v", err, o.missing())
	}
	delete(d.ms, "edgetpu×1")
	d.probed = nil
	if m, err := o.revive(t.Context()); err == nil {
		t.Errorf("revived on %s without a device", m.Info().Delegate)
	}
	d.ms["edgetpu×1"] = 2
	if m, err := o.revive(t.Context()); err != nil || m.Info().Delegate != "edgetpu" || o.missing() {
		t.Errorf("not revived: %v", err)
	}
	if got := strings.Join(d.probed, " "); got != "edgetpu×1 edgetpu×1" {
		t.Errorf("probed %s", got)
	}
}

// TestDeviceOfOneProcess: while a model has the device no trial process gets
// it, and the next model is opened beside the first without one.
func TestDeviceOfOneProcess(t *testing.T) {
	h := &holders{}
	d := &device{ms: map[string]float64{"edgetpu×1": 2, "cpu×1": 20}}
	first := fakeOpener(t, d, h, "edgetpu")
	if err := first.choose(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := first.first()
	if err != nil {
		t.Fatal(err)
	}
	delete(d.ms, "edgetpu×1")
	second := fakeOpener(t, d, h, "edgetpu")
	if err := second.choose(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, err := second.first()
	if err != nil || n.Info().Delegate != "edgetpu" || second.missing() || len(second.choice.Passed) != 0 {
		t.Errorf("the second runs on %v, %v", second.choice, err)
	}
	for _, m := range []predictor{m, n} {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	third := fakeOpener(t, d, h, "edgetpu")
	if err := third.choose(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m, err := third.first(); err != nil || m.Info().Delegate != "cpu" || !third.missing() {
		t.Errorf("without a holder: %v, %v", third.choice, err)
	}
}

// TestOpenerWantsTheSameModel: a file that was replaced under the agent is not
// opened under the old one's name.
// TestBatchesOfWhatRuns: they are tried on what the model runs on, and not taken
// when one Invoke would last so long that nothing else gets a turn.
func TestBatchesOfWhatRuns(t *testing.T) {
	d := &device{ms: map[string]float64{"edgetpu×1": 2, "cpu×1": 20}}
	o := fakeOpener(t, d, nil, "edgetpu", "cpu")
	open := o.open
	o.open = func(b *tflite.Bundle, opts tflite.Options) (predictor, error) {
		if opts.Delegate == "edgetpu" { // it works in a process of its own
			return nil, fmt.Errorf("%w: busy", tflite.ErrDelegate)
		}
		return open(b, opts)
	}
	if err := o.choose(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := o.first()
	if err != nil || m.Info().Delegate != "cpu" || o.choice.Delegate != "cpu" || o.choice.Threads != 1 {
		t.Fatalf("chose %s×%d, error %v", o.choice.Delegate, o.choice.Threads, err)
	}
	d.probed, d.ms["cpu×1"] = nil, 9000
	if _, err := o.batches(t.Context(), 4, m); err == nil || !strings.Contains(err.Error(), "a batch of 4 takes 9s") {
		t.Errorf("batches that take 9 s: %v", err)
	}
	if got := strings.Join(d.probed, " "); got != "cpu×1" {
		t.Errorf("probed %s", got)
	}
}

func TestOpenerWantsTheSameModel(t *testing.T) {
	o := fakeOpener(t, &device{ms: map[string]float64{"cpu×1": 1}}, nil, "cpu")
	if err := o.choose(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(o.bundle.ModelPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.bundle.ModelPath, append(data, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := o.spare(); err == nil || !strings.Contains(err.Error(), "is another one now") {
		t.Errorf("opened: %v", err)
	}
}

// TestDoubtedChoiceIsTriedAgain: after a bad end a remembered delegate is tried
// in a process of its own before it is loaded in this one.
func TestDoubtedChoiceIsTriedAgain(t *testing.T) {
	b := openBundle(t, mobilenet)
	memory := &TuningMemory{Path: filepath.Join(t.TempDir(), TuningFile)}
	list := []string{"external:/lib.so"}
	works := &device{}
	spec := specName(list[0])
	works.ms = map[string]float64{spec + "×1": 5, "cpu×1": 40}
	choose := func(d *device) Choice {
		t.Helper()
		c, err := (&Tuner{Probe: d.probe, Cores: 1, Memory: memory, Doubt: true}).Choose(t.Context(), b, list, 1)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := choose(works); c.Delegate != list[0] {
		t.Fatalf("chose %+v", c)
	}
	works.probed = nil
	if c := choose(works); !c.Remembered || len(works.probed) != 1 {
		t.Errorf("remembered %v after the trials %v, want one trial", c.Remembered, works.probed)
	}
	if c := choose(&device{ms: map[string]float64{"cpu×1": 40}}); c.Delegate != tflite.CPU || len(c.Passed) != 1 {
		t.Errorf("chose %+v, want the CPU, with the delegate passed over", c)
	}
}
