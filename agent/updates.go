package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/ota/update"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/tflite"
)

// maxRoot bounds the root metadata that is read.
const maxRoot = 256 << 10

// updates is everything about new models that ends with a reload that changes
// their configuration.
type updates struct {
	machine    *update.Machine
	repository *repository // nil without one
	documents  *mqtt.Documents

	tasks []*task
}

// openUpdates prepares updates as cfg has them; nothing runs yet.
func (a *Agent) openUpdates(cfg configs.Config) (*updates, error) {
	u := &updates{}
	topics := payload.Topics{Fleet: cfg.Fleet, Device: cfg.Device}
	o := update.Options{
		Store: store.New(cfg.StateDir), Device: &trialDevice{agent: a}, Topics: topics, Cohort: cfg.Updates.Cohort,
		Limits: release.Limits{
			MinAgreement: cfg.Updates.MinAgreement, MaxScoreShift: cfg.Updates.MaxScoreShift,
			MaxSlowdown: cfg.Updates.MaxSlowdown, MaxMemory: uint64(cfg.Updates.MaxMemory),
		},
		Window:   update.Window(cfg.Updates.Window),
		ClockSet: func() bool { return a.clock.state() == payload.ClockSynced },
		Report:   a.reportRelease, Serving: a.serving, Boot: a.box.Boot(),
		Poll: time.Duration(cfg.Updates.Poll), Log: a.log,
	}
	if o.Poll == 0 {
		o.Poll = -1
	}
	for _, m := range cfg.Models {
		name, err := tflite.BundleName(m.Path)
		if err != nil {
			return nil, err
		}
		c := update.Configured{Name: name, Base: m.Path, Fixed: m.Versions.List() != nil, KeepAll: m.Versions == configs.AllVersions, Keep: named(cfg, name)}
		if i := slices.IndexFunc(o.Models, func(x update.Configured) bool { return x.Name == name }); i < 0 {
			o.Models = append(o.Models, c)
		} else if o.Models[i].Base != c.Base {
			return nil, fmt.Errorf("models: %s and %s are both called %s: give one another folder name", o.Models[i].Base, c.Base, name)
		}
	}
	if cfg.Updates.Repository != "" {
		u.repository = &repository{open: func() (*ota.Client, error) {
			return openRepository(cfg, ota.Options{
				StateDir: filepath.Join(store.New(cfg.StateDir).Updates(), "repository"),
				Agent:    a.opts.Version, Built: a.opts.Built, Log: a.log, Progress: u.progress,
			})
		}}
		o.Repository = u.repository
	}
	u.machine = update.Open(o)
	// What the connection that there is has got holds on.
	wanted := []string{payload.Desired(cfg.Fleet, cfg.Updates.Cohort), topics.Pin()}
	if u.documents = a.documents; u.documents == nil || !slices.Equal(u.documents.Topics(), wanted) {
		u.documents = mqtt.NewDocuments(wanted...)
	}
	return u, nil
}

// repository is opened when it is needed: nothing that is wrong with it keeps
// the agent from starting with the model that it has.
type repository struct {
	open   func() (*ota.Client, error)
	client *ota.Client
}

// Refresh implements update.Repository.
func (r *repository) Refresh(ctx context.Context) (err error) {
	if r.client == nil {
		if r.client, err = r.open(); err != nil {
			return err
		}
	}
	return r.client.Refresh(ctx)
}

// Find implements update.Repository.
func (r *repository) Find(name string) (ota.Release, error) { return r.client.Find(name) }

// Download implements update.Repository.
func (r *repository) Download(ctx context.Context, rel ota.Release, dir string) (string, error) {
	return r.client.Download(ctx, rel, dir)
}

// Policy implements update.Repository.
func (r *repository) Policy() release.Policy { return r.client.Policy() }

// openRepository opens the repository of cfg with what o says besides.
func openRepository(cfg configs.Config, o ota.Options) (*ota.Client, error) {
	var err error
	if o.Root, err = readRoot(cfg.Updates.Root); err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(cfg.Updates.Repository, "/")
	o.MetadataURL, o.TargetsURL = base+"/metadata", base+"/targets"
	o.Platform = runtime.GOOS + "/" + runtime.GOARCH
	o.HTTP.Proxy, o.HTTP.CAFile, o.HTTP.TokenFile = cfg.Updates.Proxy, cfg.Updates.CAFile, cfg.Updates.TokenFile
	o.HTTP.Bandwidth = int64(cfg.Updates.Bandwidth)
	return ota.Open(o)
}

func readRoot(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxRoot {
		err = fmt.Errorf("%s has more than %d KiB: is it the right file?", path, maxRoot>>10)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("updates.root: %w: it is metadata/1.root.json of the repository", err)
	}
	return data, nil
}

// run starts the parts of updates.
func (u *updates) run(a *Agent) {
	u.documents.Again()
	u.tasks = []*task{
		a.tasks.start("updates", updatesBound, u.machine.Run),
		a.tasks.start("orders", otherBound, u.machine.Watch),
		a.tasks.start("documents", otherBound, u.follow),
	}
}

// updatesBound: a trial process is killed at once, and waited for.
const updatesBound = 3 * time.Second

func (u *updates) progress(done, of int64) { u.machine.Progress(done, of) }

// follow hands on the documents that come over MQTT.
func (u *updates) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.documents.News():
		}
		news := u.documents.Take()
		for _, topic := range slices.Sorted(maps.Keys(news)) {
			u.machine.Document(topic, news[topic])
		}
	}
}

// end stops the parts, with ts, and says that the end was in order.
func (u *updates) end(ts *tasks) error {
	if u == nil {
		return nil
	}
	ts.endAll(u.tasks)
	return u.close()
}

func (u *updates) close() error {
	var err error
	if u.machine != nil {
		err = u.machine.Close()
	}
	if u.repository != nil && u.repository.client != nil {
		err = errors.Join(err, u.repository.client.Close())
	}
	return err
}

// reportRelease publishes where the device stands; any goroutine may call it.
func (a *Agent) reportRelease(r payload.Reported) {
	msg, err := json.Marshal(r)
	if err != nil {
		a.log.Error("encode the release state", "error", err)
		return
	}
	a.reported.Store(&msg)
	if c := a.client.Load(); c != nil {
		c.Report(msg)
	}
}

// serving is what answers, by the model's name in the configuration.
func (a *Agent) serving() map[string]payload.Model {
	out := map[string]payload.Model{}
	for _, w := range a.view().workers {
		info := w.info.Load()
		out[w.name] = payload.Model{Name: info.Name, Version: info.Version, Digest: info.Digest}
	}
	return out
}

// request is something that only the agent's own goroutine may do.
type request struct {
	do   func(ctx context.Context) error
	done chan error
}

// ask has the agent's goroutine do something, and waits for it. When it returns
// an error, that may still be under way: what do writes is not to be read.
func (a *Agent) ask(ctx context.Context, do func(ctx context.Context) error) error {
	r := request{do, make(chan error, 1)}
	select {
	case a.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// plan prepares cfg with the versions that serve. When one of them cannot be
// loaded and its files are to blame, the one before it serves: a device is never
// without a model because of an update.
func (a *Agent) plan(ctx context.Context, cfg configs.Config, m *update.Machine) (*plan, error) {
	v := versions{machine: m, store: store.New(cfg.StateDir), log: a.log}
	skip := map[string]bool{}
	for {
		if err := a.sound(cfg, m); err != nil {
			return nil, err
		}
		pl, err := a.prepare(ctx, v, cfg, skip)
		var broken *modelError
		if err == nil || ctx.Err() != nil || !errors.As(err, &broken) {
			return pl, err
		}
		if strings.Contains(broken.model, "@") {
			a.log.Error("a version beside the one that serves does not load, going on without it", "model", broken.model, "error", broken.err)
			skip[broken.model] = true
			continue
		}
		// A full disk is not the version's fault.
		if errors.As(err, new(*passing)) || !a.stepBack(cfg, m, broken.model, broken.err) {
			return nil, err
		}
	}
}

// prepare is the pipeline's, for the versions that cfg asks for.
func (a *Agent) prepare(ctx context.Context, v versions, cfg configs.Config, skip map[string]bool) (*plan, error) {
	resolved, err := v.resolve(cfg, skip)
	if err != nil {
		return nil, err
	}
	return a.pipeline.prepare(ctx, resolved)
}

// sound steps back from versions whose files are damaged.
func (a *Agent) sound(cfg configs.Config, m *update.Machine) error {
	for _, c := range cfg.Models {
		for {
			name, err := tflite.BundleName(c.Path)
			if err != nil {
				return err
			}
			now := m.Serving(name)
			if now == nil {
				break
			}
			if err := damaged(now); err == nil {
				break
			} else if !m.GiveUp(name, oneLine(err.Error())) {
				break // the error comes again when it is loaded
			}
		}
	}
	return nil
}

// stepBack gives up what serves for a configured model; false when there is
// nothing before it.
func (a *Agent) stepBack(cfg configs.Config, m *update.Machine, model string, reason error) bool {
	i := slices.IndexFunc(cfg.Models, func(c configs.Model) bool { return c.Name == model })
	if i < 0 {
		return false
	}
	name, err := tflite.BundleName(cfg.Models[i].Path)
	return err == nil && m.GiveUp(name, oneLine(reason.Error()))
}
