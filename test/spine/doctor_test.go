package spine

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// verdict is a line of `egret doctor --json`.
type verdict struct {
	Name   string
	OK     bool
	Level  string
	Detail string
}

// doctor runs `egret doctor` and gives the verdicts by name.
func doctor(t *testing.T, c *config) (verdicts map[string]verdict, code int) {
	t.Helper()
	out, errs, code := egret(t, nil, "doctor", "--json", "--config", c.path)
	verdicts = map[string]verdict{}
	for line := range strings.Lines(out) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Detail == "" {
			t.Errorf("%v in %q", err, line)
		}
		if v.OK != (v.Level != "fail") {
			t.Errorf("ok is %v at the level %q", v.OK, v.Level)
		}
		verdicts[v.Name] = v
	}
	if len(verdicts) == 0 {
		t.Fatalf("no verdicts: %s", errs)
	}
	return verdicts, code
}

// TestDoctor: every check has its line; a broker that is not there fails one,
// and the exit code says so.
func TestDoctor(t *testing.T) {
	c := newConfig(t, strings.Replace(offline, "enabled: false", fmt.Sprintf("broker: \"tcp://127.0.0.1:%d\"", freePort(t)), 1))
	all, code := doctor(t, c)
	for name, want := range map[string]bool{"configuration": true, "model classifier": true, "camera cam": true, "broker": false, "updates": true, "API": true, "disk": true, "memory": true} {
		if v, ok := all[name]; !ok || v.OK != want {
			t.Errorf("%s: ok is %v, want %v: %s", name, v.OK, want, v.Detail)
		}
	}
	if _, ok := all["clock"]; !ok {
		t.Error("nothing on the clock") // how it stands is this host's
	}
	if code != 1 || !strings.Contains(all["broker"].Detail, "no broker runs on this machine") {
		t.Errorf("exit code %d: %s", code, all["broker"].Detail)
	}
	if all["configuration"].Detail != c.path {
		t.Errorf("does not say which file: %q", all["configuration"].Detail)
	}
}

// TestDoctorBesideAgent: while an agent has outbox and cameras, the doctor asks
// it instead of taking them; one camera works and one does not.
func TestDoctorBesideAgent(t *testing.T) {
	token := "0123456789abcdef0123456789abcdef"
	c := newConfig(t, "")
	if err := os.WriteFile(c.dir+"/token", []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	c.write(fmt.Sprintf(`
device: dev
state_dir: DIR/state
models: [{name: classifier, path: ROOT/models/%s}]
cameras:
  - {name: good, source: "pattern:?fps=5"}
  - {name: bad, source: "command:false"}
mqtt: {enabled: false}
api: {listen: "127.0.0.1:%d", token_file: DIR/token}
`, classifier, freePort(t)))
	d := started(t, c)
	d.waitLog("dashboard and API")
	d.waitLog("camera failed, trying again")
	all, _ := doctor(t, c)
	for name, want := range map[string]string{
		"camera good": "the running agent has it", "camera bad": "the running agent waits for it",
		"API": "answers and is up since", "disk": "outbox in use by the running agent",
	} {
		if !strings.Contains(all[name].Detail, want) {
			t.Errorf("%s does not say %q: %s", name, want, all[name].Detail)
		}
	}
	if all["camera bad"].OK || !all["camera good"].OK || !all["disk"].OK || !all["API"].OK {
		t.Errorf("wrong levels: %v", all)
	}
	text, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	c.write(strings.Replace(string(text), "pattern:?fps=5", "pattern:?fps=4", 1))
	changed, _ := doctor(t, c)
	if v := changed["camera good"]; v.Level != "warn" || !strings.Contains(v.Detail, "reload egret") {
		t.Errorf("a source that was not reloaded: %v", v)
	}
	d.stop()
}

// TestDoctorWrongHost are faults of the machine that can be made here for real.
func TestDoctorWrongHost(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := newConfig(t, fmt.Sprintf(`
device: dev
state_dir: DIR/state
models: [{name: classifier, path: ROOT/models/%s}]
cameras:
  - {name: gone, source: "v4l2:/dev/video-that-is-not-there"}
  - {name: folder, source: "v4l2:/dev"}
  - {name: program, source: "command:rpicam-vid-of-elsewhere --output -"}
mqtt: {broker: "tcp://no-such-name.invalid:1883"}
api: {listen: %q}
`, classifier, ln.Addr()))
	all, code := doctor(t, c)
	for name, want := range map[string]string{
		"camera gone": "is not there", "camera folder": "is a folder", "camera program": "install it, or write its whole path",
		"broker": "the name no-such-name.invalid is not known here",
		"API":    fmt.Sprintf("(pid %d) has the port", os.Getpid()),
	} {
		if v := all[name]; v.OK || !strings.Contains(v.Detail, want) {
			t.Errorf("%s (ok %v) does not say %q: %s", name, v.OK, want, v.Detail)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(c.dir + "/state"); err == nil {
		t.Error("the doctor left a state folder behind, which would be root's")
	}
}

// TestDoctorBesideSilentAgent: an agent without an API is well, and what it may
// have is neither taken from it nor called broken.
func TestDoctorBesideSilentAgent(t *testing.T) {
	c := newConfig(t, fmt.Sprintf(`
device: dev
state_dir: DIR/state
models: [{name: classifier, path: ROOT/models/%s}]
cameras:
  - {name: program, source: "command:sleep 60"}
mqtt: {enabled: false}
api: {enabled: false}
`, classifier))
	d := started(t, c)
	all, code := doctor(t, c)
	if v := all["camera program"]; v.Level != "warn" || !strings.Contains(v.Detail, "api.enabled is false") {
		t.Errorf("a program's camera: %v", v)
	}
	if v := all["API"]; v.Level != "ok" {
		t.Errorf("an API that is off: %v", v)
	}
	if code != 0 {
		t.Errorf("exit code %d of: %v", code, all)
	}
	d.stop()
}
