package spine

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/mosquitto"
)

// steady is a configuration that makes a prediction of every frame.
const steady = `
device: dev
state_dir: DIR/state
models:
  - {name: classifier, path: ROOT/models/` + classifier + `, top_k: 1, threshold: 0}
cameras:
  - {name: cam, source: "pattern:?size=64x64&fps=20"}
outbox: {flush_interval: 200ms}
telemetry: {interval: 1s}
mqtt: {broker: %q}
`

// TestDemo is what `make run` does: both default models on their sample
// pictures, to the embedded broker.
func TestDemo(t *testing.T) {
	port := freePort(t)
	c := newConfig(t, fmt.Sprintf(`
device: demo
state_dir: DIR/state
models:
  - {name: classifier, path: ROOT/models/%s}
  - {name: detector, path: ROOT/models/ssd_mobilenet_v1_quant, threshold: 0.5}
cameras:
  - {name: bird, source: "folder:ROOT/samples/classify?fps=5&loop=true", model: classifier}
  - {name: street, source: "folder:ROOT/samples/detect?fps=5&loop=true", model: detector}
mqtt: {embedded: true, embedded_listen: "127.0.0.1:%d"}
`, classifier, port))
	d := started(t, c)
	s := subscribe(t, fmt.Sprintf("tcp://127.0.0.1:%d", port))
	s.waitCount(10)
	s.wait("the retained state of both cameras, status and telemetry", func() bool {
		return len(s.latest) >= 2 && len(s.status) > 0 && len(s.telemetry) > 0
	})
	s.mu.Lock()
	for _, p := range s.byID {
		checkDemo(t, p)
	}
	if st := s.status[0]; st.State != payload.Online || st.Device != "demo" || st.Boot != 1 {
		t.Errorf("status %+v, want demo online in boot 1", st)
	}
	tm := s.telemetry[len(s.telemetry)-1]
	if tm.Models["classifier"].Delegate != "cpu" || len(tm.Cameras) != 2 {
		t.Errorf("telemetry %+v, want two cameras and the classifier on cpu", tm)
	}
	s.mu.Unlock()
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := d.wait(); code != 0 {
		t.Errorf("exit code %d after SIGINT, want 0", code)
	}
	s.wait("the farewell", func() bool {
		last := s.status[len(s.status)-1]
		return last.State == payload.Offline && last.Reason == "shutdown"
	})
	acc := stat(t, c)
	if sum := acc.Acknowledged + acc.Stored; acc.Produced != sum || acc.Produced < 10 {
		t.Errorf("account %+v does not add up", acc)
	}
	if n := s.complete("demo", 1); n != acc.Acknowledged {
		t.Errorf("received %d predictions, the account says %d were acknowledged", n, acc.Acknowledged)
	}
}

func checkDemo(t *testing.T, p payload.Prediction) {
	t.Helper()
	if len(p.Results) == 0 {
		t.Errorf("%s of camera %s has no results", p.ID, p.Camera)
		return
	}
	if (p.Clock == payload.ClockUnsynced) != (p.BootID != "" && p.UptimeUs > 0) {
		t.Errorf("%s is %s with uptime %d of boot %q", p.ID, p.Clock, p.UptimeUs, p.BootID)
	}
	top := p.Results[0]
	switch p.Camera {
	case "bird":
		if top.Label != "peacock" || p.Task != payload.Classify || p.File != "peacock.png" {
			t.Errorf("%s: %s in %q by %s, want peacock in peacock.png", p.ID, top.Label, p.File, p.Task)
		}
	case "street":
		if p.Task != payload.Detect || top.Box == nil || !(top.Box[0] < top.Box[2] && top.Box[1] < top.Box[3]) {
			t.Errorf("%s: %+v by %s, want an object with a box", p.ID, top, p.Task)
		}
	default:
		t.Errorf("%s is of an unknown camera %q", p.ID, p.Camera)
	}
}

// TestBrokerAway stops the broker in the middle: afterwards every prediction
// has arrived, exactly as many as the agent says it made.
func TestBrokerAway(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{Persistence: true})
	s := subscribe(t, "tcp://"+b.Addr())
	c := newConfig(t, fmt.Sprintf(steady, "tcp://"+b.Addr()))
	d := started(t, c)
	s.waitCount(20)
	b.Stop()
	d.waitLog("keeping results until it is back")
	waitStored(t, c)
	b.Restart()
	s.mu.Lock()
	before := len(s.byID)
	s.mu.Unlock()
	s.waitCount(before + 40)
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	finish(t, c, s, b)
}

// waitStored waits for a flush from now on: the outbox's file is written only
// when something is held that no broker has acknowledged.
func waitStored(t *testing.T, c *config) {
	t.Helper()
	path, at := filepath.Join(c.dir, "state", "outbox.db"), time.Now()
	waitFor(t, "the outbox to be written", func() bool { return modTimeAfter(path, at) })
}

// finish delivers what the last run left, then checks that the subscriber has
// exactly what the account says was produced.
func finish(t *testing.T, c *config, s *subscriber, b *mosquitto.Broker) {
	t.Helper()
	for range 3 {
		acc := stat(t, c)
		if acc.Stored == 0 {
			break
		}
		c.write(fmt.Sprintf(strings.Replace(steady, "fps=20", "fps=20&frames=1", 1), "tcp://"+b.Addr()))
		d := started(t, c)
		want := int(acc.Produced) - int(sumOf(acc.Dropped))
		s.waitCount(want)
		d.stop()
	}
	acc := stat(t, c)
	if acc.Stored != 0 || sumOf(acc.Dropped) != 0 || acc.Produced != acc.Acknowledged {
		t.Errorf("account %+v: want everything acknowledged", acc)
	}
	s.waitCount(int(acc.Produced))
	total := uint64(0)
	for boot := uint64(1); boot <= 4; boot++ {
		total += s.complete("dev", boot)
	}
	if total != acc.Produced {
		t.Errorf("received %d different predictions, produced were %d", total, acc.Produced)
	}
	t.Logf("%d predictions produced and received, %d more than once", total, s.duplicates)
}

func sumOf(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// TestBacklogSurvivesRestart runs without any broker, then with one.
func TestBacklogSurvivesRestart(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{Persistence: true})
	s := subscribe(t, "tcp://"+b.Addr())
	b.Stop()
	c := newConfig(t, fmt.Sprintf(strings.Replace(steady, "fps=20", "fps=20&frames=60", 1), "tcp://"+b.Addr()))
	d := started(t, c)
	d.waitLog("source ended")
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d without a broker, want 0", code)
	}
	acc := stat(t, c)
	if acc.Stored == 0 || acc.Stored != acc.Produced {
		t.Fatalf("account %+v: want all that was produced on disk", acc)
	}
	out, _, code := egret(t, nil, "outbox", "export", "--config", c.path)
	if got := strings.Count(out, "\n"); code != 0 || got != int(acc.Stored) {
		t.Errorf("egret outbox export: exit %d and %d lines, want 0 and %d", code, got, acc.Stored)
	}
	b.Restart()
	finish(t, c, s, b)
}

// TestKill ends the agent with kill -9 while no broker is there: what was
// flushed is delivered by the next start, from the first on without a gap.
func TestKill(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{Persistence: true})
	s := subscribe(t, "tcp://"+b.Addr())
	b.Stop()
	c := newConfig(t, fmt.Sprintf(steady, "tcp://"+b.Addr()))
	d := started(t, c)
	waitStored(t, c)
	time.Sleep(time.Second) // let it work for a while: what is lost must be the end, not the middle
	d.kill()
	acc := stat(t, c)
	if acc.Stored == 0 {
		t.Fatalf("account %+v after kill -9: want predictions on disk", acc)
	}
	b.Restart()
	d = started(t, c)
	s.waitCount(int(acc.Stored) + 20)
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if n := s.complete("dev", 1); n != acc.Stored {
		t.Errorf("boot 1: received %d predictions, %d were on disk after kill -9", n, acc.Stored)
	}
	finish(t, c, s, b)
}

// TestPasswordRefused: a broker that says no is tried again; the agent works
// on and keeps everything.
func TestPasswordRefused(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{User: "egret", Password: "right"})
	c := newConfig(t, fmt.Sprintf(steady, "tcp://"+b.Addr()))
	d := started(t, c)
	d.waitLog("refuses the connection")
	waitStored(t, c)
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if acc := stat(t, c); acc.Stored == 0 || acc.Stored != acc.Produced {
		t.Errorf("account %+v: want all that was produced on disk", acc)
	}
}
