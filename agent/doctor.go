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

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/tflite"
)

// Check is the doctor's verdict on one thing.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was found, or why it fails and what to try
}

// Doctor looks at everything that the configuration names: configuration,
// models with a golden inference each, cameras, broker, disk and clock. It
// changes nothing and takes a few seconds at most for each. report gets each
// verdict as it is reached; the result is false if any failed.
func Doctor(ctx context.Context, cfg configs.Config, log *slog.Logger, report func(Check)) bool {
	all := true
	say := func(name, detail string, err error) {
		c := Check{Name: name, OK: err == nil, Detail: detail}
		if err != nil {
			c.Detail = err.Error()
			all = false
		}
		report(c)
	}
	for _, m := range cfg.Models {
		detail, err := checkModel(ctx, m, cfg, log)
		say("model "+m.Name, detail, err)
	}
	for _, c := range cfg.Cameras {
		detail, err := checkCamera(ctx, c)
		say("camera "+c.Name, detail, err)
	}
	detail, err := checkBroker(ctx, cfg)
	say("broker", detail, err)
	detail, err = checkUpdates(ctx, cfg)
	say("updates", detail, err)
	say("API", doorsOf(cfg.API), CheckAPI(cfg.API))
	detail, err = checkDisk(cfg.StateDir)
	say("disk", detail, err)
	detail, err = checkClock()
	say("clock", detail, err)
	return all
}

// checkModel chooses what runs the model as the agent would, tries it in a
// process of its own with the golden samples, and then loads it here with the
// configured labels.
func checkModel(ctx context.Context, m configs.Model, cfg configs.Config, log *slog.Logger) (string, error) {
	var err error
	if m.Path, err = servingPath(cfg, m); err != nil {
		return "", err
	}
	b, err := OpenModel(m)
	if err != nil {
		return "", err
	}
	t := NewTuner(cfg.Inference, cfg.StateDir, log)
	t.Memory.ReadOnly = true
	c, err := t.Choose(ctx, b, cfg.Inference.Delegate.List(), int(cfg.Inference.Threads))
	if err != nil {
		return "", err
	}
	r := t.Probe(ctx, ProbeRequest{Model: b.Path(), Delegate: c.Delegate, Threads: c.Threads})
	if !r.OK {
		return "", fmt.Errorf("%s with %d threads: %s", specName(c.Delegate), c.Threads, r.Reason)
	}
	opts := LoadOptions(m, log)
	opts.Delegate, opts.Threads = c.Delegate, c.Threads
	model, err := tflite.Load(b, opts)
	if err != nil {
		return "", err
	}
	defer model.Close()
	info := model.Info()
	detail := fmt.Sprintf("%s version %d, %s on %s with %d threads, Invoke %.1f ms, %d golden samples right",
		info.Name, info.Version, info.Task, info.Delegate, info.Threads, r.InvokeP50, r.Golden)
	for _, p := range c.Passed {
		detail += fmt.Sprintf("; passed over: %s (%s)", specName(p.Spec), p.Reason)
	}
	return detail, nil
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

// cameraPatience is how long the doctor waits for a camera's first frame; USB
// cameras take up to three seconds to set their exposure.
const cameraPatience = 8 * time.Second

func checkCamera(ctx context.Context, cc configs.Camera) (string, error) {
	src, err := sensors.Open(cc.Source, sensors.Options{})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, cameraPatience)
	defer cancel()
	detail := ""
	start := time.Now()
	err = src.Run(ctx, func(f *sensors.Frame) {
		if detail == "" {
			detail = fmt.Sprintf("first frame after %v: %s", time.Since(start).Round(time.Millisecond), describe(f))
			cancel()
		}
	})
	if detail != "" {
		return detail, nil
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%s gave no frame within %v: is something else using it?", src, cameraPatience)
	}
	return "", err
}

func describe(f *sensors.Frame) string {
	w, h, err := pixel.Size(f.Image)
	if err != nil {
		return fmt.Sprintf("%s of %d bytes that does not decode: %v", f.Image.Format, len(f.Image.Data), err)
	}
	return fmt.Sprintf("%d×%d %s", w, h, f.Image.Format)
}

func checkBroker(ctx context.Context, cfg configs.Config) (string, error) {
	if !cfg.MQTT.Enabled {
		return "off (mqtt.enabled: false): predictions stay on this device", nil
	}
	if cfg.MQTT.Embedded {
		return "embedded, on " + cfg.MQTT.EmbeddedListen, nil
	}
	o, err := ClientOptions(cfg)
	if err != nil {
		return "", err
	}
	// Another name than the agent's, or the broker would throw the agent out.
	o.ClientID += "-doctor"
	start := time.Now()
	if err := mqtt.Try(ctx, o); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s accepted us after %v", BrokerURL(cfg), time.Since(start).Round(time.Millisecond)), nil
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

// diskLow is the free space under which the doctor complains: less than the
// default outbox may take.
const diskLow = 256 << 20

func checkDisk(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("state folder: %w: set state_dir to a folder that this user may write", err)
	}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return "", fmt.Errorf("state folder: %w: run as the agent's user, or set state_dir", err)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	detail := dir
	if free := (&sensors.Host{}).Read(dir).DiskFree; free != nil {
		if *free < diskLow {
			return "", fmt.Errorf("state folder %s has %d MiB free, less than %d: lower outbox.max_bytes or make room", dir, *free>>20, diskLow>>20)
		}
		detail += fmt.Sprintf(", %d MiB free", *free>>20)
	}
	switch stats, err := outbox.Inspect(filepath.Join(dir, OutboxFile)); {
	case err == nil:
		detail += fmt.Sprintf(", outbox holds %d predictions", stats.Stored)
	case errors.Is(err, outbox.ErrLocked):
		detail += ", outbox in use by a running agent"
	case errors.Is(err, os.ErrNotExist):
		detail += ", no outbox yet"
	default:
		return "", err
	}
	return detail, nil
}

func checkClock() (string, error) {
	ok, err := sensors.ClockSynced()
	if err != nil {
		return "", fmt.Errorf("clock: %w", err)
	}
	now := time.Now().UTC().Format(time.RFC3339)
	if !ok {
		return "", fmt.Errorf("the kernel's clock is not synchronised (it says %s): start systemd-timesyncd or chrony", now)
	}
	return "synchronised, " + now, nil
}
