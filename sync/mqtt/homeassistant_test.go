package mqtt

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var home = HomeAssistant{
	Prefix: "homeassistant", Topics: topics, Version: "1.0.0",
	Cameras: []string{"front", "back"}, Models: []string{"objects", "birds/back"},
	Temperature: true, Commands: true, TelemetryEvery: 30 * time.Second,
}

// What Home Assistant's documentation lists (home-assistant.io repository,
// source/_integrations, versions with device discovery, that is 2024.11 and
// later).
var (
	// mqtt.markdown, "Device discovery payload": root options; device and
	// origin are required.
	rootKeys = strings.Fields("device origin components availability availability_mode availability_template availability_topic payload_available payload_not_available command_topic state_topic qos encoding")
	// sensor.mqtt.markdown, "device"; the same in button and image.
	deviceKeys = strings.Fields("configuration_url connections hw_version identifiers manufacturer model model_id name serial_number suggested_area sw_version via_device")
	// mqtt.markdown, "origin".
	originKeys = strings.Fields("name sw_version support_url")
	// sensor.mqtt.markdown, "availability".
	availabilityKeys = strings.Fields("payload_available payload_not_available topic value_template")

	componentKeys = map[string]documented{
		// sensor.mqtt.markdown, "configuration".
		"sensor": {
			required: []string{"state_topic"},
			known: strings.Fields(`availability availability_mode availability_template availability_topic device device_class
				enabled_by_default encoding entity_category entity_picture expire_after force_update icon json_attributes_template
				json_attributes_topic last_reset_value_template name object_id options payload_available payload_not_available platform
				suggested_display_precision qos state_class state_topic unique_id unit_of_measurement value_template`),
		},
		// button.mqtt.markdown, "configuration".
		"button": {
			required: []string{"command_topic"},
			known: strings.Fields(`availability availability_mode availability_template availability_topic command_template
				command_topic device device_class enabled_by_default encoding entity_category entity_picture icon json_attributes_template
				json_attributes_topic name object_id payload_available payload_not_available payload_press platform qos retain unique_id`),
		},
		// image.mqtt.markdown, "configuration"; platform by mqtt.markdown,
		// "Device discovery payload".
		"image": {
			required: []string{"image_topic"}, // or url_topic, which is not ours
			known: strings.Fields(`availability availability_mode availability_template availability_topic content_type device
				enabled_by_default encoding entity_category icon image_encoding image_topic json_attributes_template json_attributes_topic
				name object_id platform unique_id url_template url_topic`),
		},
	}
	// Values that the same pages and "Available device classes" and "state
	// classes" of the sensor page allow.
	documentedValues = map[string]map[string][]string{
		"sensor": {"device_class": {"temperature", "duration"}, "state_class": {"measurement", "total_increasing"}, "entity_category": {"diagnostic"}, "unit_of_measurement": {"%", "°C", "ms"}},
		"button": {"device_class": {"restart", "identify", "update"}, "entity_category": {"config", "diagnostic"}},
		"image":  {"content_type": {"image/jpeg", "image/png"}},
	}
)

type documented struct{ required, known []string }

func checkKeys(t *testing.T, where string, m map[string]any, known []string) {
	t.Helper()
	for key := range m {
		if !slices.Contains(known, key) {
			t.Errorf("%s: %q is not documented", where, key)
		}
	}
}

func TestDiscoveryPayloadIsAsDocumented(t *testing.T) {
	body, err := home.Payload(nil)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(body, &root); err != nil {
		t.Fatal(err)
	}
	checkKeys(t, "root", root, rootKeys)
	checkKeys(t, "device", root["device"].(map[string]any), deviceKeys)
	checkKeys(t, "origin", root["origin"].(map[string]any), originKeys)
	if root["origin"].(map[string]any)["name"] == "" || len(root["device"].(map[string]any)["identifiers"].([]any)) != 1 {
		t.Errorf("origin %v and device %v: a name and an identifier are required", root["origin"], root["device"])
	}
	for _, a := range root["availability"].([]any) {
		checkKeys(t, "availability", a.(map[string]any), availabilityKeys)
		if a := a.(map[string]any); a["topic"] != topics.Status() || a["payload_available"] != "online" || a["payload_not_available"] != "offline" {
			t.Errorf("availability %v does not read the status", a)
		}
	}
	seen := map[string]string{}
	for id, c := range root["components"].(map[string]any) {
		c := c.(map[string]any)
		platform, _ := c["platform"].(string)
		doc, ok := componentKeys[platform]
		if !ok {
			t.Errorf("%s: platform %q", id, platform)
			continue
		}
		checkKeys(t, id, c, doc.known)
		for _, key := range append([]string{"name", "unique_id"}, doc.required...) {
			if s, _ := c[key].(string); s == "" {
				t.Errorf("%s: %s is missing", id, key)
			}
		}
		for key, allowed := range documentedValues[platform] {
			if v, there := c[key]; there && !slices.Contains(allowed, v.(string)) {
				t.Errorf("%s: %s is %q, want one of %v", id, key, v, allowed)
			}
		}
		unique := c["unique_id"].(string)
		if seen[unique] != "" {
			t.Errorf("%s and %s have one unique id", id, seen[unique])
		}
		seen[unique] = id
		checkTopics(t, id, c)
	}
}

// checkTopics: what an entity listens and speaks to are the contract's topics.
func checkTopics(t *testing.T, id string, c map[string]any) {
	t.Helper()
	for key, known := range map[string][]string{
		"state_topic":   {topics.Telemetry(), topics.Camera("front"), topics.Camera("back")},
		"image_topic":   {topics.Snapshot("front"), topics.Snapshot("back")},
		"command_topic": {topics.Command("snapshot"), topics.Command("restart-camera")},
	} {
		if v, there := c[key]; there && !slices.Contains(known, v.(string)) {
			t.Errorf("%s: %s %q", id, key, v)
		}
	}
	// Only what comes regularly may expire.
	if _, expires := c["expire_after"]; expires != (c["state_topic"] == topics.Telemetry()) {
		t.Errorf("%s: expire_after %v on %v", id, c["expire_after"], c["state_topic"])
	}
}

// TestDiscoveryPayload: the description, byte for byte.
func TestDiscoveryPayload(t *testing.T) {
	body, err := home.Payload(map[string]string{"camera_gone_label": "sensor", "camera_front_label": "sensor"})
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", "discovery.json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got\n%s", got)
	}
}

func TestDiscoveryLeavesOutWhatIsNotThere(t *testing.T) {
	h := home
	h.Commands, h.Temperature = false, false
	for id, platform := range h.Components() {
		if platform != "sensor" || id == "device_temperature" {
			t.Errorf("%s (%s) without commands and thermometer", id, platform)
		}
	}
	if n := len(h.Components()); n != 2*2+2+2*2 {
		t.Errorf("%d components", n)
	}
	if got := h.Topic(); got != "homeassistant/device/egret_cam-7/config" {
		t.Errorf("topic %q", got)
	}
}
