package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/payload"
)

const backlogRecords = 1_000_000

// live is what a million stored records do to the new ones: how long these
// take while the old ones drain, and how much later the first one comes after
// a start.
func (m *bench) live(ctx context.Context, addr string) error {
	full, empty := filepath.Join(m.dir, "million"), filepath.Join(m.dir, "empty")
	if err := fill(full, backlogRecords); err != nil {
		return err
	}
	if err := fill(empty, 0); err != nil {
		return err
	}
	arrivals, end, err := subscribe(addr)
	if err != nil {
		return err
	}
	defer end()
	var delays []time.Duration
	for range 4 {
		copied, err := m.copyOf(full)
		if err != nil {
			return err
		}
		if _, err := child(ctx, "sender", "-outbox", copied, "-broker", addr, "-live"); err != nil {
			return err
		}
		delays = append(delays, arrivals.take(ctx)...)
	}
	if len(delays) == 0 {
		return fmt.Errorf("no live prediction arrived")
	}
	slices.Sort(delays)
	m.add("live_p99_ms_during_drain", delays[len(delays)*99/100].Seconds()*1e3, "ms", budget(100), true)
	var later []float64
	for range 5 {
		var times [2]time.Duration
		for i, path := range []string{empty, full} {
			if times[i], err = m.firstNew(ctx, path, addr, arrivals); err != nil {
				return err
			}
		}
		later = append(later, (times[1]-times[0]).Seconds()*1e3)
	}
	m.add("backlog_boot_ms", median(later), "ms", nil, true)
	return os.Remove(full)
}

// firstNew is the time from the start of a process to the arrival of the
// first record that it appends.
func (m *bench) firstNew(ctx context.Context, path, addr string, arrivals arrivals) (time.Duration, error) {
	copied, err := m.copyOf(path)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd, err := self(ctx, "sender", "-outbox", copied, "-broker", addr, "-live")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		cancel() // kills it
		_ = cmd.Wait()
		arrivals.take(context.WithoutCancel(ctx))
	}()
	select {
	case a := <-arrivals:
		return a.at.Sub(start), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("the first prediction after a start: %w", ctx.Err())
	}
}

// arrival is a live prediction that a subscriber got.
type arrival struct {
	at    time.Time
	delay time.Duration // since it was appended
}

type arrivals chan arrival

// subscribe looks for live predictions at QoS 0, which holds up nobody.
func subscribe(addr string) (got arrivals, end func(), err error) {
	client, err := connect(addr, "subscriber")
	if err != nil {
		return nil, nil, err
	}
	got = make(arrivals, 1<<16)
	mark := []byte(`"camera":"` + liveCamera + `"`)
	token := client.Subscribe(topics.Predictions(), 0, func(_ paho.Client, msg paho.Message) {
		now := time.Now()
		if !bytes.Contains(msg.Payload(), mark) {
			return
		}
		var all []payload.Prediction
		if json.Unmarshal(msg.Payload(), &all) != nil {
			return // then fewer arrive than were sent
		}
		for _, p := range all {
			if p.Camera == liveCamera {
				got <- arrival{now, now.Sub(p.Time)}
			}
		}
	})
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		client.Disconnect(0)
		return nil, nil, fmt.Errorf("subscribe: %w", token.Error())
	}
	return got, func() { client.Disconnect(0) }, nil
}

// take gives all delays until nothing has come for a while.
func (a arrivals) take(ctx context.Context) (delays []time.Duration) {
	for {
		select {
		case x := <-a:
			delays = append(delays, x.delay)
		case <-time.After(500 * time.Millisecond):
			return delays
		case <-ctx.Done():
			return delays
		}
	}
}
