package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/outbox"
)

// runSender is the bench as a child: a device that has nothing but its outbox
// and its connection. It says how many nanoseconds it took from connecting
// until the stored records were acknowledged; that they are is written by a
// flush afterwards, as at any other time. With
// -live it adds predictions meanwhile, each with its time of appending, the
// first one before it connects.
func runSender(ctx context.Context, args []string) error {
	var path, addr string
	var live bool
	flags := flag.NewFlagSet("sender", flag.ContinueOnError)
	flags.StringVar(&path, "outbox", "", "")
	flags.StringVar(&addr, "broker", "", "")
	flags.BoolVar(&live, "live", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	box, err := outbox.Open(outbox.Options{Path: path, MaxBytes: backlogBytes})
	if err != nil {
		return err
	}
	q := &counted{Outbox: box, drained: make(chan struct{})}
	q.left.Store(int64(box.Stats().Stored))
	client, err := mqtt.New(clientOptions(addr, box.Boot()), q)
	if err != nil {
		return err
	}
	s := newScene(liveCamera, box.Boot())
	start := time.Now()
	if live {
		err = box.Append(s.at(time.Now().UTC()))
	}
	stop := background(ctx, box.Run, client.Run)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for drained := false; err == nil && !drained; {
		select {
		case <-tick.C:
			if live {
				err = box.Append(s.at(time.Now().UTC()))
			}
		case <-q.drained:
			drained = true
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil {
		_, err = fmt.Println(time.Since(start).Nanoseconds())
	}
	if e := stop(); err == nil {
		err = e
	}
	if e := box.Close(); err == nil {
		err = e
	}
	return err
}

// liveEvery is the pace of live predictions.
const liveEvery = 50 * time.Millisecond

// counted is an outbox that tells when as many records as were stored at the
// start have been acknowledged.
type counted struct {
	*outbox.Outbox
	left    atomic.Int64
	drained chan struct{}
}

func (q *counted) Ack(b outbox.Batch) error {
	err := q.Outbox.Ack(b)
	n := int64(b.Len())
	if left := q.left.Add(-n); left <= 0 && left+n > 0 {
		close(q.drained)
	}
	return err
}

// asChild is what this process is to do as a child of the bench; else nil.
func asChild() func(context.Context) error {
	if len(os.Args) < 2 {
		return nil
	}
	run := map[string]func(context.Context, []string) error{"sender": runSender, "bare": runBare}[os.Args[1]]
	if run == nil {
		return nil
	}
	return func(ctx context.Context) error { return run(ctx, os.Args[2:]) }
}
