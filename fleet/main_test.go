package fleet

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/egret-edge/egret/internal/slowdown"
	"github.com/egret-edge/egret/sync/payload"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a wait for something that must happen; it is no promise
// about how long that takes.
var patience = slowdown.Of(60 * time.Second)

// at is when all of these tests' documents and reports are written.
var at = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func newDesk(t testing.TB, change func(*Options)) *Desk {
	t.Helper()
	o := Options{Broker: "tcp://127.0.0.1:1", Fleet: "test", Cohort: "west", Timeout: patience}
	if change != nil {
		change(&o)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (see -update):\n%s\nwant\n%s", path, got, want)
	}
}

// floor is the devices' side of the broker: simulated devices, and whoever else
// writes there.
type floor struct {
	t      *testing.T
	client paho.Client
}

func newFloor(t *testing.T, addr string) *floor {
	t.Helper()
	f := &floor{t, paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("floor").SetAutoReconnect(false))}
	f.wait(f.client.Connect())
	t.Cleanup(func() { f.client.Disconnect(250) })
	return f
}

func (f *floor) wait(token paho.Token) {
	f.t.Helper()
	if !token.WaitTimeout(patience) || token.Error() != nil {
		f.t.Fatalf("the test's own client: %v", token.Error())
	}
}

// retain publishes; an object becomes JSON.
func (f *floor) retain(topic string, message any) {
	f.t.Helper()
	data, ok := message.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(message); err != nil {
			f.t.Fatal(err)
		}
	}
	f.wait(f.client.Publish(topic, 1, true, data))
}

// report publishes a simulated device's report for cohort west.
func (f *floor) report(device string, state payload.ReleaseState, change func(*payload.Reported)) {
	f.t.Helper()
	r := payload.Reported{
		Device: device, Cohort: "west", Boot: 1, Time: at, State: state, Since: at.Add(-5 * time.Minute),
		Serving: map[string]payload.Model{"cats": {Name: "cats", Version: 2}},
	}
	if change != nil {
		change(&r)
	}
	f.retain(payload.Topics{Fleet: "test", Device: device}.Reported(), r)
}

func (f *floor) status(device, state, reason string) {
	f.t.Helper()
	f.retain(payload.Topics{Fleet: "test", Device: device}.Status(), payload.Status{State: state, Reason: reason, Device: device, Version: "1.4.0"})
}

func deviceName(i int) string { return fmt.Sprintf("cam-%04d", i) }

func mustChange(t *testing.T, d *Desk, plan Plan) string {
	t.Helper()
	line, err := d.Change(context.Background(), plan)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func mustStatus(t *testing.T, d *Desk) Status {
	t.Helper()
	s, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
