package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/internal/wholefile"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/payload"
)

// DiscoveryFile remembers, in the state folder, what Home Assistant was told,
// so that it can be taken back.
const DiscoveryFile = "homeassistant.json"

// maxDiscovery bounds that file.
const maxDiscovery = 1 << 20

// discovery tells Home Assistant about the device after each connect, and takes
// back what is no longer so. Only the client's goroutine calls its methods.
type discovery struct {
	path   string
	device *mqtt.HomeAssistant // nil: there is nothing to tell
	log    *slog.Logger
}

// told is the file's content: for each discovery topic the entities' platforms
// by their ids.
type told map[string]map[string]string

// newDiscovery is what cfg asks for.
func (a *Agent) newDiscovery(cfg configs.Config) *discovery {
	return &discovery{path: filepath.Join(cfg.StateDir, DiscoveryFile), device: a.homeAssistant(cfg), log: a.log}
}

// homeAssistant describes the device as cfg has it; nil when it is not to be
// described.
func (a *Agent) homeAssistant(cfg configs.Config) *mqtt.HomeAssistant {
	if !cfg.MQTT.Enabled || !cfg.MQTT.HomeAssistant.Enabled {
		return nil
	}
	h := &mqtt.HomeAssistant{
		Prefix: cfg.MQTT.HomeAssistant.Prefix, Version: a.opts.Version, Commands: cfg.MQTT.Commands,
		Topics:         payload.Topics{Fleet: cfg.Fleet, Device: cfg.Device},
		Temperature:    a.hostInfo.Read(cfg.StateDir).TemperatureC != nil,
		TelemetryEvery: time.Duration(cfg.Telemetry.Interval),
	}
	for _, m := range cfg.Models {
		h.Models = append(h.Models, m.Name)
	}
	for _, c := range cfg.Cameras {
		h.Cameras = append(h.Cameras, c.Name)
		if c.Interpreter == "own" {
			h.Models = append(h.Models, modelOf(cfg, c)+"/"+c.Name)
		}
	}
	// A model that only cameras with interpreters of their own use is not loaded
	// for others.
	h.Models = slices.DeleteFunc(h.Models, func(name string) bool { return onlyOwned(cfg, name) })
	return h
}

// modelOf is the name of a camera's model.
func modelOf(cfg configs.Config, c configs.Camera) string {
	if c.Model == "" {
		return cfg.Models[0].Name
	}
	return c.Model
}

// onlyOwned tells whether a model serves cameras, and each has it to itself.
func onlyOwned(cfg configs.Config, model string) bool {
	users, owners := 0, 0
	for _, c := range cfg.Cameras {
		if modelOf(cfg, c) == model {
			users++
			if c.Interpreter == "own" {
				owners++
			}
		}
	}
	return users > 0 && users == owners
}

// messages are what is to be published. What they tell is remembered first: a
// power cut in between must not leave entities that nobody takes back.
func (d *discovery) messages() []mqtt.Message {
	before := d.read()
	var out []mqtt.Message
	for _, topic := range slices.Sorted(maps.Keys(before)) {
		if d.device == nil || topic != d.device.Topic() {
			out = append(out, mqtt.Message{Topic: topic, Retained: true})
		}
	}
	if d.device == nil {
		return out
	}
	topic, now := d.device.Topic(), d.device.Components()
	gone := maps.Clone(before[topic])
	maps.DeleteFunc(gone, func(id, _ string) bool { _, there := now[id]; return there })
	after := maps.Clone(before)
	after[topic] = maps.Clone(now)
	maps.Copy(after[topic], gone)
	d.write(after)
	if len(gone) > 0 { // not retained: it is of use to who knows them only
		out = d.describe(out, gone, false)
	}
	return d.describe(out, nil, true)
}

func (d *discovery) describe(out []mqtt.Message, gone map[string]string, retained bool) []mqtt.Message {
	body, err := d.device.Payload(gone)
	if err == nil && len(body) > mqtt.MaxMessage {
		err = fmt.Errorf("%d bytes are more than brokers take: there are too many cameras", len(body))
	}
	if err != nil {
		d.log.Error("Home Assistant is not told about this device", "error", err)
		return out
	}
	return append(out, mqtt.Message{Topic: d.device.Topic(), Payload: body, Retained: retained})
}

// acknowledged is called when the broker has all messages.
func (d *discovery) acknowledged() {
	now := told{}
	if d.device != nil {
		now[d.device.Topic()] = d.device.Components()
	}
	d.write(now)
}

// read is what was told; a file that makes no sense is none.
func (d *discovery) read() told {
	t := told{}
	info, err := os.Stat(d.path)
	if err != nil || info.Size() > maxDiscovery {
		return t
	}
	data, err := os.ReadFile(d.path)
	if err != nil || json.Unmarshal(data, &t) != nil || t == nil {
		return told{}
	}
	return t
}

// write remembers t, on a card that is worn as little as possible: only when it
// is something else than before.
func (d *discovery) write(t told) {
	if maps.EqualFunc(t, d.read(), maps.Equal) {
		return
	}
	data, err := json.Marshal(t)
	switch {
	case err != nil:
	case len(t) == 0:
		err = os.Remove(d.path)
	default:
		err = wholefile.Write(d.path, data)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.log.Warn("what Home Assistant was told cannot be taken back later", "error", err)
	}
}
