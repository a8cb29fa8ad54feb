package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// run is one soak under way.
type run struct {
	site
	o      options
	rng    *rand.Rand
	start  time.Time
	result result

	camerasDeck, deliveryDeck *deck

	mu   sync.Mutex // guards all following fields
	calm bool
}

// result is bench/soak.json.
type result struct {
	Seed    uint64         `json:"seed"`
	Version string         `json:"version"`
	Machine string         `json:"machine"`
	Began   time.Time      `json:"began"`
	Seconds float64        `json:"seconds"`
	Warmup  float64        `json:"warmup_seconds"`
	Faults  map[string]int `json:"faults"` // after the warm-up, by kind
	Reloads map[string]int `json:"reloads"`
	Clients map[string]int `json:"clients"` // answers to API clients by status
	Warns   map[string]int `json:"warnings"`
	Windows []window       `json:"windows"`
	Samples []sample       `json:"samples"`
	Checks  []check        `json:"checks"`
	Limits  []verdict      `json:"limits"`
	Missed  []string       `json:"missed"` // calm windows that could not be measured, and why
}

// check is something that holds or does not, at the end.
type check struct {
	What  string `json:"what"`
	Found string `json:"found"`
	OK    bool   `json:"ok"`
}

// warmup is what is not judged: in it caches fill, Go's heap finds its size and
// the C library its arenas.
func warmup(lasts time.Duration) time.Duration { return min(lasts/6, 10*time.Minute) }

// faultsLast is the time between two calm windows.
func faultsLast(lasts time.Duration) time.Duration {
	return min(max(lasts/100, 8*time.Second), 36*time.Second)
}

func soak(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "egret-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("soak for %v, seed %d, warm-up %v\n", o.lasts, o.seed, warmup(o.lasts))
	r := &run{o: o, rng: rand.New(rand.NewPCG(o.seed, 1)), start: time.Now()}
	defer r.end()
	if err := r.build(ctx, o, dir); err != nil {
		return err
	}
	r.start = time.Now()
	r.result = result{
		Seed: o.seed, Began: r.start.UTC().Truncate(time.Second), Warmup: warmup(o.lasts).Seconds(),
		Version: version(o.egret), Machine: machine(), Reloads: map[string]int{},
	}
	r.camerasDeck = &deck{kinds: r.faults.ofCameras(), rng: rand.New(rand.NewPCG(o.seed, 2))}
	r.deliveryDeck = &deck{kinds: r.faults.ofDelivery(), rng: rand.New(rand.NewPCG(o.seed, 3))}
	if err := r.cycles(ctx); ctx.Err() != nil {
		return err
	} else if err != nil { // what was measured until then is worth a look
		r.check("the run came to its end", err.Error(), false)
	}
	r.result.Seconds = time.Since(r.start).Seconds()
	if err := r.finish(ctx); err != nil {
		return err
	}
	return r.result.report(o)
}

// cycles has times of faults and calm windows in turn, and ends after a window.
func (r *run) cycles(ctx context.Context) error {
	sampling, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- r.sample(sampling) }()
	warm := false
	for time.Since(r.start) < r.o.lasts {
		if !warm && time.Since(r.start) >= warmup(r.o.lasts) {
			warm = true
			r.forget() // what happened before is not judged
		}
		if err := r.trouble(ctx); err != nil {
			return err
		}
		if err := r.window(ctx); err != nil {
			return err
		}
	}
	stop()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// forget begins to count faults and reloads anew.
func (r *run) forget() {
	r.faults.mu.Lock()
	defer r.faults.mu.Unlock()
	clear(r.faults.counts)
	clear(r.result.Reloads)
}

// trouble is one time of faults.
func (r *run) trouble(ctx context.Context) error {
	phase, cancel := context.WithTimeout(ctx, faultsLast(r.o.lasts))
	defer cancel()
	errs := make([]error, 3)
	var wg sync.WaitGroup
	wg.Go(func() { errs[0] = r.faults.run(phase, r.camerasDeck) })
	wg.Go(func() { errs[1] = r.faults.run(phase, r.deliveryDeck) })
	wg.Go(func() { errs[2] = r.reloads(phase) })
	r.clients.run(phase, rand.New(rand.NewPCG(r.rng.Uint64(), 4)))
	wg.Wait()
	r.faults.heal()
	return errors.Join(append(errs, ctx.Err())...)
}

// reloads changes the configuration all the time, and sometimes wrongly.
func (r *run) reloads(ctx context.Context) error {
	for sleep(ctx, time.Duration(300+r.rng.IntN(2000))*time.Millisecond) == nil {
		var text, what string
		wrong := r.rng.IntN(4) == 0
		if wrong {
			text, what = r.wrong(r.rng)
			what = "wrong: " + what
		} else {
			var d document
			d, what = r.good(r.rng)
			text = r.text(d)
		}
		if err := r.reload(context.WithoutCancel(ctx), text, what, !wrong); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) reload(ctx context.Context, text, what string, good bool) error {
	if err := r.write(text); err != nil {
		return err
	}
	took, err := r.agent.reload(ctx)
	if err == nil && took != good {
		err = fmt.Errorf("a reload (%s) was taken: %v, want %v; the file:\n%s", what, took, good, text)
	}
	r.faults.mu.Lock()
	defer r.faults.mu.Unlock()
	r.result.Reloads[what]++
	return err
}

// sampleEvery is between two samples of the plot.
func sampleEvery(lasts time.Duration) time.Duration {
	return min(max(lasts/600, time.Second), 5*time.Second)
}

// sample measures all the time, for the plot.
func (r *run) sample(ctx context.Context) error {
	for {
		if err := sleep(ctx, sampleEvery(r.o.lasts)); err != nil {
			return err
		}
		v, err := r.sampler.take(ctx)
		if err != nil {
			r.count("samples that failed") // while a reload opens the API anew
			continue
		}
		r.mu.Lock()
		r.result.Samples = append(r.result.Samples, sample{At: time.Since(r.start).Seconds(), Calm: r.calm, Values: v})
		r.mu.Unlock()
	}
}

func (r *run) count(what string) { r.clients.count(what) }
