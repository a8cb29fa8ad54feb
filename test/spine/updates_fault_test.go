package spine

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/egret-edge/egret/fleet/repo"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/test/smallmodel"
)

// TestFolder: a version that somebody puts into the model's folder takes over
// when it has proved itself, and a bad one does when it was mended.
func TestFolder(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := started(t, s.config)
	s.answers(1, 3)
	s.model(2, smallmodel.Options{Seed: 2}, s.factory())
	got := s.reaches(2, payload.Committed)
	if got.Release != "" || got.Gen != 0 || got.Proof == nil || !got.Proof.Confirmed {
		t.Errorf("report %+v", got)
	}
	s.answers(2, 3)
	bad := s.model(3, smallmodel.Options{Seed: 3}, t.TempDir())
	if err := os.WriteFile(filepath.Join(bad, "labels.txt"), []byte("one\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(bad, filepath.Join(s.factory(), "3")); err != nil {
		t.Fatal(err)
	}
	if got := s.reaches(3, payload.Rejected); !strings.Contains(got.Reason, "labels") {
		t.Errorf("reason %q", got.Reason)
	}
	d.stop()
	d = started(t, s.config)
	s.answers(2, 3)
	s.model(3, smallmodel.Options{Seed: 3}, s.factory())
	s.reaches(3, payload.Committed)
	s.answers(3, 3)
	d.stop()
}

// withoutBroker is a device with version 2 on its way, whose broker is gone.
func withoutBroker(t *testing.T) (*site, *daemon) {
	t.Helper()
	s := newSite(t, "\nupdates: {repository: REPO, root: ROOTJSON, cohort: north, shadow_frames: 4, trial_frames: 60, poll: 100ms}\n")
	s.publish(2, s.model(2, smallmodel.Options{Seed: 2}, t.TempDir()+"/colours"), nil)
	d := started(t, s.config)
	s.roll(2, 1, nil)
	s.recorded(2, payload.Shadow, payload.Trial)
	s.broker.Stop()
	return s, d
}

// TestOfflineTrial: a model on trial is not committed while the broker is away,
// and is when that has confirmed a message.
func TestOfflineTrial(t *testing.T) {
	t.Parallel()
	s, d := withoutBroker(t)
	s.recorded(2, payload.Trial)
	d.waitLog("waits for the broker to confirm a message")
	if a := s.attempt(); a.State != payload.Trial {
		t.Errorf("%s without a broker", a.State)
	}
	s.broker.Restart()
	if a := s.recorded(2, payload.Committed); !a.Proof.Confirmed {
		t.Errorf("proof %+v", a.Proof)
	}
	d.stop()
}

// TestServerFaults: a server that answers 500, resets, cuts off, forgets Range
// or sends something else costs time and nothing more.
func TestServerFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.publish(2, s.model(2, smallmodel.Options{Seed: 2}, t.TempDir()+"/colours"), nil)
	var zips, all atomic.Int64
	s.mu.Lock()
	s.gate = func(w http.ResponseWriter, r *http.Request) bool {
		n := all.Add(1)
		switch {
		case n == 1:
			http.Error(w, "try later", http.StatusInternalServerError)
			return true
		case !strings.HasSuffix(r.URL.Path, ".zip"):
			return false
		}
		switch zips.Add(1) {
		case 1: // reset
			panic(http.ErrAbortHandler)
		case 2: // it ends in the middle
			w.Header().Set("Content-Length", "60000")
			_, _ = w.Write(make([]byte, 1)) // wrong, too: what is there is thrown away
			panic(http.ErrAbortHandler)
		default: // the whole file, whatever part was asked for
			r.Header.Del("Range")
			return false
		}
	}
	s.mu.Unlock()
	d := started(t, s.config)
	s.roll(2, 1, nil)
	s.reaches(2, payload.Committed)
	s.answers(2, 3)
	if zips.Load() < 3 {
		t.Errorf("%d requests for the bundle", zips.Load())
	}
	d.stop()
}

// TestHostileDocuments: whoever may write to the broker can have nothing
// installed that is not signed, and bring nothing back.
func TestHostileDocuments(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for v := 2; v <= 3; v++ {
		s.publish(v, s.model(v, smallmodel.Options{Seed: uint64(v)}, t.TempDir()+"/colours"), nil)
	}
	d := started(t, s.config)
	topic := payload.Desired(fleetName, cohortName)
	first := s.roll(2, 10, nil)
	s.reaches(2, payload.Committed)
	for what, doc := range map[string]string{
		"no JSON":        "{",
		"an array":       "[]",
		"deep":           strings.Repeat("[", 60_000),
		"huge":           `{"gen":11,"release":"` + strings.Repeat("x", 200_000) + `"}`,
		"unknown state":  `{"gen":11,"rev":1,"release":"colours-3","target":"models/colours/3.zip","state":"now!","basis_points":10000,"salt":"s"}`,
		"path traversal": `{"gen":11,"rev":1,"release":"colours-3","target":"models/../../3.zip","state":"running","basis_points":10000,"salt":"s"}`,
		"negative share": `{"gen":11,"rev":1,"release":"colours-3","target":"models/colours/3.zip","state":"running","basis_points":-1,"salt":"s"}`,
		"gen is text":    `{"gen":"11","rev":1,"release":"colours-3","target":"models/colours/3.zip","state":"running","basis_points":10000,"salt":"s"}`,
	} {
		s.say(topic, []byte(doc))
		s.answers(2, 2)
		if a := s.attempt(); a.Model.Version != 2 {
			t.Errorf("%s: attempt with version %d", what, a.Model.Version)
		}
	}
	refused := func(gen uint64, want string, change func(*release.Rollout)) {
		t.Helper()
		s.roll(3, gen, change)
		got := s.until(want, func(r payload.Reported) bool { return r.State == payload.Rejected && r.Gen == gen })
		if !strings.Contains(got.Reason, want) || got.Serving["colours"].Version != 2 {
			t.Errorf("gen %d: %s, serving %v; want %q", gen, got.Reason, got.Serving, want)
		}
	}
	refused(12, "lists no release", func(r *release.Rollout) { r.Release = "colours-99" })
	refused(13, "is models/colours/3.zip by its signed metadata", func(r *release.Rollout) { r.Target = "models/colours/2.zip" })
	s.operate(func(r *repo.Repo) error { return r.Withdraw("colours", 4) })
	refused(14, "was withdrawn", nil)
	// A replayed document, also after a restart, changes nothing.
	first.Gen, first.Rev = 9, 9
	s.desire(first)
	d.waitLog("it is older")
	d.stop()
	d = started(t, s.config)
	d.waitLog("it is older")
	s.answers(2, 3)
	d.stop()
}

// TestReloadInTrial: a reload in the middle of a trial changes what it says,
// and the model on trial goes on.
func TestReloadInTrial(t *testing.T) {
	t.Parallel()
	updates := "\nupdates: {repository: REPO, root: ROOTJSON, cohort: north, shadow_frames: 2, trial_frames: %d, poll: 100ms}\n"
	s := newSite(t, fmt.Sprintf(updates, 100_000))
	s.publish(2, s.model(2, smallmodel.Options{Seed: 2}, t.TempDir()+"/colours"), nil)
	d := started(t, s.config)
	s.roll(2, 1, nil)
	s.recorded(2, payload.Trial)
	s.answers(2, 3)
	text, err := os.ReadFile(s.config.path)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(s.config.path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	reload(strings.Replace(string(text), "path: "+s.factory(), "path: "+s.factory()+"/nowhere", 1))
	d.waitLog("reload refused")
	s.answers(2, 3)
	if a := s.attempt(); a.State != payload.Trial || a.Starts != 0 {
		t.Errorf("after a refused reload: %+v", a)
	}
	reload(strings.Replace(string(text), "trial_frames: 100000", "trial_frames: 10", 1))
	d.waitLog("msg=reloaded")
	s.reaches(2, payload.Committed)
	s.answers(2, 3)
	d.stop()
}

// TestBrokerTurnedOffInTrial: a device that is told to have no broker does not
// wait for one to confirm what the model on trial made.
func TestBrokerTurnedOffInTrial(t *testing.T) {
	t.Parallel()
	s, d := withoutBroker(t)
	text, err := os.ReadFile(s.config.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config.path, []byte(strings.Replace(string(text), "mqtt: {", "mqtt: {enabled: false, ", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	d.waitLog("waits for the broker to confirm")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.waitLog("msg=reloaded")
	d.waitLog("update committed")
	d.stop()
}

// TestRefusedReload: a configuration that is refused takes nothing away, also
// when it names another folder for the model.
func TestRefusedReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.publish(2, s.model(2, smallmodel.Options{Seed: 2}, t.TempDir()+"/colours"), nil)
	d := started(t, s.config)
	s.roll(2, 1, nil)
	s.reaches(2, payload.Committed)
	other := filepath.Join(s.dir, "other", "colours")
	bad := s.model(1, smallmodel.Options{Seed: 1}, other)
	if err := os.Truncate(filepath.Join(bad, "model.tflite"), 1000); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.config.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config.path, []byte(strings.Replace(string(text), s.factory(), other, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.waitLog("reload refused")
	s.answers(2, 3)
	d.stop()
	rec, err := store.New(s.state()).Load()
	if v := rec.Models["colours"].Current; err != nil || v == nil || v.Version != 2 {
		t.Errorf("after a refused reload the record has %+v, %v", rec.Models["colours"], err)
	}
}
