package outbox

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// TestAgainstAModel does random things to an outbox and to a plain list, and
// compares: nothing is lost, nothing comes twice within a life, order holds
// among what is free, and the account adds up after every step.
func TestAgainstAModel(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
}

func runModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	path := tempPath(t)
	o := open(t, path, nil)
	var free []int // appended and neither leased nor acknowledged, in order
	type lease struct {
		b    Batch
		seqs []int
	}
	var leases []lease
	next := 0
	giveBack := func(l lease) {
		free = append(append([]int(nil), l.seqs...), free...)
		for i := 1; i < len(free); i++ { // insertion sort: nearly in order
			for j := i; j > 0 && free[j] < free[j-1]; j-- {
				free[j], free[j-1] = free[j-1], free[j]
			}
		}
	}
	for range 400 {
		switch rng.IntN(10) {
		case 0, 1, 2, 3:
			n := rng.IntN(300) + 1
			appendN(t, o, next, n)
			for i := range n {
				free = append(free, next+i)
			}
			next += n
		case 4, 5:
			b, ok := o.Take(rng.IntN(200)+1, rng.IntN(40_000)+1)
			if ok != (len(free) > 0) {
				t.Fatalf("take gave %v with %d free", ok, len(free))
			}
			l := lease{b: b}
			for i := range b.Len() {
				if string(b.Record(i)) != string(rec(free[i])) {
					t.Fatalf("took %.20s, want %d", b.Record(i), free[i])
				}
				l.seqs = append(l.seqs, free[i])
			}
			free = free[b.Len():]
			leases = append(leases, l)
		case 6, 7:
			if len(leases) == 0 {
				continue
			}
			i := rng.IntN(len(leases))
			l := leases[i]
			leases = append(leases[:i:i], leases[i+1:]...)
			if rng.IntN(3) == 0 {
				o.Release(l.b)
				giveBack(l)
			} else if rng.IntN(8) == 0 {
				if err := o.Refuse(l.b, "poison"); err != nil {
					t.Fatal(err)
				}
			} else if err := o.Ack(l.b); err != nil {
				t.Fatal(err)
			}
		case 8:
			flush(t, o)
		case 9:
			if rng.IntN(4) > 0 {
				continue
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			o = open(t, path, nil)
			for _, l := range leases {
				giveBack(l)
			}
			leases = nil
		}
		checkAccount(t, o)
	}
	for _, l := range leases {
		o.Release(l.b)
		giveBack(l)
	}
	for i, got := range drain(t, o) {
		if got != string(rec(free[i])) {
			t.Fatalf("at the end: %.20s, want %d", got, free[i])
		}
	}
	if s := o.Stats(); s.Acknowledged+s.Dropped[DroppedRefused] != uint64(next) {
		t.Errorf("acknowledged %d and refused %d of %d", s.Acknowledged, s.Dropped[DroppedRefused], next)
	}
}

// Everything at once, with a bound that is passed all the time: for the race
// detector and for the account.
func TestConcurrentUse(t *testing.T) {
	o := open(t, tempPath(t), func(opts *Options) { opts.MaxBytes = 60_000; opts.MaxHeld = 30_000 })
	const each = 3000
	var producers, others sync.WaitGroup
	stop := make(chan struct{})
	for p := range 2 {
		producers.Go(func() {
			for i := range each {
				if err := o.Append(rec(p*each + i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	until := func(fn func(i int)) {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					fn(i)
				}
			}
		})
	}
	until(func(i int) {
		if b, ok := o.Take(20, 5000); ok && i%3 == 0 {
			o.Release(b)
		} else if err := o.Ack(b); err != nil {
			t.Error(err)
		}
	})
	until(func(int) {
		if err := o.Flush(); err != nil {
			t.Error(err)
		}
	})
	until(func(int) {
		if msg := unbalanced(o.Stats()); msg != "" {
			t.Error(msg)
		}
	})
	producers.Wait()
	close(stop)
	others.Wait()
	drain(t, o)
	flush(t, o)
	if s := o.Stats(); s.Produced != 2*each || s.Held+s.Stored != 0 || s.Dropped[DroppedDamaged] != 0 {
		t.Errorf("at the end: %+v", s)
	}
}
