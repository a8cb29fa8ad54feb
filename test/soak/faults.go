package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/egret-edge/egret/test/mosquitto"
)

// faults does what goes wrong around the agent.
type faults struct {
	webcam     *webcam
	programs   *programs
	link       *link
	broker     *mosquitto.Broker
	subscriber *subscriber

	mu     sync.Mutex // guards all following fields
	counts map[string]int
}

// fault is one kind. It tells whether it met anything: a program that waits to be
// started again cannot be killed.
type fault struct {
	name string
	do   func(context.Context, *rand.Rand) (met bool, err error)
}

// ofCameras and ofDelivery go on at the same time, one of each.
func (f *faults) ofCameras() []fault {
	return []fault{
		{"webcam hangs", f.webcamIs(hanging, 3500)},
		{"webcam closes", f.webcamIs(closing, 1500)},
		{"webcam truncates", f.webcamIs(truncating, 1500)},
		{"webcam changes sizes", f.webcamIs(resizing, 1500)},
		{"webcam answers errors", f.webcamIs(lying, 500)},
		{"webcam refuses", f.webcamRefuses},
		{"program exits", f.tell(orderExit)},
		{"program floods", f.tell(orderFlood)},
		{"program writes garbage", f.tell(orderGarbage)},
		{"program is silent", f.tell(orderSilence)},
		{"program killed", func(context.Context, *rand.Rand) (bool, error) { return f.programs.kill() > 0, nil }},
	}
}

func (f *faults) ofDelivery() []fault {
	return []fault{
		{"link cut", func(context.Context, *rand.Rand) (bool, error) { return f.link.cut() > 0, nil }},
		{"link stalls", f.while(f.link.stall, 2500)},
		{"link loses answers", f.linkDeaf},
		{"link refuses", f.while(func(on bool) { f.link.refuse(on, on) }, 2500)},
		{"broker killed", f.brokerKilled},
		{"broker frozen", f.while(f.freeze, 1500)},
	}
}

// deck deals faults: each kind comes once in a deal, in an order that the seed
// gives, so that all are about as frequent.
type deck struct {
	kinds, left []fault
	rng         *rand.Rand
}

func (d *deck) next() fault {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.kinds)
		d.rng.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	one := d.left[0]
	d.left = d.left[1:]
	return one
}

// run does one fault after the other until ctx is done. A fault in hand is
// always brought to its end.
func (f *faults) run(ctx context.Context, d *deck) error {
	for ctx.Err() == nil {
		one := d.next()
		met, err := one.do(ctx, d.rng)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		if met {
			f.count(one.name)
		}
		_ = sleep(ctx, time.Duration(200+d.rng.IntN(1300))*time.Millisecond)
	}
	return nil
}

func (f *faults) count(name string) {
	f.mu.Lock()
	f.counts[name]++
	f.mu.Unlock()
}

// heal ends what faults have left.
func (f *faults) heal() {
	f.webcam.set(wellBehaved)
	f.broker.Thaw()
	f.link.calm()
}

// while switches something on, and off again after a time around ms.
func (f *faults) while(switched func(on bool), ms int) func(context.Context, *rand.Rand) (bool, error) {
	return func(ctx context.Context, rng *rand.Rand) (bool, error) {
		switched(true)
		defer switched(false)
		_ = sleep(ctx, time.Duration(ms/2+rng.IntN(ms))*time.Millisecond) // the end of ctx only makes it short
		return true, nil
	}
}

func (f *faults) webcamIs(m mode, ms int) func(context.Context, *rand.Rand) (bool, error) {
	return f.while(func(on bool) {
		if on {
			f.webcam.set(m)
		} else {
			f.webcam.set(wellBehaved)
		}
	}, ms)
}

func (f *faults) webcamRefuses(ctx context.Context, rng *rand.Rand) (bool, error) {
	f.webcam.refuse()
	_ = sleep(ctx, time.Duration(500+rng.IntN(1500))*time.Millisecond)
	return true, f.webcam.listen()
}

func (f *faults) tell(order string) func(context.Context, *rand.Rand) (bool, error) {
	return func(context.Context, *rand.Rand) (bool, error) {
		return f.programs.tell(order) > 0, nil
	}
}

// linkDeaf loses answers and then cuts the link, as one does that was lost on
// the way.
func (f *faults) linkDeaf(ctx context.Context, rng *rand.Rand) (bool, error) {
	f.link.setDeaf(true)
	_ = sleep(ctx, time.Duration(500+rng.IntN(2000))*time.Millisecond)
	f.link.calm()
	return true, nil
}

func (f *faults) freeze(on bool) {
	if on {
		f.broker.Freeze()
	} else {
		f.broker.Thaw()
	}
}

// brokerKilled kills Mosquitto and starts it again. The agent is let in when the
// subscriber is there: a broker owes nothing to who has not subscribed.
func (f *faults) brokerKilled(ctx context.Context, rng *rand.Rand) (bool, error) {
	f.link.refuse(true, false)
	defer f.link.refuse(false, false)
	f.broker.Kill()
	if err := f.subscriber.await(context.WithoutCancel(ctx), false); err != nil {
		return false, err
	}
	_ = sleep(ctx, time.Duration(500+rng.IntN(3000))*time.Millisecond)
	if err := guarded(f.broker.Restart); err != nil {
		return false, err
	}
	return true, f.subscriber.await(context.WithoutCancel(ctx), true)
}
