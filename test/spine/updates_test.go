package spine

import (
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/fleet/repo"
	"github.com/egret-edge/egret/internal/slowdown"
	"github.com/egret-edge/egret/sync/ota/bundle"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/test/mosquitto"
	"github.com/egret-edge/egret/test/smallmodel"
)

// site is everything around a device: a signed repository behind a web server,
// a broker, and an operator who watches.
type site struct {
	t      *testing.T
	dir    string
	repo   string
	server *httptest.Server
	broker *mosquitto.Broker
	client paho.Client
	config *config

	mu        sync.Mutex // guards all following fields
	gate      func(w http.ResponseWriter, r *http.Request) bool
	reports   []payload.Reported
	serving   map[int]int // predictions by the model's version
	converted map[int]int // those of them that a conversion made
	seen      map[string]bool
	more      chan struct{}
}

const fleetName, cohortName, deviceName = "zoo", "north", "cam-7"

func passphrase(*repo.KeyFile, bool) ([]byte, error) { return []byte("secret"), nil }

// newSite makes all of it, with colours/1 as the factory model of the device,
// whose configuration may have more lines.
func newSite(t *testing.T, more string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), serving: map[int]int{}, converted: map[int]int{}, seen: map[string]bool{}, more: make(chan struct{}, 1)}
	s.repo = filepath.Join(s.dir, "repo")
	if _, err := repo.Init(s.repo, repo.InitOptions{Keys: s.keys(), Passphrase: passphrase}); err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(s.repo))
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		gate := s.gate
		s.mu.Unlock()
		if gate == nil || !gate(w, r) {
			files.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.server.Close)
	s.broker = mosquitto.Start(t, mosquitto.Config{})
	s.watch()
	s.model(1, smallmodel.Options{Seed: 1}, s.factory())
	pictures := filepath.Join(s.dir, "pictures")
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		t.Fatal(err)
	}
	for class := range 8 {
		f, err := os.Create(filepath.Join(pictures, fmt.Sprint(class, ".png")))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, smallmodel.Picture(class, 96)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(more, "updates:") {
		more += "\nupdates: {repository: REPO, root: ROOTJSON, cohort: north, shadow_frames: 16, trial_frames: 16, poll: 100ms}\n"
	}
	if !strings.Contains(more, "inference:") {
		more += fmt.Sprintf("\ninference: {delegate: cpu, threads: 1, probe_timeout: %s}\n", slowdown.Of(5*time.Second))
	}
	yaml := fmt.Sprintf(`
device: %s
fleet: %s
state_dir: DIR/state
models: [{name: colours, path: FACTORY}]
cameras: [{name: front, source: "folder:%s?fps=40&loop=true"}]
outbox: {flush_interval: 100ms}
mqtt: {broker: "tcp://%s"}
%s`, deviceName, fleetName, pictures, s.broker.Addr(), more)
	s.config = newConfig(t, s.fill(yaml))
	return s
}

func (s *site) fill(yaml string) string {
	return strings.NewReplacer("REPO", s.server.URL, "ROOTJSON", filepath.Join(s.repo, "metadata", "1.root.json"), "FACTORY", s.factory()).Replace(yaml)
}

func (s *site) keys() string    { return filepath.Join(s.dir, "keys") }
func (s *site) factory() string { return filepath.Join(s.dir, "factory", "colours") }
func (s *site) state() string   { return filepath.Join(s.config.dir, "state") }

// model writes version v of colours into the folder models.
func (s *site) model(v int, o smallmodel.Options, models string) string {
	s.t.Helper()
	dir := filepath.Join(models, fmt.Sprint(v))
	if err := smallmodel.WriteBundle(dir, o); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// publish signs the bundle in dir as a release named colours-<v>.
func (s *site) publish(v int, dir string, change func(*release.Meta)) {
	s.t.Helper()
	zip := filepath.Join(s.t.TempDir(), "bundle.zip")
	if err := bundle.Pack(dir, zip); err != nil {
		s.t.Fatal(err)
	}
	s.publishFile(v, zip, change)
}

func (s *site) publishFile(v int, zip string, change func(*release.Meta)) {
	s.t.Helper()
	m := release.Meta{Release: fmt.Sprint("colours-", v), Sequence: uint64(v), Model: release.Model{Name: "colours", Version: v}}
	if change != nil {
		change(&m)
	}
	s.operate(func(r *repo.Repo) error { _, err := r.Add(zip, m); return err })
}

// operate changes the repository, signs and publishes.
func (s *site) operate(change func(*repo.Repo) error) {
	s.t.Helper()
	r, err := repo.Open(s.repo)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	if err := change(r); err != nil {
		s.t.Fatal(err)
	}
	keys, err := repo.FindKeys(s.keys())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := r.Sign(keys, passphrase); err != nil {
		s.t.Fatal(err)
	}
	if _, err := r.Publish(keys, passphrase); err != nil {
		s.t.Fatal(err)
	}
}

// roll writes the rollout document of a version.
func (s *site) roll(v int, gen uint64, change func(*release.Rollout)) release.Rollout {
	s.t.Helper()
	doc := release.Rollout{
		Gen: gen, Rev: 1, Release: fmt.Sprint("colours-", v), Target: fmt.Sprintf("models/colours/%d.zip", v),
		State: release.Running, BasisPoints: release.All, Salt: "s", OnAbort: release.Previous,
	}
	if change != nil {
		change(&doc)
	}
	s.desire(doc)
	return doc
}

func (s *site) desire(doc release.Rollout) {
	s.t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		s.t.Fatal(err)
	}
	s.say(payload.Desired(fleetName, cohortName), data)
}

func (s *site) say(topic string, data []byte) {
	s.t.Helper()
	if tok := s.client.Publish(topic, 1, true, data); !tok.WaitTimeout(patience) || tok.Error() != nil {
		s.t.Fatalf("publish %s: %v", topic, tok.Error())
	}
}

// watch collects reports and counts predictions.
func (s *site) watch() {
	s.t.Helper()
	topics := payload.Topics{Fleet: fleetName, Device: deviceName}
	o := paho.NewClientOptions().AddBroker("tcp://" + s.broker.Addr()).SetClientID("operator").SetAutoReconnect(false).SetOrderMatters(true)
	s.client = paho.NewClient(o)
	if tok := s.client.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		s.t.Fatal(tok.Error())
	}
	s.t.Cleanup(func() { s.client.Disconnect(0) })
	subs := map[string]paho.MessageHandler{
		topics.Reported(): func(_ paho.Client, m paho.Message) {
			r, err := payload.ParseReported(m.Payload())
			if err != nil {
				s.t.Error(err)
			}
			s.mu.Lock()
			s.reports = append(s.reports, r)
			s.mu.Unlock()
			s.stir()
		},
		topics.Predictions(): func(_ paho.Client, m paho.Message) {
			var all []payload.Prediction
			if err := json.Unmarshal(m.Payload(), &all); err != nil {
				s.t.Error(err)
			}
			s.mu.Lock()
			for _, p := range all {
				if !s.seen[p.ID] {
					s.seen[p.ID] = true
					s.serving[p.Model.Version]++
					if p.Converted != "" {
						s.converted[p.Model.Version]++
					}
				}
			}
			s.mu.Unlock()
			s.stir()
		},
	}
	for topic, take := range subs {
		if tok := s.client.Subscribe(topic, 1, take); !tok.WaitTimeout(patience) || tok.Error() != nil {
			s.t.Fatal(tok.Error())
		}
	}
}

func (s *site) stir() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// until waits for a report that ok takes; it sees those since the last call
// too.
func (s *site) until(what string, ok func(payload.Reported) bool) payload.Reported {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		for i, r := range s.reports {
			if ok(r) {
				s.reports = s.reports[i:]
				s.mu.Unlock()
				return r
			}
		}
		s.mu.Unlock()
		select {
		case <-s.more:
		case <-deadline:
			s.t.Fatalf("the device never reported %s; last: %s", what, s.path())
		}
	}
}

// reaches waits for a state of a version.
func (s *site) reaches(v int, state payload.ReleaseState) payload.Reported {
	s.t.Helper()
	return s.until(fmt.Sprintf("version %d %s", v, state), func(r payload.Reported) bool {
		return r.State == state && r.Model != nil && r.Model.Version == v
	})
}

// path is what was reported, without repeats.
func (s *site) path() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.reports {
		word := string(r.State)
		if r.Reason != "" {
			word += " (" + r.Reason + ")"
		}
		if len(out) == 0 || out[len(out)-1] != word {
			out = append(out, word)
		}
	}
	return strings.Join(out, " → ")
}

// answers waits until n more predictions of version v arrive.
func (s *site) answers(v, n int) {
	s.t.Helper()
	s.mu.Lock()
	want := s.serving[v] + n
	s.mu.Unlock()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		done := s.serving[v] >= want
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.more:
		case <-deadline:
			s.t.Fatalf("version %d does not answer; reported: %s", v, s.path())
		}
	}
}

// TestUpdate is the life of a release: it is rolled out, proves itself, serves,
// is aborted, and the one before serves again; and then one that is refused.
func TestUpdate(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.publish(2, s.model(2, smallmodel.Options{Seed: 2}, t.TempDir()+"/colours"), func(m *release.Meta) {
		m.Limits = release.Limits{MinAgreement: 0.9, MaxMemory: 2 << 30}
	})
	d := started(t, s.config)
	s.answers(1, 10)
	doc := s.roll(2, 1, nil)
	for _, state := range []payload.ReleaseState{payload.Downloading, payload.Verifying, payload.Probing, payload.Shadow, payload.Trial} {
		s.reaches(2, state)
	}
	got := s.reaches(2, payload.Committed)
	s.answers(2, 10)
	if p := got.Proof; p == nil || p.Golden != 1 || p.Frames != 16 || p.Agreement == nil || *p.Agreement < 0.9 || p.Answered < 16 || !p.Confirmed || p.Memory == 0 {
		t.Errorf("proof %+v", p)
	}
	if got.Serving["colours"].Version != 2 || got.Release != "colours-2" || got.Gen != 1 {
		t.Errorf("report %+v", got)
	}
	// A restart changes nothing.
	d.stop()
	d = started(t, s.config)
	s.answers(2, 10)
	doc.State, doc.Rev = release.Aborted, 2
	s.desire(doc)
	back := s.reaches(2, payload.RolledBack)
	if back.Reason != "the rollout was aborted" {
		t.Errorf("reason %q", back.Reason)
	}
	s.answers(1, 10)
	bad := s.model(3, smallmodel.Options{Seed: 3}, t.TempDir()+"/colours")
	if err := os.Truncate(filepath.Join(bad, "model.tflite"), 20_000); err != nil {
		t.Fatal(err)
	}
	s.publish(3, bad, nil)
	s.roll(3, 2, nil)
	refused := s.reaches(3, payload.Rejected)
	if refused.Reason == "" {
		t.Errorf("no reason: %+v", refused)
	}
	s.answers(1, 10)
	d.stop()
	t.Log(s.path())
	if left, _ := filepath.Glob(filepath.Join(s.state(), "models", "colours", "*")); len(left) > 1 {
		t.Errorf("models left on the device: %v", left)
	}
}
