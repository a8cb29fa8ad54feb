// Package spine tests the daemon as its users meet it: the built program, a
// real broker, the real models, and faults.
package spine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/egret-edge/egret/internal/slowdown"
	"github.com/egret-edge/egret/sync/payload"
)

// program is the built egret; root is the repository's.
var program, root string

// buildFlags are what the program is built with.
var buildFlags []string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "egret-spine-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "egret")
		if root, err = filepath.Abs("../.."); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", program, "./cmd/egret")...)
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build egret: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// patience bounds every wait in these tests: it is no expectation of speed,
// only the point at which a broken program is given up.
var patience = slowdown.Of(60 * time.Second)

// config is a configuration file in a folder of its own, with defaults that
// suit a test.
type config struct {
	t    *testing.T
	path string
	dir  string
	api  int // its port, where the test has no settings of the API
}

const classifier = "mobilenet_v1_1.0_224_quant"

func newConfig(t *testing.T, yaml string) *config {
	t.Helper()
	dir := t.TempDir()
	c := &config{t: t, dir: dir, path: filepath.Join(dir, "egret.yaml")}
	c.write(yaml)
	return c
}

// write replaces the file; ROOT and DIR stand for the repository and the
// configuration's own folder. What runs the models is fixed unless it is the
// test's business: a sweep at each start would take most of the time.
func (c *config) write(yaml string) {
	c.t.Helper()
	if !strings.Contains(yaml, "inference:") {
		yaml += fmt.Sprintf("\ninference: {delegate: cpu, threads: 1, probe_timeout: %s}\n", slowdown.Of(20*time.Second))
	}
	if !strings.Contains(yaml, "api:") {
		if c.api == 0 {
			c.api = freePort(c.t)
		}
		yaml += fmt.Sprintf("\napi: {listen: \"127.0.0.1:%d\"}\n", c.api)
	}
	yaml = strings.NewReplacer("ROOT", root, "DIR", c.dir).Replace(yaml)
	if err := os.WriteFile(c.path, []byte(yaml), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// daemon is a running `egret run`.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *lines
	done chan struct{}
}

// lines collects a stream and can be waited on.
type lines struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func newLines() *lines { return &lines{more: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// run starts the daemon; the test's end kills it if it still runs.
func run(t *testing.T, c *config, more ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, log: newLines(), done: make(chan struct{})}
	d.cmd = exec.Command(program, append([]string{"run", "--config", c.path}, more...)...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = d.cmd.Wait(); close(d.done) }()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.done
		if t.Failed() {
			t.Logf("log of the daemon:\n%s", d.log)
		}
	})
	return d
}

// started runs the daemon and waits until it says that it has started.
func started(t *testing.T, c *config) *daemon {
	t.Helper()
	d := run(t, c)
	d.waitLog("msg=started")
	return d
}

// waitLog waits until the log holds text.
func (d *daemon) waitLog(text string) {
	d.t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(d.log.String(), text) {
		select {
		case <-d.log.more:
		case <-d.done:
			if !strings.Contains(d.log.String(), text) {
				d.t.Fatalf("the daemon ended (%v) and never said %q:\n%s", d.cmd.ProcessState, text, d.log)
			}
		case <-deadline:
			d.t.Fatalf("the daemon never said %q:\n%s", text, d.log)
		}
	}
}

// stop ends the daemon as systemd does and returns its exit code.
func (d *daemon) stop() int {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	return d.wait()
}

func (d *daemon) wait() int {
	d.t.Helper()
	select {
	case <-d.done:
	case <-time.After(patience):
		d.t.Fatalf("the daemon did not end:\n%s", d.log)
	}
	return d.cmd.ProcessState.ExitCode()
}

// kill ends it as a power cut does.
func (d *daemon) kill() {
	d.t.Helper()
	_ = d.cmd.Process.Kill()
	<-d.done
}

// egret runs a short command and returns what it printed and its exit code.
func egret(t *testing.T, stdin []byte, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("egret %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// stat is the account that `egret outbox stat` reads from a stopped agent.
func stat(t *testing.T, c *config) payload.Account {
	t.Helper()
	out, errs, code := egret(t, nil, "outbox", "stat", "--json", "--config", c.path)
	if code != 0 {
		t.Fatalf("egret outbox stat: exit %d: %s", code, errs)
	}
	var acc payload.Account
	if err := json.Unmarshal([]byte(out), &acc); err != nil {
		t.Fatalf("egret outbox stat --json: %v in %q", err, out)
	}
	return acc
}

// freePort is a loopback port that nothing listened on a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
