package sensors

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

// killAfter is how long a program may take to end after it was asked to.
const killAfter = 2 * time.Second

// command runs a program that writes MJPEG or YUV4MPEG2 to its standard
// output. The words are split as a shell would, but no shell runs them. Its
// standard error goes to the log.
type command struct {
	spec  string
	words []string
	log   *slog.Logger
}

func openCommand(rest string, opts Options) (Source, error) {
	words, err := splitWords(rest)
	if err != nil {
		return nil, err
	}
	return &command{spec: "command:" + rest, words: words, log: opts.logger()}, nil
}

func (c *command) String() string { return Redact(c.spec) }

func (c *command) Run(ctx context.Context, emit func(*Frame)) error {
	out, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("command %s: %w", c.words[0], err)
	}
	defer out.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stderr := &lineLog{tally: newTally(c.log, "command says")}
	started, ended := make(chan error, 1), make(chan error, 1)
	go c.child(ctx, in, out, stderr, started, ended)
	if err := <-started; err != nil {
		return fmt.Errorf("command %s: %w", c.words[0], err)
	}
	readErr := readStream(ctx, out, emit)
	cancelled := ctx.Err()
	if !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
		cancel() // the stream is unusable, the program need not go on
	}
	exit := <-ended
	stderr.tally.flush()
	if cancelled != nil {
		return cancelled
	}
	return c.explain(readErr, exit, stderr.last)
}

// explain says in one line why the stream ended.
func (c *command) explain(readErr, exit error, last string) error {
	msg := "ended with exit status 0"
	switch {
	case !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF):
		msg = readErr.Error()
	case exit != nil:
		msg = "ended: " + exit.Error()
	}
	if last != "" {
		msg += ": " + last
	}
	return fmt.Errorf("command %s %s", c.words[0], Redact(msg))
}

// child starts the program, waits for it and cleans up after it. It keeps its
// thread, because Linux sends the parent-death signal when the thread that
// started the program ends, not the process.
func (c *command) child(ctx context.Context, in, out *os.File, stderr io.Writer, started, ended chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, c.words[0], c.words[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = in, stderr, killAfter
	ownGroup(cmd)
	err := cmd.Start()
	in.Close()
	started <- err
	if err != nil {
		return
	}
	err = cmd.Wait()
	killGroup(cmd)
	// Something that left the group may still hold the pipe.
	_ = out.SetReadDeadline(time.Now().Add(time.Second))
	ended <- err
}

// readStream emits the pictures of a stream until it ends or ctx does.
func readStream(ctx context.Context, r io.Reader, emit func(*Frame)) error {
	br := bufio.NewReaderSize(r, 64<<10)
	next := jpegImages(br)
	if isY4M(br) {
		y, err := newY4MReader(br)
		if err != nil {
			return err
		}
		next = y.next
	}
	var f Frame
	for {
		img, err := next()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		f.Seq, f.Time, f.Image = f.Seq+1, time.Now(), img
		emit(&f)
	}
}

func jpegImages(br *bufio.Reader) func() (pixel.Image, error) {
	m := newMJPEGReader(br)
	return func() (pixel.Image, error) {
		data, err := m.next()
		return pixel.Image{Format: pixel.JPEG, Data: data}, err
	}
}

// lineLog logs what is written to it, line by line and coalesced. It is used
// by one goroutine, and read after that one ended.
type lineLog struct {
	tally *tally
	part  []byte
	last  string
}

// maxLine bounds a line of the log.
const maxLine = 400

func (l *lineLog) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		if room := maxLine - len(l.part); room > 0 {
			l.part = append(l.part, line[:min(len(line), room)]...)
		}
		if b = rest; ended {
			l.flush()
		}
	}
	return n, nil
}

func (l *lineLog) flush() {
	if text := string(bytes.TrimSpace(l.part)); text != "" {
		l.last = Redact(text)
		l.tally.add(errors.New(l.last))
	}
	l.part = l.part[:0]
}
