package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/mqtt"
)

// parse is a configuration with Home Assistant's discovery; more is added.
func parse(t *testing.T, dir, mqtt, cameras string) configs.Config {
	t.Helper()
	cfg, err := configs.Parse("c", []byte(`
device: dev
state_dir: `+dir+`
models: [{name: a, path: a.tflite}, {name: b, path: b.tflite}]
cameras: [`+cameras+`]
mqtt: `+mqtt))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const twoCameras = `{name: front, source: "pattern:"}, {name: back, source: "pattern:", model: b, interpreter: own}`

func topicsOf(messages []mqtt.Message) (out []string) {
	for _, m := range messages {
		topic := m.Topic
		if !m.Retained {
			topic += " passing"
		}
		if len(m.Payload) == 0 {
			topic += " empty"
		}
		out = append(out, topic)
	}
	return out
}

// TestDiscoveryIsTakenBack: whatever was told is taken back when it is no longer
// so, once, and also after a power cut between telling and its acknowledgement.
func TestDiscoveryIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	a := &Agent{log: slog.New(slog.DiscardHandler)}
	const on, topic, other = `{homeassistant: {enabled: true}}`, "homeassistant/device/egret_dev/config", "ha/device/egret_dev/config"
	steps := []struct {
		name, mqtt, cameras string
		acknowledged        bool
		want                []string
	}{
		{"off from the start", `{}`, twoCameras, true, nil},
		{"on, cut before the acknowledgement", on, twoCameras, false, []string{topic}},
		{"off, cut again", `{}`, twoCameras, false, []string{topic + " empty"}},
		{"off", `{}`, twoCameras, true, []string{topic + " empty"}},
		{"off, once more", `{}`, twoCameras, true, nil},
		{"on", on, twoCameras, true, []string{topic}},
		{"on, the same", on, twoCameras, true, []string{topic}},
		{"a camera less, cut", on, `{name: front, source: "pattern:"}`, false, []string{topic + " passing", topic}},
		{"a camera less", on, `{name: front, source: "pattern:"}`, true, []string{topic + " passing", topic}},
		{"a camera less, once more", on, `{name: front, source: "pattern:"}`, true, []string{topic}},
		{"another prefix", `{homeassistant: {enabled: true, prefix: ha}}`, `{name: front, source: "pattern:"}`, true, []string{topic + " empty", other}},
		{"off at last", `{}`, twoCameras, true, []string{other + " empty"}},
	}
	for _, s := range steps {
		d := a.newDiscovery(parse(t, dir, s.mqtt, s.cameras))
		got := d.messages()
		if !reflect.DeepEqual(topicsOf(got), s.want) {
			t.Errorf("%s: %q, want %q", s.name, topicsOf(got), s.want)
		}
		if len(got) == 2 && !got[0].Retained && !strings.Contains(string(got[0].Payload), `"camera_back_label":{"platform":"sensor"}`) {
			t.Errorf("%s: the camera that is gone is not taken away: %s", s.name, got[0].Payload)
		}
		if s.acknowledged {
			d.acknowledged()
		}
	}
	if _, err := os.Stat(filepath.Join(dir, DiscoveryFile)); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

// TestDiscoveryFollowsTheConfiguration: entities are of what runs.
func TestDiscoveryFollowsTheConfiguration(t *testing.T) {
	a := &Agent{log: slog.New(slog.DiscardHandler), opts: Options{Version: "1.0.0"}}
	h := a.homeAssistant(parse(t, t.TempDir(), `{commands: true, homeassistant: {enabled: true}}`, twoCameras))
	if !reflect.DeepEqual(h.Models, []string{"a", "b/back"}) || !reflect.DeepEqual(h.Cameras, []string{"front", "back"}) ||
		!h.Commands || h.Version != "1.0.0" || h.TelemetryEvery != 30*time.Second {
		t.Errorf("%+v", h)
	}
	if a.homeAssistant(parse(t, t.TempDir(), `{enabled: false}`, twoCameras)) != nil {
		t.Error("described without MQTT")
	}
}

func TestDiscoverySurvivesADamagedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, DiscoveryFile)
	a := &Agent{log: slog.New(slog.DiscardHandler)}
	for _, text := range []string{"", "null", "[]", `{"a":`, strings.Repeat(" ", maxDiscovery+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d := a.newDiscovery(parse(t, dir, `{homeassistant: {enabled: true}}`, twoCameras))
		if n := len(d.messages()); n != 1 {
			t.Errorf("%d messages after %.20q", n, text)
		}
		d.acknowledged()
		if len(d.read()) != 1 {
			t.Errorf("not remembered after %.20q", text)
		}
	}
}
