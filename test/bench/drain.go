package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/outbox"
)

const (
	drainRecords = 200_000
	// The messages are as sync/mqtt makes them by default.
	messageRecords, messageBytes, inFlight = 64, 64 << 10, 16
)

// drain compares how fast a backlog leaves with a loop that reads the same
// messages, ready made, from a plain file and does nothing but publish them
// with as many in flight. All are processes of their own, with the memory of a
// device, and stop at the last PUBACK. The second figure's loop has its
// messages in memory: what paho could do if they came from nowhere.
func (m *bench) drain(ctx context.Context, addr string) error {
	path, ready := filepath.Join(m.dir, "backlog"), filepath.Join(m.dir, "messages")
	if err := fill(path, drainRecords); err != nil {
		return err
	}
	if err := writeMessages(path, ready); err != nil {
		return err
	}
	var bare, memory []float64
	for range 15 {
		copied, err := m.copyOf(path)
		if err != nil {
			return err
		}
		var took [3]time.Duration
		for i, args := range [][]string{
			{"bare", "-messages", ready}, {"sender", "-outbox", copied}, {"bare", "-memory", "-messages", ready},
		} {
			if took[i], err = child(ctx, append(args, "-broker", addr)...); err != nil {
				return err
			}
		}
		bare = append(bare, float64(took[0])/float64(took[1]))
		memory = append(memory, float64(took[2])/float64(took[1]))
	}
	m.add("drain_over_bare_paho", median(bare), "speed ratio", budget(0.8), false)
	m.add("drain_over_paho_from_memory", median(memory), "speed ratio", nil, false)
	return errors.Join(os.Remove(path), os.Remove(ready))
}

// writeMessages makes of a backlog the messages that the client makes of it,
// each behind its length.
func writeMessages(backlog, path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, out.Flush(), f.Close()) }()
	var msg []byte
	n := 0
	end := func() error {
		if n == 0 {
			return nil
		}
		msg = append(msg, ']')
		_, err := out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(msg))))
		if err == nil {
			_, err = out.Write(msg)
		}
		msg, n = msg[:0], 0
		return err
	}
	err = outbox.Export(backlog, func(_ uint64, rec []byte) error {
		if n == messageRecords || len(msg)+len(rec)-n > messageBytes {
			if err := end(); err != nil {
				return err
			}
		}
		msg = append(append(msg, "[,"[min(n, 1)]), rec...)
		n++
		return nil
	})
	return errors.Join(err, end())
}

// runBare is the bench as a child: the bare loop. It says how many nanoseconds
// it took from connecting to the last PUBACK.
func runBare(ctx context.Context, args []string) error {
	var path, addr string
	var memory bool
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	flags.StringVar(&path, "messages", "", "")
	flags.BoolVar(&memory, "memory", false, "")
	flags.StringVar(&addr, "broker", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	next := func() ([]byte, error) { return readMessage(in) }
	if memory {
		if next, err = fromMemory(f); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := publishAll(ctx, addr, next); err != nil {
		return err
	}
	_, err = fmt.Println(time.Since(start).Nanoseconds())
	return err
}

func publishAll(ctx context.Context, addr string, next func() ([]byte, error)) error {
	client, err := connect(addr, "bare")
	if err != nil {
		return err
	}
	defer client.Disconnect(0)
	var window []paho.Token
	wait := func() error {
		select {
		case <-window[0].Done():
		case <-ctx.Done():
			return ctx.Err()
		}
		err := window[0].Error()
		window = window[1:]
		return err
	}
	for {
		msg, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if len(window) == inFlight {
			if err := wait(); err != nil {
				return err
			}
		}
		window = append(window, client.Publish(topics.Predictions(), 1, false, msg))
	}
	for len(window) > 0 {
		if err := wait(); err != nil {
			return err
		}
	}
	return nil
}

func readMessage(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.LittleEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, msg)
	return msg, err
}

// fromMemory maps the file: a heap with all of it would never be collected.
func fromMemory(f *os.File) (next func() ([]byte, error), err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	rest, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		n := 4 + binary.LittleEndian.Uint32(rest)
		msg := rest[4:n:n]
		rest = rest[n:]
		return msg, nil
	}, nil
}

func connect(addr, id string) (paho.Client, error) {
	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).
		SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false))
	token := client.Connect()
	if !token.WaitTimeout(10 * time.Second) {
		return nil, errors.New("the broker does not answer")
	}
	return client, token.Error()
}

// child runs the bench itself as a process that says how many nanoseconds it
// took.
func child(ctx context.Context, args ...string) (time.Duration, error) {
	cmd, err := self(ctx, args...)
	if err != nil {
		return 0, err
	}
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Duration(ns), err
}

func self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}
