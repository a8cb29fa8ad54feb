package spine

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/egret-edge/egret/test/mosquitto"
	"github.com/egret-edge/egret/test/smallmodel"
)

// TestRemoteLog: a camera that fails makes a warning appear at the broker,
// without its password; a flood is limited and counted; what is said while the
// broker is away arrives when it is back; a reload switches it off and on.
func TestRemoteLog(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{Persistence: true})
	sub := subscribe(t, "tcp://"+b.Addr())
	c := newConfig(t, "")
	if err := smallmodel.WriteBundle(c.dir+"/model", smallmodel.Options{Side: 32, Channels: 16, Layers: 2}); err != nil {
		t.Fatal(err)
	}
	configure := func(log, more string) {
		c.write(fmt.Sprintf(`
device: dev
state_dir: DIR/state
models: [{name: small, path: DIR/model}]
cameras: [{name: front, source: "http://user:geheim@127.0.0.1:%d/still.jpg?key=geheim"}]
mqtt: {broker: "tcp://%s", commands: true}
api: {enabled: false}
log: {mqtt: {%s}}
%s`, freePort(t), b.Addr(), log, more))
	}
	configure("enabled: true, per_minute: 5", "")
	d := started(t, c)
	has := func(msg string, want int) func() bool {
		return func() bool {
			n := 0
			for _, m := range sub.logs {
				if m.Msg == msg {
					n++
				}
			}
			return n >= want
		}
	}
	counted := func(text string, n int) {
		t.Helper()
		waitFor(t, fmt.Sprintf("%d times %q", n, text), func() bool { return strings.Count(d.log.String(), text) >= n })
	}
	reload := func() {
		t.Helper()
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	command := func() {
		t.Helper()
		if tok := sub.client.Publish("egret/v1/default/dev/dev/command/restart-camera", 1, false, `{"camera":"frnt"}`); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatalf("publish a command: %v", tok.Error())
		}
	}

	sub.wait("the camera's failure", has("camera failed, trying again", 1))
	sub.mu.Lock()
	first := sub.logs[0]
	sub.mu.Unlock()
	if first.Device != "dev" || first.Boot != 1 || first.Level != "warn" || !strings.Contains(string(first.Attrs), `"camera":"front"`) || first.Time.IsZero() {
		t.Errorf("the camera's failure is %+v", first)
	}

	d.waitLog("connected to broker")
	const flood = 15
	for range flood {
		command()
	}
	counted("command failed", flood)
	configure("enabled: true, per_minute: 600", "") // a rate of its own, from full
	reload()
	counted("msg=reloaded", 1)
	command()
	sub.wait("what was left out", func() bool {
		n := len(sub.logs)
		return n > 0 && sub.logs[n-1].Seq >= flood+2
	})
	sub.mu.Lock()
	sent := len(sub.logs)
	sub.mu.Unlock()
	if sent >= flood {
		t.Errorf("%d messages of a flood of %d were sent, with 5 a minute", sent, flood)
	}

	b.Stop()
	d.waitLog("unreachable")
	configure("enabled: true, per_minute: 600", "modles: []")
	for i := range 3 {
		reload()
		counted("reload refused", i+1)
	}
	b.Restart()
	sub.wait("what was said while the broker was away", has("reload refused, running on as before", 3))

	configure("enabled: false", "")
	reload()
	counted("msg=reloaded", 2)
	configure("enabled: false", "modles: []")
	reload()
	counted("reload refused", 4)
	configure("enabled: true", "")
	reload()
	counted("msg=reloaded", 3)
	configure("enabled: true", "moodels: []")
	reload()
	sub.wait("the fourth error, of five", has("reload refused, running on as before", 4))
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	checkLogs(t, sub)
}

// checkLogs: nothing is missing that is not said to be, and nothing is told that
// is for the device alone.
func checkLogs(t *testing.T, sub *subscriber) {
	t.Helper()
	sub.mu.Lock()
	defer sub.mu.Unlock()
	last := uint64(0)
	for _, m := range sub.logs {
		if m.Seq == last { // sent again, as QoS 1 may be
			continue
		}
		if m.Seq != last+1+m.Suppressed {
			t.Errorf("number %d with %d left out follows %d", m.Seq, m.Suppressed, last)
		}
		last = m.Seq
		text := m.Msg + string(m.Attrs)
		if strings.Contains(text, "geheim") {
			t.Errorf("a password is in %s", text)
		}
		if strings.Contains(text, "unreachable") {
			t.Errorf("the connection's own state is told over the connection: %s", text)
		}
	}
	if text := string(sub.logs[len(sub.logs)-1].Attrs); !strings.Contains(text, "moodels") {
		t.Errorf("at last came %s, want the error after it was switched on again", text)
	}
}
