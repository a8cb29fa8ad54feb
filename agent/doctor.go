package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/egret-edge/egret/agent/checkup"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/tflite"
)

// Check is the doctor's verdict on one thing.
type Check struct {
	Name   string        `json:"name"`
	OK     bool          `json:"ok"`     // it does not fail; a warning is no failure
	Level  checkup.Level `json:"level"`  // ok, warn or fail
	Detail string        `json:"detail"` // what was found, or why it fails and what to try
}

// DoctorOptions are what Doctor needs besides the configuration.
type DoctorOptions struct {
	// ConfigPath is the configuration's file: whether the service uses it too.
	ConfigPath string
	// Device is the machine; its zero value is this one.
	Device checkup.Device
	Log    *slog.Logger
}

// Doctor looks at everything that the configuration names: models with a golden
// inference each, cameras, broker, repository; and at what is around the agent:
// accelerators, disk, memory, power, clock and service. It changes nothing,
// takes a few seconds at most for each, and may be used while the agent runs:
// it then asks the agent for what only one program can have. report gets each
// verdict as it is reached; the result is false if any failed.
func Doctor(ctx context.Context, cfg configs.Config, o DoctorOptions, report func(Check)) bool {
	d := &doctor{cfg: cfg, Device: o.Device, log: o.Log, report: report, ok: true}
	if unit := d.Unit(ctx); unit.Runs(o.ConfigPath) {
		d.unit = unit
	}
	d.box, d.boxErr = outbox.Inspect(filepath.Join(cfg.StateDir, OutboxFile))
	if errors.Is(d.boxErr, outbox.ErrLocked) {
		d.agent, d.agentErr = askAgent(ctx, cfg)
	}
	d.say("configuration", d.checkFiles(o.ConfigPath))
	for _, m := range cfg.Models {
		detail, err := d.checkModel(ctx, m)
		d.say("model "+m.Name, checkup.Of(detail, err))
	}
	for _, c := range cfg.Cameras {
		d.say("camera "+c.Name, d.checkCamera(ctx, c))
	}
	d.say("broker", d.checkBroker(ctx))
	d.say("updates", checkup.Of(checkUpdates(ctx, cfg)))
	d.say("API", d.checkAPI(ctx))
	d.checkAround()
	return d.ok
}

// doctor is one round of the doctor's.
type doctor struct {
	checkup.Device
	cfg    configs.Config
	log    *slog.Logger
	unit   *checkup.Unit // the service with this configuration; nil: there is none
	report func(Check)
	ok     bool

	box      outbox.Stats
	boxErr   error
	agent    *agentState // the agent that runs on this state folder; nil: none, or it does not answer
	agentErr error       // why it does not answer

	memory uint64 // that the models' trials had resident
}

func (d *doctor) say(name string, v checkup.Verdict) {
	if v.Level == checkup.Fail {
		d.ok = false
	}
	// One line for each, whatever an error of another program brings along.
	detail := strings.Join(strings.FieldsFunc(v.Detail, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	d.report(Check{Name: name, OK: v.Level != checkup.Fail, Level: v.Level, Detail: detail})
}

// checkAround looks at the device itself. What a device does not have gets no
// verdict.
func (d *doctor) checkAround() {
	if v, asked := d.Accelerator(delegateNames(d.cfg.Inference.Delegate.List()), d.unit); asked {
		d.say("accelerator", v)
	}
	d.say("disk", d.checkDisk())
	d.say("memory", d.Memory(d.memory, d.unit))
	if v, asked := d.System(); asked {
		d.say("system", v)
	}
	if v, asked := d.Power(d.cfg.Governor.SlowAt); asked {
		d.say("power", v)
	}
	d.say("clock", d.Clock(time.Now(), d.unit))
	if d.unit != nil {
		d.say("service", d.unit.Verdict())
	}
}

// delegateNames are the plain names of delegates' specifications.
func delegateNames(specs []string) (names []string) {
	for _, spec := range specs {
		name, _, _ := strings.Cut(spec, "?")
		names = append(names, name)
	}
	return names
}

// checkModel chooses what runs the model as the agent would, tries it in a
// process of its own with the golden samples, and then loads it here with the
// configured labels.
func (d *doctor) checkModel(ctx context.Context, m configs.Model) (string, error) {
	cfg, log := d.cfg, d.log
	var err error
	if m.Path, err = servingPath(cfg, m); err != nil {
		return "", err
	}
	b, err := OpenModel(m)
	if err != nil {
		return "", err
	}
	if why := d.Unread(b.ModelPath, d.unit); why != "" {
		return "", errors.New(why)
	}
	t := NewTuner(cfg.Inference, cfg.StateDir, log)
	t.Memory.ReadOnly = true
	if t.Converter != nil {
		t.Converter.ReadOnly = true
	}
	c, err := t.Choose(ctx, b, cfg.Inference.Delegate.List(), int(cfg.Inference.Threads))
	if err != nil {
		return "", err
	}
	req := t.request(b, c.way())
	req.Budget = 0 // a longer look
	r := t.Probe(ctx, req)
	d.memory += r.Memory * uint64(copies(cfg, m.Name))
	if !r.OK {
		return "", fmt.Errorf("%s with %d threads: %s", specName(c.Delegate), c.Threads, r.Reason)
	}
	opts := LoadOptions(m, log)
	opts.Delegate, opts.Threads = c.Delegate, c.Threads
	if b, err = t.bundle(b, c.way()); err != nil {
		return "", err
	}
	model, err := tflite.Load(b, opts)
	if err != nil {
		return "", err
	}
	defer model.Close()
	info := model.Info()
	detail := fmt.Sprintf("%s version %d, %s on %s with %d threads, Invoke %.1f ms, %d golden samples right",
		info.Name, info.Version, info.Task, info.Delegate, info.Threads, r.InvokeP50, r.Golden)
	if info.Converted != "" {
		detail += ", converted to " + info.Converted
	}
	for _, p := range c.Passed {
		detail += fmt.Sprintf("; passed over: %s (%s)", specName(p.Spec), p.Reason)
	}
	return detail, nil
}

// copies is how many interpreters a model has: one that its cameras share, and
// those of cameras that want their own.
func copies(cfg configs.Config, model string) int {
	n := 1
	for _, c := range cfg.Cameras {
		of := c.Model
		if of == "" {
			of = cfg.Models[0].Name
		}
		if c.Interpreter == "own" && of == model {
			n++
		}
	}
	return n
}

// doorsOf says where the agent answers.
func doorsOf(cfg configs.API) string {
	var all []string
	if cfg.Enabled {
		all = append(all, "HTTP on "+cfg.Listen)
	}
	if cfg.GRPC.Enabled {
		all = append(all, "gRPC on "+cfg.GRPC.Listen)
	}
	if len(all) == 0 {
		return "off"
	}
	return strings.Join(all, ", ")
}

// servingPath is the folder of what serves for a model by the agent's record,
// which need not be the highest version.
func servingPath(cfg configs.Config, m configs.Model) (string, error) {
	name, err := tflite.BundleName(m.Path)
	if err != nil {
		return "", err
	}
	cfg.Models = []configs.Model{m} // what is wrong with another one is said there
	s, err := OpenShelf(cfg)
	if err != nil {
		return "", err
	}
	if list := m.Versions.List(); list != nil {
		return versions{store: s.store}.path(name, m.Path, list[len(list)-1])
	}
	v := s.serving(s.all[0])
	if err := damaged(&v); err != nil {
		return "", fmt.Errorf("%w: egret model rollback %s goes back to the version before, as the agent's next start does", err, name)
	}
	return v.Dir, nil
}

// updatesPatience bounds the doctor's look at the repository.
const updatesPatience = 20 * time.Second

// checkUpdates reads the repository as the agent would, but with nothing
// remembered: the agent may be using what is.
func checkUpdates(ctx context.Context, cfg configs.Config) (string, error) {
	if cfg.Updates.Repository == "" {
		return "no repository (updates.repository): new models come from the models' folders", nil
	}
	dir, err := os.MkdirTemp("", "egret-doctor-")
	if err != nil {
		return "", fmt.Errorf("updates: %w", err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, updatesPatience)
	defer cancel()
	c, err := openRepository(cfg, ota.Options{StateDir: dir, HTTP: ota.HTTP{Retries: -1}})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.Refresh(ctx); err != nil {
		return "", fmt.Errorf("%w: are updates.repository and updates.root those of the same repository?", err)
	}
	all, err := c.Releases()
	if err != nil {
		return "", err
	}
	detail := fmt.Sprintf("%s has %d releases", cfg.Updates.Repository, len(all))
	if role, at, ok := c.Expires(); ok {
		detail += fmt.Sprintf(", its %s is valid until %s", role, at.UTC().Format(time.RFC3339))
	}
	return detail, nil
}

func (d *doctor) checkDisk() checkup.Verdict {
	dir := d.cfg.StateDir
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return checkup.Of("", fmt.Errorf("state folder: %w: set state_dir to a folder that this user may write", err))
	}
	absent := errors.Is(statErr, os.ErrNotExist)
	if absent {
		// Made by root it would be root's; the unit makes it for its user.
		defer os.Remove(dir)
	}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return checkup.Of("", fmt.Errorf("state folder: %w: run as the agent's user, or set state_dir", err))
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	// A file of root's, of an egret that was run by hand, stops the service too.
	for _, path := range []string{dir, filepath.Join(dir, OutboxFile)} {
		if why := d.Denied(path, d.unit); why != "" && !absent {
			return checkup.Verdict{Level: checkup.Fail, Detail: why}
		}
	}
	v := d.Storage(checkup.Storage{
		Dir: dir, Free: (&sensors.Host{}).Read(dir).DiskFree,
		Outbox: int64(d.cfg.Outbox.MaxBytes), Taken: fileSize(filepath.Join(dir, OutboxFile)), Budgeted: d.cfg.Outbox.FlashBudget > 0,
	})
	switch {
	case d.boxErr == nil:
		v.Detail += fmt.Sprintf("; outbox holds %d predictions", d.box.Stored)
	case errors.Is(d.boxErr, outbox.ErrLocked):
		v.Detail += "; outbox in use by " + d.holder()
	case !errors.Is(d.boxErr, os.ErrNotExist):
		return checkup.Of("", d.boxErr)
	}
	return v
}

// holder is who has the outbox.
func (d *doctor) holder() string {
	all := d.Holders(filepath.Join(d.cfg.StateDir, OutboxFile))
	switch {
	case len(all) == 0: // not ours to see
		return "a running agent"
	case d.unit != nil && d.unit.PID == all[0].PID:
		return fmt.Sprintf("the running service (pid %d)", all[0].PID)
	case d.unit != nil:
		return fmt.Sprintf("%s, which is not the service: one agent per state_dir", all[0])
	}
	return "the running agent, " + all[0].String()
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
