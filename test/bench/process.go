package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a child that obeys lines: the baseline or the peer.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	start time.Duration // from its start to "ready"
}

func start(ctx context.Context, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if !p.out.Scan() || p.out.Text() != "ready" {
		p.end()
		return nil, fmt.Errorf("%s did not start", strings.Join(append([]string{name}, args...), " "))
	}
	p.start = time.Since(began)
	return p, nil
}

func (p *process) ask(line string) (int64, error) {
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return 0, err
	}
	if !p.out.Scan() {
		return 0, fmt.Errorf("%s ended", p.cmd.Path)
	}
	return strconv.ParseInt(p.out.Text(), 10, 64)
}

// run is the time of one of n.
func (p *process) run(n int) (time.Duration, error) {
	ns, err := p.ask(fmt.Sprintf("run %d", n))
	return time.Duration(ns / int64(n)), err
}

func (p *process) end() {
	_ = p.in.Close()
	_ = p.cmd.Wait() // it ends with its input
}
