// Package localapi proves the local interface with the real agent: its servers,
// its models and its cameras behind every call, and clients of good and of bad
// will in front of them.
package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/internal/slowdown"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/smallmodel"
)

// root is the repository's.
var root string

// buildDir is where the program is built.
var buildDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// The agent tries models in a process of its own program.
		if len(os.Args) > 2 && os.Args[1] == "probe" {
			if err := agent.ServeProbe(os.Stdin, os.Stdout); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return 0
		}
		var err error
		if root, err = filepath.Abs("../.."); err == nil {
			buildDir, err = os.MkdirTemp("", "egret-localapi-")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(buildDir)
		return m.Run()
	}())
}

// program builds egret once, for the tests that need a process of its own.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "egret")
	build := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", path, "./cmd/egret")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build egret: %v\n%s", err, out)
	}
	return path, nil
})

// patience bounds every wait in these tests: it is no expectation of speed,
// only the point at which a broken program is given up.
var patience = slowdown.Of(60 * time.Second)

// mobilenet is the classifier that make deps brings.
const mobilenet = "models/mobilenet_v1_1.0_224_quant"

// peacocks is a device whose camera c shows a peacock to model m, at API and
// gRPC addresses of its own. What stands in %s is added to api.
const peacocks = `
device: cam-7
state_dir: DIR/state
models: [{name: m, path: ROOT/` + mobilenet + `}]
cameras: [{name: c, source: "folder:ROOT/samples/classify?fps=10&loop=true"}]
mqtt: {enabled: false}
inference: {delegate: cpu, threads: 1}
api: {listen: "LISTEN", %s}
`

// colours is a device with a small model m, whose versions lie in DIR/m, and a
// camera c of FPS frames a second. What stands in %s is added to api.
const colours = `
device: cam-7
state_dir: DIR/state
models: [{name: m, path: DIR/m/1}]
cameras: [{name: c, source: "pattern:?fps=FPS&size=96x96"}]
mqtt: {enabled: false}
inference: {delegate: cpu, threads: 1}
api: {listen: "LISTEN", %s}
`

// version makes a version of a device's small model.
func (d *device) version(n int, o smallmodel.Options) {
	d.t.Helper()
	if err := smallmodel.WriteBundle(filepath.Join(d.dir, "m", fmt.Sprint(n)), o); err != nil {
		d.t.Fatal(err)
	}
}

// coloured is a picture of a class of the small model, as PNG.
func coloured(t *testing.T, class int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, smallmodel.Picture(class, 96)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// device is a running agent.
type device struct {
	t      *testing.T
	dir    string // of the configuration
	url    string
	listen string
	client *http.Client
	log    *lines
	reload func()
	// stop ends it in order, as often as it is called.
	stop   func()
	pid    int           // of a process of its own; else 0
	frames atomic.Uint64 // predicted by the agent in this process
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) count(text string) int { return strings.Count(l.String(), text) }

// newDevice prepares a device; nothing runs yet.
func newDevice(t *testing.T, yaml string) *device {
	t.Helper()
	d := &device{t: t, dir: t.TempDir(), listen: freePort(t), log: &lines{}}
	d.url = "http://" + d.listen
	d.client = newClient(t)
	d.write(yaml)
	t.Cleanup(func() {
		if t.Failed() {
			log := d.log.String()
			t.Logf("log of the agent:\n%s", log[max(0, len(log)-10_000):])
		}
	})
	return d
}

// newClient has connections of its own, which end with the test.
func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// write replaces the configuration. ROOT, DIR and LISTEN stand for the
// repository, the configuration's own folder and the API's address.
func (d *device) write(yaml string) {
	d.t.Helper()
	yaml = strings.NewReplacer("ROOT", root, "DIR", d.dir, "LISTEN", d.listen).Replace(yaml)
	if err := os.WriteFile(d.config(), []byte(yaml), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) config() string { return filepath.Join(d.dir, "egret.yaml") }

// begin runs the agent in this process, under the race detector if there is
// one, and waits until it has started.
func (d *device) begin() *device {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	again, ended := make(chan os.Signal, 1), make(chan error, 1)
	log := slog.New(slog.NewTextHandler(d.log, nil))
	go func() {
		ended <- agent.Run(ctx, agent.Options{ConfigPath: d.config(), Version: "test", Log: log, Reload: again,
			OnPrediction: func(*payload.Prediction) { d.frames.Add(1) },
		})
	}()
	d.reload = func() { again <- syscall.SIGHUP }
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Errorf("the agent ended: %v", err)
		}
	})
	d.t.Cleanup(d.stop)
	d.eventually("the start", func() bool { return d.log.count("msg=started") > 0 })
	return d
}

// beginChild runs the built program.
func (d *device) beginChild() *device {
	d.t.Helper()
	path, err := program()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(path, "run", "--config", d.config())
	cmd.Stdout, cmd.Stderr = d.log, d.log
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	d.reload = func() { _ = cmd.Process.Signal(syscall.SIGHUP) }
	d.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				d.t.Errorf("the agent ended: %v, want exit code 0", err)
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
			d.t.Error("the agent did not end")
		}
	})
	d.t.Cleanup(d.stop)
	d.eventually("the start", func() bool { return d.log.count("msg=started") > 0 })
	d.answers()
	return d
}

// answers waits until the API does.
func (d *device) answers() *device {
	d.t.Helper()
	d.eventually("an answer of the API", func() bool {
		res, err := d.client.Get(d.url + "/healthz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return d
}

// reloaded has the configuration read again and waits for it.
func (d *device) reloaded() {
	d.t.Helper()
	before := d.log.count("msg=reloaded")
	d.reload()
	d.eventually("the reload", func() bool { return d.log.count("msg=reloaded") > before })
}

// deadline tells, after a moment, whether it is time to give up.
func (d *device) deadline() func() bool {
	end := time.Now().Add(patience)
	return func() bool {
		time.Sleep(10 * time.Millisecond)
		return time.Now().After(end)
	}
}

// eventually polls until ok.
func (d *device) eventually(what string, ok func() bool) {
	d.t.Helper()
	for over := d.deadline(); !ok(); {
		if over() {
			d.t.Fatalf("%s never came", what)
		}
	}
}

// get is a path's status and body.
func (d *device) get(path string) (int, string) {
	d.t.Helper()
	res, err := d.client.Get(d.url + path)
	if err != nil {
		d.t.Fatal(err)
	}
	return res.StatusCode, text(d.t, res)
}

// post sends a body; contentType may be empty.
func (d *device) post(path, contentType string, body []byte) (*http.Response, string, error) {
	res, err := d.client.Post(d.url+path, contentType, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res, string(answer), err
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// state is what /api/status tells.
func (d *device) state() (s api.State) {
	d.t.Helper()
	status, body := d.get("/api/status")
	if status != http.StatusOK {
		d.t.Fatalf("/api/status: %d %s", status, body)
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// predicted is how many frames of the first camera were.
func (d *device) predicted() uint64 {
	d.t.Helper()
	return d.state().Cameras[0].Predicted
}

// goesOn waits for n more predictions of the first camera.
func (d *device) goesOn(n uint64) {
	d.t.Helper()
	before := d.predicted()
	d.eventually(fmt.Sprintf("%d more predictions of the camera", n), func() bool { return d.predicted() >= before+n })
}

// freePort is an address on which nothing listened a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// file reads one of the repository's.
func file(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
