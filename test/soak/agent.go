package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds every wait: it is no expectation of speed, only the point at
// which something is given up.
const patience = 3 * time.Minute

// The messages of the agent's log that the soak knows.
const (
	saysStarted  = "started"
	saysReloaded = "reloaded"
	saysRefused  = "reload refused, running on as before"
	// TensorFlow Lite writes this to stderr by itself.
	saysDelegate = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
)

// agentProcess is the running bin/egret.
type agentProcess struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its log was read

	mu     sync.Mutex // guards all following fields
	counts map[string]int
	warns  map[string]int
	errs   []string // lines of level error
	strays []string // lines that are no log: a crash, a dump
	more   chan struct{}
}

// startAgent starts the program and waits until it says that it has started.
func startAgent(ctx context.Context, program, config, tmp, log string) (*agentProcess, error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	a := &agentProcess{
		cmd: exec.Command(program, "run", "--config", config), done: make(chan struct{}),
		counts: map[string]int{}, warns: map[string]int{}, more: make(chan struct{}, 1),
	}
	// A process group of its own: Ctrl-C is for the soak, which ends it in order.
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	a.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	// A pipe: a log that the agent wrote to a file would count as its writes.
	pipe, err := a.cmd.StderrPipe()
	if err == nil {
		err = a.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	go func() {
		defer close(a.done)
		defer file.Close()
		a.read(io.TeeReader(pipe, file))
		_ = a.cmd.Wait() // ProcessState tells
	}()
	if err := a.await(ctx, 1, saysStarted); err != nil {
		return nil, errors.Join(err, a.kill())
	}
	return a, nil
}

func (a *agentProcess) pid() int { return a.cmd.Process.Pid }

func (a *agentProcess) read(r io.Reader) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		a.take(sc.Bytes())
	}
	_, _ = io.Copy(io.Discard, r) // after a line without end: the agent must not block on it
}

func (a *agentProcess) take(line []byte) {
	var entry struct{ Level, Msg string }
	err := json.Unmarshal(line, &entry)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case len(bytes.TrimSpace(line)) == 0:
		return
	case err != nil && string(bytes.TrimSpace(line)) == saysDelegate:
		return
	case err != nil:
		a.strays = append(a.strays, string(line))
	case entry.Level == "ERROR" && entry.Msg != saysRefused:
		a.errs = append(a.errs, string(line))
	case entry.Level == "WARN":
		a.warns[entry.Msg]++
	}
	a.counts[entry.Msg]++
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// said is how often the log has had one of these messages.
func (a *agentProcess) said(messages ...string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range messages {
		n += a.counts[m]
	}
	return n
}

// await waits until the log has had the messages n times. One goroutine at a
// time may wait.
func (a *agentProcess) await(ctx context.Context, n int, messages ...string) error {
	timeout := time.After(patience)
	for a.said(messages...) < n {
		select {
		case <-a.more:
		case <-ctx.Done():
			return ctx.Err()
		case <-a.done:
			return fmt.Errorf("the agent has ended (%v): %s", a.cmd.ProcessState, a.lastWords())
		case <-timeout:
			return fmt.Errorf("the agent did not say %q within %v", strings.Join(messages, " or "), patience)
		}
	}
	return nil
}

func (a *agentProcess) lastWords() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := append(append([]string{}, a.errs...), a.strays...)
	if len(all) == 0 {
		return "without a word"
	}
	return all[len(all)-1]
}

// reload has the agent read its configuration again; it tells whether the
// agent took it.
func (a *agentProcess) reload(ctx context.Context) (took bool, err error) {
	before := a.said(saysReloaded)
	n := a.said(saysReloaded, saysRefused)
	if err := a.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return false, err
	}
	err = a.await(ctx, n+1, saysReloaded, saysRefused)
	return a.said(saysReloaded) > before, err
}

// stop ends it as systemd does: its exit code.
func (a *agentProcess) stop() (int, error) {
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("end the agent: %w", err)
	}
	select {
	case <-a.done:
		return a.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, errors.Join(fmt.Errorf("the agent did not end within %v of SIGTERM", patience), a.kill())
	}
}

// kill ends it if it still runs.
func (a *agentProcess) kill() error {
	err := a.cmd.Process.Kill()
	<-a.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
