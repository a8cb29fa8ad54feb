//go:build linux

package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// child is what the test binary does when a test starts it again: it appends
// until it is killed, or drains what is there. What it says, a line each:
//
//	boot N            the outbox is open
//	append BOOT SEQ   before it is appended
//	flushed BOOT SEQ  Flush returned nil with all up to SEQ appended
//	acked BOOT SEQ    the broker acknowledged it, before the outbox is told
//	drained
func child(mode string) int {
	var round int
	_, _ = fmt.Sscan(os.Getenv("DELIVERY_ROUND"), &round) // zero in a drain
	if err := runChild(mode, round, os.Getenv("DELIVERY_DIR"), os.Getenv("DELIVERY_BROKER")); err != nil {
		say("failed: %v", err)
		return 1
	}
	return 0
}

// say writes a line at once and whole: what is in a pipe outlives its writer.
func say(format string, args ...any) {
	_, _ = os.Stdout.Write(fmt.Appendf(nil, format+"\n", args...)) // nobody is left to tell
}

func runChild(mode string, round int, dir, broker string) error {
	out, err := outbox.Open(outbox.Options{Path: filepath.Join(dir, "outbox.db"), FlushInterval: 200 * time.Millisecond})
	if err != nil {
		return err
	}
	boot := out.Boot()
	say("boot %d", boot)
	client, err := mqtt.New(mqtt.Options{
		Broker: "tcp://" + broker, Topics: topics, Boot: boot,
		// Short, so that a round sees many connections.
		ConnectTimeout: time.Second, AckTimeout: 500 * time.Millisecond,
		RetryMin: 10 * time.Millisecond, RetryMax: 100 * time.Millisecond, BatchRecords: 32,
	}, queue{out})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { _ = out.Run(ctx) }) // its errors are in Stats
	parts.Go(func() { _ = client.Run(ctx) })
	if mode == "append" {
		return appendForEver(out, round, boot)
	}
	for s := out.Stats(); s.Held+s.Stored > 0; s = out.Stats() {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	parts.Wait()
	if err := out.Close(); err != nil {
		return err
	}
	say("drained")
	return nil
}

func appendForEver(out *outbox.Outbox, round int, boot uint64) error {
	rng := rand.New(rand.NewPCG(uint64(round), boot))
	seq := uint64(0)
	for {
		for range 1 + rng.IntN(20) {
			seq++
			say("append %d %d", boot, seq)
			if err := out.Append(prediction(round, boot, seq)); err != nil {
				return err
			}
		}
		if rng.IntN(6) == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
			say("flushed %d %d", boot, seq)
		}
		time.Sleep(time.Duration(rng.IntN(15)) * time.Millisecond)
	}
}

// queue says what is acknowledged before the outbox may forget it.
type queue struct{ *outbox.Outbox }

func (q queue) Ack(b outbox.Batch) error {
	for i := range b.Len() {
		var p payload.Prediction
		if err := json.Unmarshal(b.Record(i), &p); err != nil {
			return err
		}
		say("acked %d %d", p.Boot, p.Seq)
	}
	return q.Outbox.Ack(b)
}
