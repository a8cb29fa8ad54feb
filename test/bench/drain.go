package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/outbox"
)

const (
	drainRecords = 200_000
	// The messages are as sync/mqtt makes them by default.
	messageRecords, messageBytes, inFlight = 64, 64 << 10, 16
)

// drain compares how fast a backlog leaves with a loop that has the same
// messages in memory and does nothing but publish them.
func (m *bench) drain(ctx context.Context, addr string) error {
	path := filepath.Join(m.dir, "backlog")
	if err := fill(path, drainRecords); err != nil {
		return err
	}
	messages, err := messagesOf(path)
	if err != nil {
		return err
	}
	var ratios []float64
	before, err := publishAll(ctx, addr, messages)
	if err != nil {
		return err
	}
	for range 7 {
		copied, err := m.copyOf(path)
		if err != nil {
			return err
		}
		took, err := send(ctx, copied, addr)
		if err != nil {
			return err
		}
		after, err := publishAll(ctx, addr, messages)
		if err != nil {
			return err
		}
		ratios = append(ratios, float64(before+after)/2/float64(took))
		before = after
	}
	m.add("drain_over_bare_paho", median(ratios), "speed ratio", budget(0.8), false)
	return os.Remove(path)
}

// messagesOf reads a backlog as the messages that the client makes of it.
func messagesOf(path string) (messages [][]byte, err error) {
	var msg []byte
	n := 0
	end := func() {
		if n > 0 {
			messages = append(messages, append(msg, ']'))
		}
		msg, n = nil, 0
	}
	err = outbox.Export(path, func(_ uint64, rec []byte) error {
		if n == messageRecords || len(msg)+len(rec)-n > messageBytes {
			end()
		}
		msg = append(append(msg, "[,"[min(n, 1)]), rec...)
		n++
		return nil
	})
	end()
	return messages, err
}

// publishAll is the bare loop: the time from connecting to the last PUBACK.
func publishAll(ctx context.Context, addr string, messages [][]byte) (time.Duration, error) {
	start := time.Now()
	client, err := connect(addr, "bare")
	if err != nil {
		return 0, err
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
	for _, msg := range messages {
		if len(window) == inFlight {
			if err := wait(); err != nil {
				return 0, err
			}
		}
		window = append(window, client.Publish(topics.Predictions(), 1, false, msg))
	}
	for len(window) > 0 {
		if err := wait(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
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

// send has a child of its own drain an outbox: it shall have the memory of a
// device, and not the bare loop's messages in it.
func send(ctx context.Context, path, addr string, more ...string) (time.Duration, error) {
	cmd, err := sender(ctx, path, addr, more...)
	if err != nil {
		return 0, err
	}
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("drain %s: %w", path, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Duration(ns), err
}

func sender(ctx context.Context, path, addr string, more ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"sender", "-outbox", path, "-broker", addr}, more...)...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}
