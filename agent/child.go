package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// child is one run of this program as a trial process ("egret probe -").
type child struct {
	program string // empty: this one
	input   []byte
	timeout time.Duration
	started bool // whether there ever was a process
}

var errHung = errors.New("no answer")

// maxChildOutput bounds what is kept of a child's words; more is thrown away.
const maxChildOutput = 64 << 10

// run gives the child's output, or says in one line how it ended.
func (c *child) run(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	type answer struct {
		output []byte
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		// Linux sends the parent-death signal when the thread that started the
		// program ends, not the process: keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		output, err := c.exec(ctx)
		done <- answer{output, err}
	}()
	a := <-done
	return a.output, a.err
}

func (c *child) exec(ctx context.Context) ([]byte, error) {
	exe := c.program
	if exe == "" {
		var err error
		if exe, err = self(); err != nil {
			return nil, fmt.Errorf("start a trial process: %w", err)
		}
	}
	stdout, stderr := &tail{limit: maxChildOutput}, &tail{limit: maxChildOutput}
	cmd := exec.CommandContext(ctx, exe, "probe", "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.input), stdout, stderr
	cmd.WaitDelay = 2 * time.Second // a driver's own child may hold the pipes
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a trial process: %w", err)
	}
	c.started = true
	err := cmd.Wait()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%w within %v: killed", errHung, c.timeout)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return nil, ended(cmd.ProcessState, stderr.buf)
	}
	return stdout.buf, nil
}

// ended says how a process died. Go catches the signals of a crash in native
// code, says so on standard error in the form "SIGSEGV: segmentation
// violation" before its registers, and exits with code 2.
func ended(s *os.ProcessState, stderr []byte) error {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return fmt.Errorf("crashed (%v)", status.Signal())
	}
	for line := range bytes.Lines(stderr) {
		if name, what, ok := bytes.Cut(bytes.TrimSpace(line), []byte(": ")); ok && bytes.HasPrefix(name, []byte("SIG")) {
			return fmt.Errorf("crashed (%s)", what)
		}
	}
	if last := lastLine(stderr); len(last) > 0 {
		return fmt.Errorf("ended with exit code %d: %s", s.ExitCode(), last)
	}
	return fmt.Errorf("ended with exit code %d", s.ExitCode())
}

// self is this very program, also after its file was replaced by an upgrade.
func self() (string, error) {
	const link = "/proc/self/exe"
	if _, err := os.Stat(link); err == nil {
		return link, nil
	}
	return os.Executable()
}

func lastLine(text []byte) []byte {
	text = bytes.TrimSpace(text)
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return []byte(strings.ToValidUTF8(string(bytes.TrimSpace(text)), "?"))
}

// tail keeps the end of what is written to it.
type tail struct {
	buf   []byte
	limit int
}

func (t *tail) Write(b []byte) (int, error) {
	t.buf = append(t.buf, b[max(0, len(b)-t.limit):]...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
	return len(b), nil
}
