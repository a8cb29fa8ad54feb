package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// whole measures the running agent: its memory and its start, over those of
// the baseline with the same model, delegate and threads.
func (m *bench) whole(ctx context.Context) error {
	config, err := m.config()
	if err != nil {
		return err
	}
	var starts, memory []float64
	for i := range 6 {
		raw, err := m.startRaw(ctx, m.choice.Threads)
		if err != nil {
			return err
		}
		if _, err := raw.run(20); err != nil {
			return err
		}
		base, err := raw.ask("rss")
		raw.end()
		if err != nil {
			return err
		}
		took, rss, err := m.agent(ctx, config)
		if err != nil {
			return err
		}
		if i == 0 { // it chose its delegate, which later starts remember
			continue
		}
		starts = append(starts, (took-raw.start).Seconds()*1e3)
		memory = append(memory, float64(rss-base)*1024/1e6)
	}
	m.add("rss_over_raw_mb", median(memory), "MB", budget(25), true)
	m.add("startup_ms_over_raw", median(starts), "ms", nil, true)
	return nil
}

// config is an agent with one camera at 10 frames a second, an outbox, a
// broker of its own and the local interface.
func (m *bench) config() (string, error) {
	frames := filepath.Join(m.dir, "frames")
	if err := os.MkdirAll(frames, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(frames, "frame.jpg"), m.frame.Image.Data, 0o644); err != nil {
		return "", err
	}
	model, err := filepath.Abs(m.bundle.Path())
	if err != nil {
		return "", err
	}
	addr, err := freeAddr()
	if err != nil {
		return "", err
	}
	apiAddr, err := freeAddr()
	if err != nil {
		return "", err
	}
	path := filepath.Join(m.dir, "egret.yaml")
	text := fmt.Sprintf(`device: bench
state_dir: %s
models: [{name: m, path: %s}]
cameras: [{name: c, source: "folder:%s?fps=10&loop=true"}]
inference: {delegate: [%s], threads: %d}
mqtt: {embedded: true, embedded_listen: "%s"}
api: {listen: "%s"}
`, filepath.Join(m.dir, "state"), model, frames, m.choice.Delegate, m.choice.Threads, addr, apiAddr)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// agent runs the program for some seconds: how long until it was ready, and
// its resident memory in KiB at the end.
func (m *bench) agent(ctx context.Context, config string) (took time.Duration, rss int64, err error) {
	socket := filepath.Join(m.dir, "notify")
	_ = os.Remove(socket)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	cmd := exec.CommandContext(ctx, m.egret, "run", "--config", config)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	var log bytes.Buffer
	cmd.Stderr = &log
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if e := cmd.Wait(); e != nil && err == nil {
			err = fmt.Errorf("the agent failed: %w\n%s", e, log.Bytes())
		}
	}()
	if err := awaitReady(conn); err != nil {
		return 0, 0, fmt.Errorf("%w\n%s", err, log.Bytes())
	}
	took = time.Since(start)
	select {
	case <-time.After(4 * time.Second):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	rss, err = residentKiB(cmd.Process.Pid)
	return took, rss, err
}

func awaitReady(conn *net.UnixConn) error {
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("the agent did not get ready: %w", err)
		}
		if strings.Contains(string(buf[:n]), "READY=1") {
			return nil
		}
	}
}

func residentKiB(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}
