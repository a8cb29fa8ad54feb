package spine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/mosquitto"
	"github.com/egret-edge/egret/test/smallmodel"
)

const (
	discoveryTopic = "homeassistant/device/egret_dev/config"
	deviceTopic    = "egret/v1/default/dev/dev/"
)

// retained is the first retained message that mosquitto_sub shows of Home
// Assistant's topics or, when there is none there, of the device's status.
func retained(t *testing.T, b *mosquitto.Broker) (topic, text string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(b.Addr())
	out, err := exec.Command("mosquitto_sub", "-h", host, "-p", port, "-q", "1", "--retained-only",
		"-t", "homeassistant/#", "-t", deviceTopic+"status", "-C", "1", "-W", "60", "-F", "%r %q %t %p").CombinedOutput()
	if err != nil {
		t.Fatalf("mosquitto_sub: %v: %s (apt-get install mosquitto-clients)", err, out)
	}
	if len(out) == 0 { // something live came first, and nothing retained
		return "", ""
	}
	rest, ok := strings.CutPrefix(string(out), "1 1 ")
	if !ok {
		t.Fatalf("not retained at QoS 1: %s", out)
	}
	topic, text, _ = strings.Cut(strings.TrimSpace(rest), " ")
	return topic, text
}

// TestHomeAssistant: the device is described while it is wanted, a reload takes
// the description back, and the described buttons and pictures work.
func TestHomeAssistant(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{})
	c := newConfig(t, "")
	if err := smallmodel.WriteBundle(c.dir+"/model", smallmodel.Options{Side: 32, Channels: 16, Layers: 2}); err != nil {
		t.Fatal(err)
	}
	configure := func(mqtt, cameras string) {
		c.write(fmt.Sprintf(`
device: dev
state_dir: DIR/state
models: [{name: small, path: DIR/model}]
cameras: [%s]
mqtt: {broker: "tcp://%s", %s}
`, cameras, b.Addr(), mqtt))
	}
	const front, back = `{name: front, source: "pattern:?size=64x48&fps=20"}`, `{name: back, source: "pattern:?size=64x48&fps=20"}`
	configure("commands: true, homeassistant: {enabled: true}", front+","+back)
	d := started(t, c)
	d.waitLog("connected to broker")
	var described struct {
		Components map[string]struct {
			CommandTopic string `json:"command_topic"`
			PayloadPress string `json:"payload_press"`
			ImageTopic   string `json:"image_topic"`
		}
	}
	describe := func(what string, ok func() bool) {
		t.Helper()
		for range 600 {
			topic, text := retained(t, b)
			described.Components = nil
			if topic == discoveryTopic {
				if err := json.Unmarshal([]byte(text), &described); err != nil {
					t.Fatalf("%v in %s", err, text)
				}
			}
			if ok() {
				return
			}
		}
		t.Fatalf("never %s: %+v", what, described)
	}
	has := func(id string) bool { _, ok := described.Components[id]; return ok }
	describe("described", func() bool { return has("camera_back_label") })

	reload := func(times int) {
		t.Helper()
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		deadline := time.After(patience)
		for strings.Count(d.log.String(), "msg=reloaded") < times {
			select {
			case <-d.log.more:
			case <-deadline:
				t.Fatal("it never reloaded")
			case <-d.done:
				t.Fatal("it ended")
			}
		}
	}
	configure("commands: true, homeassistant: {enabled: true}", front)
	reload(1)
	describe("described without the camera that is gone", func() bool { return has("camera_front_label") && !has("camera_back_label") })

	take, picture := described.Components["camera_front_take"], described.Components["camera_front_snapshot"]
	pressAndLook(t, b, take.CommandTopic, take.PayloadPress, picture.ImageTopic)

	configure("commands: true", front)
	reload(2)
	describe("taken back", func() bool { return described.Components == nil })
	if code := d.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// pressAndLook does what a button in Home Assistant does, and what an engineer
// does who wants an answer.
func pressAndLook(t *testing.T, b *mosquitto.Broker, commandTopic, press, imageTopic string) {
	t.Helper()
	got := make(chan paho.Message, 64)
	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + b.Addr()).SetClientID("operator"))
	wait := func(token paho.Token) {
		t.Helper()
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	wait(client.Connect())
	defer client.Disconnect(100)
	wait(client.SubscribeMultiple(map[string]byte{imageTopic: 1, deviceTopic + "reply/+": 1}, func(_ paho.Client, m paho.Message) { got <- m }))
	next := func() paho.Message {
		t.Helper()
		select {
		case m := <-got:
			return m
		case <-time.After(patience):
			t.Fatal("no answer")
			return nil
		}
	}
	wait(client.Publish(commandTopic, 1, false, press))
	m := next()
	if cfg, err := jpeg.DecodeConfig(bytes.NewReader(m.Payload())); err != nil || m.Topic() != imageTopic || m.Retained() || cfg.Width != 64 {
		t.Errorf("%s: %+v, %v", m.Topic(), cfg, err)
	}
	for _, command := range []string{"diagnose", "restart-camera", "set"} {
		body := `{"id":"a1"}`
		if command == "set" {
			body = `{"id":"a1","max_fps":5}`
		}
		wait(client.Publish(deviceTopic+"command/"+command, 1, false, body))
		m := next()
		var r payload.Reply
		if err := json.Unmarshal(m.Payload(), &r); err != nil || r.ID != "a1" || r.Command != command || !r.OK || m.Topic() != deviceTopic+"reply/a1" {
			t.Errorf("%s: %+v, %v in %s", command, r, err, m.Payload())
		}
	}
}
