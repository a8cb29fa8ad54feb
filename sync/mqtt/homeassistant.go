package mqtt

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// HomeAssistant describes a device to Home Assistant's MQTT integration, as its
// documentation of device discovery asks for. Topics and Prefix are required.
type HomeAssistant struct {
	Prefix  string // of the discovery topics; Home Assistant's own default is homeassistant
	Topics  payload.Topics
	Version string
	Cameras []string
	// Models are as telemetry names them: a model, or a model and the camera
	// that has it to itself.
	Models []string
	// Temperature tells whether the host can measure it.
	Temperature bool
	// Commands adds what needs them: buttons and pictures.
	Commands bool
	// TelemetryEvery is the interval of telemetry; what comes from it becomes
	// unavailable when three in a row are missing.
	TelemetryEvery time.Duration
}

// entity is one component of a discovery payload. The names are those of the
// documentation.
type entity struct {
	Platform     string `json:"platform"`
	Name         string `json:"name,omitempty"`
	UniqueID     string `json:"unique_id,omitempty"`
	StateTopic   string `json:"state_topic,omitempty"`
	Template     string `json:"value_template,omitempty"`
	Unit         string `json:"unit_of_measurement,omitempty"`
	DeviceClass  string `json:"device_class,omitempty"`
	StateClass   string `json:"state_class,omitempty"`
	Precision    *int   `json:"suggested_display_precision,omitempty"`
	Category     string `json:"entity_category,omitempty"`
	Icon         string `json:"icon,omitempty"`
	ExpireAfter  int    `json:"expire_after,omitempty"`
	ImageTopic   string `json:"image_topic,omitempty"`
	ContentType  string `json:"content_type,omitempty"`
	CommandTopic string `json:"command_topic,omitempty"`
	PayloadPress string `json:"payload_press,omitempty"`
	QoS          int    `json:"qos,omitempty"`
}

type discovery struct {
	Device       map[string]any    `json:"device"`
	Origin       map[string]string `json:"origin"`
	Availability []availability    `json:"availability"`
	Components   map[string]entity `json:"components"`
}

type availability struct {
	Topic        string `json:"topic"`
	Template     string `json:"value_template"`
	Available    string `json:"payload_available"`
	NotAvailable string `json:"payload_not_available"`
}

// Topic is where the description is retained. An empty retained message takes
// the device and its entities away.
func (h HomeAssistant) Topic() string {
	return h.Prefix + "/device/egret_" + h.Topics.Device + "/config"
}

// Payload is the description. Entities in gone, which earlier ones had, are
// named as removed; the next description leaves them out.
func (h HomeAssistant) Payload(gone map[string]string) ([]byte, error) {
	d := discovery{
		Device: map[string]any{
			"identifiers": []string{"egret_" + h.Topics.Device}, "name": h.Topics.Device,
			"manufacturer": "egret", "model": "edge inference agent", "sw_version": h.Version,
		},
		Origin: map[string]string{"name": "egret", "sw_version": h.Version, "support_url": "https://github.com/egret-edge/egret"},
		Availability: []availability{{
			Topic: h.Topics.Status(), Template: "{{ value_json.state }}",
			Available: payload.Online, NotAvailable: payload.Offline,
		}},
		Components: h.entities(),
	}
	for id, platform := range gone {
		if _, there := d.Components[id]; !there {
			d.Components[id] = entity{Platform: platform}
		}
	}
	out, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode discovery: %w", err)
	}
	return out, nil
}

// Components are the entities' platforms by their ids.
func (h HomeAssistant) Components() map[string]string {
	out := map[string]string{}
	for id, e := range h.entities() {
		out[id] = e.Platform
	}
	return out
}

func (h HomeAssistant) entities() map[string]entity {
	all := map[string]entity{}
	for _, camera := range h.Cameras {
		h.camera(all, camera)
	}
	h.device(all)
	for _, model := range h.Models {
		h.model(all, model)
	}
	for id, e := range all {
		// Ids hold no dot, so no two devices make the same one of their names.
		e.UniqueID = "egret." + h.Topics.Device + "." + id
		all[id] = e
	}
	return all
}

// The latest prediction is sent only when it changes, so it never expires.
func (h HomeAssistant) camera(all map[string]entity, camera string) {
	id, topic := "camera_"+camera+"_", h.Topics.Camera(camera)
	all[id+"label"] = entity{
		Platform: "sensor", Name: camera + " label", StateTopic: topic, Icon: "mdi:tag-outline",
		// A state is text of 255 characters at most, and an empty one is ignored.
		Template: "{% set r = value_json.results %}{{ ((r[0].label or r[0].index) | string)[:255] if r else 'nothing' }}",
	}
	all[id+"score"] = entity{
		Platform: "sensor", Name: camera + " score", StateTopic: topic, Icon: "mdi:percent-outline",
		Template: "{% set r = value_json.results %}{{ (r[0].score * 100) | round(1) if r else 0 }}",
		Unit:     "%", StateClass: "measurement", Precision: new(0),
	}
	if !h.Commands {
		return
	}
	argument := `{"camera":"` + camera + `"}`
	all[id+"snapshot"] = entity{
		Platform: "image", Name: camera + " snapshot",
		ImageTopic: h.Topics.Snapshot(camera), ContentType: "image/jpeg",
	}
	all[id+"take"] = entity{
		Platform: "button", Name: camera + " take snapshot", Icon: "mdi:camera",
		CommandTopic: h.Topics.Command(payload.Snapshot), PayloadPress: argument, QoS: 1,
	}
	all[id+"restart"] = entity{
		Platform: "button", Name: camera + " restart", DeviceClass: "restart", Category: "config",
		CommandTopic: h.Topics.Command(payload.RestartCamera), PayloadPress: argument, QoS: 1,
	}
}

func (h HomeAssistant) device(all map[string]entity) {
	if h.Temperature {
		e := h.diagnostic("temperature", "{{ value_json.host.temperature_c | default('None') }}")
		e.DeviceClass, e.Unit, e.StateClass, e.Precision = "temperature", "°C", "measurement", new(1)
		all["device_temperature"] = e
	}
	e := h.diagnostic("predictions acknowledged", "{{ value_json.delivery.acknowledged }}")
	e.StateClass, e.Icon = "total_increasing", "mdi:cloud-check-outline"
	all["device_acknowledged"] = e
	e = h.diagnostic("predictions stored", "{{ value_json.delivery.stored }}")
	e.StateClass, e.Icon = "measurement", "mdi:database-outline"
	all["device_stored"] = e
}

func (h HomeAssistant) model(all map[string]entity, model string) {
	id, name := "model_"+model+"_", model
	if base, camera, own := strings.Cut(model, "/"); own {
		id, name = "camera_"+camera+"_", camera+" "+base
	}
	get := "{% set m = value_json.models['" + model + "'] | default({}) %}"
	e := h.diagnostic(name+" delegate", get+"{{ m.delegate | default('unknown') }}")
	e.Icon = "mdi:chip"
	all[id+"delegate"] = e
	// Without an Invoke in the interval there is no figure.
	e = h.diagnostic(name+" invoke time", get+"{{ (m.invoke_us_p50 / 1000) | round(2) if m.invoke_us_p50 else 'None' }}")
	e.DeviceClass, e.Unit, e.StateClass, e.Precision = "duration", "ms", "measurement", new(1)
	all[id+"invoke"] = e
}

// diagnostic is a sensor that telemetry feeds. In a sensor of numbers, None is
// Home Assistant's word for unknown.
func (h HomeAssistant) diagnostic(name, template string) entity {
	return entity{
		Platform: "sensor", Name: name, StateTopic: h.Topics.Telemetry(), Template: template,
		Category: "diagnostic", ExpireAfter: int((3 * h.TelemetryEvery).Seconds()) + 5,
	}
}
