package update

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

func cats(version int) release.Model { return release.Model{Name: "cats", Version: version} }

// orders are what may be asked for on the device when version 2 serves, with
// version 4 unpacked by hand.
var orders = map[string]struct {
	order   func(o *store.Orders)
	serving int // afterwards
	// same: the order has nothing against an attempt with version 3, which goes
	// on after it.
	same bool
}{
	"promote":         {func(o *store.Orders) { o.Last = &store.Order{Model: cats(4)} }, 4, false},
	"rollback":        {func(o *store.Orders) { o.Last = &store.Order{Model: cats(1), Back: true} }, 1, false},
	"factory":         {func(o *store.Orders) { o.Last = &store.Order{Model: cats(0), Factory: true} }, 1, false},
	"pin":             {func(o *store.Orders) { o.Pins["cats"] = 4 }, 4, false},
	"pin the present": {func(o *store.Orders) { o.Pins["cats"] = 2 }, 2, false},
	"canary":          {func(o *store.Orders) { o.Canaries["cats"] = 4 }, 2, true},
	"other model": {func(o *store.Orders) {
		o.Last = &store.Order{Model: release.Model{Name: "dogs", Version: 1}, Back: true}
	}, 2, true},
	"missing":       {func(o *store.Orders) { o.Last = &store.Order{Model: cats(77)} }, 2, false},
	"missing, back": {func(o *store.Orders) { o.Last = &store.Order{Model: cats(77), Back: true} }, 2, false},
	"missing pin":   {func(o *store.Orders) { o.Pins["cats"] = 77 }, 2, false},
}

// byHand is what a person does before an order asks for the version.
func byHand(r *rig) { put(r.t, r.o.Store.Dir(cats(4)), "cats 4") }

func TestOrders(t *testing.T) {
	for name, tt := range orders {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.rollout(doc(2, 1, 1))
				byHand(r)
				r.order(tt.order)
				r.serves("cats", tt.serving)
				wait(time.Hour)
				r.serves("cats", tt.serving)
				if rec := r.record(); rec.Obeyed != 1 {
					t.Errorf("obeyed up to %d", rec.Obeyed)
				}
				// A restart carries nothing out again, and the document that
				// was there does not take it back.
				proved := len(r.dev.proved)
				r.restart(false)
				r.rollout(doc(2, 1, 1))
				wait(time.Minute)
				r.serves("cats", tt.serving)
				if len(r.dev.proved) != proved {
					t.Errorf("trials %v", r.dev.proved)
				}
			})
			in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
				byHand(r)
				if state != payload.Trial { // there only version 2 hangs
					unhang(r)
				}
				r.order(tt.order)
				if got := r.record().Attempt; tt.same && got.State != state && got.State != payload.Committed {
					t.Errorf("the attempt is now %s, %s", got.State, got.Reason)
				}
				serving := tt.serving
				if serving == 2 {
					serving = 1 // 2 had yet to come
				}
				if !tt.same && name != "pin the present" {
					r.serves("cats", serving)
				}
			})
		})
	}
}

// TestPin: it serves until it is unpinned, and what the document asks for then
// comes again.
func TestPin(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		r.rollout(doc(3, 2, 1))
		r.order(func(o *store.Orders) { o.Pins["cats"] = 2 })
		r.serves("cats", 2)
		if c := r.record().Models["cats"].Current; c.Release != "cats-2" || c.Bundle == "" {
			t.Errorf("it was forgotten where it came from: %+v", c)
		}
		r.want(payload.Idle, 2, "pinned to version 2")
		r.rollout(doc(3, 3, 1))
		r.want(payload.Idle, 2, "pinned to version 2")
		r.order(func(o *store.Orders) { delete(o.Pins, "cats") })
		r.want(payload.Committed, 3, "")
		// Promoting what the document asks for anyway is not against it.
		r.order(func(o *store.Orders) { o.Last = &store.Order{Model: cats(3)} })
		r.want(payload.Committed, 3, "it serves already")
	})
}

// TestPinFails: it is not tried for ever, but again when a new order comes; and
// one that is missing is not in another one's way.
func TestPinFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		put(t, r.o.Store.Dir(release.Model{Name: "dogs", Version: 5}), "dogs 5")
		byHand(r)
		tries := 0
		r.dev.inspect = func(dir string) error {
			if strings.Contains(dir, "cats") {
				tries++
				return errors.New("bad")
			}
			return nil
		}
		r.order(func(o *store.Orders) { o.Pins["cats"], o.Pins["dogs"], o.Pins["cows"] = 4, 5, 6 })
		wait(time.Hour)
		r.serves("cats", 1)
		r.serves("dogs", 5)
		if tries != 1 {
			t.Errorf("%d tries", tries)
		}
		r.dev.inspect = nil
		r.order(func(o *store.Orders) { o.Pins["cats"] = 4 })
		r.serves("cats", 4)
	})
}

// TestOrdersAnew: whoever removes a damaged orders file is heard again.
func TestOrdersAnew(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		byHand(r)
		for range 5 {
			r.order(func(o *store.Orders) { o.Canaries["cats"] = 4 })
		}
		file := filepath.Join(r.o.Store.Updates(), "orders.json")
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		wait(time.Minute)
		r.restart(true) // nothing is known of the canary now
		wait(time.Minute)
		if dir := r.o.Store.Dir(cats(4)); !there(dir) {
			t.Error("a version that may be labelled was removed")
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		r.order(func(o *store.Orders) { o.Last = &store.Order{Model: cats(1), Back: true} })
		r.serves("cats", 1)
	})
}

func there(dir string) bool { _, err := digestOf(dir); return err == nil }

// TestFactory: after the order the factory model serves, whatever came since,
// and by whatever way.
func TestFactory(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		put(t, filepath.Join(r.o.Models[0].Base, "7"), "cats 7")
		wait(time.Minute)
		r.serves("cats", 7)
		put(t, filepath.Join(r.o.Models[1].Base, "2"), "dogs 2") // takes the attempt's place
		wait(time.Minute)
		r.serves("dogs", 2)
		r.order(func(o *store.Orders) { o.Last = &store.Order{Model: cats(0), Factory: true} })
		r.serves("cats", 1)
		wait(time.Hour)
		r.restart(true)
		wait(time.Hour)
		r.serves("cats", 1)
		r.serves("dogs", 2)
	})
}

// TestCollect: what is current, previous, under way, pinned, canary or ordered
// is never removed, and all else is.
func TestCollect(t *testing.T) {
	for _, keepAll := range []bool{false, true} {
		r := newRig(t)
		r.o.Models[0].KeepAll = keepAll
		inBubble(t, r, func() {
			r.rollout(doc(2, 1, 1))
			for _, v := range []int{5, 6, 7, 8} {
				put(t, r.o.Store.Dir(cats(v)), "by hand")
			}
			// The order is younger than the last look.
			if err := r.o.Store.Command(func(o *store.Orders) error {
				o.Canaries["cats"], o.Pins["dogs"] = 6, 9
				o.Last = &store.Order{Model: cats(7)}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			put(t, r.o.Store.Dir(release.Model{Name: "dogs", Version: 9}), "dogs 9")
			// Collected when cats-3 is committed, or broken off by the order.
			r.rollout(doc(3, 2, 1))
			for v, want := range map[int]bool{3: true, 5: false, 6: true, 7: true, 8: false} {
				if got := there(r.o.Store.Dir(cats(v))); got != (want || keepAll) {
					t.Errorf("version %d is there: %v (all kept: %v)", v, got, keepAll)
				}
			}
			if !there(r.o.Store.Dir(release.Model{Name: "dogs", Version: 9})) {
				t.Error("a pinned version was removed")
			}
			if there(r.o.Store.Downloads()) {
				t.Error("downloads are left")
			}
			wait(time.Minute)
			r.serves("cats", 7)
			if dir, ok := r.m.Canary("cats"); !ok || !there(dir) {
				t.Error("no canary")
			}
			if _, ok := r.m.Canary("dogs"); ok {
				t.Error("a canary of dogs")
			}
		})
	}
	in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
		byHand(r)
		r.m.collect()
		if got, want := there(r.o.Store.Dir(cats(2))), state != payload.Downloading; got != want {
			t.Errorf("in %s it is there: %v", state, got)
		}
		r.serves("cats", r.m.Serving("cats").Version)
	})
}

// TestOrdersTogether: orders that were given while nobody looked are all
// carried out, and the latest holds for each model.
func TestOrdersTogether(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		byHand(r)
		put(t, r.o.Store.Dir(release.Model{Name: "dogs", Version: 5}), "dogs 5")
		for _, change := range []func(*store.Orders){
			func(o *store.Orders) { o.Last = &store.Order{Model: cats(77)} },
			func(o *store.Orders) { o.Last = &store.Order{Model: release.Model{Name: "dogs", Version: 5}} },
			func(o *store.Orders) { o.Last = &store.Order{Model: cats(4)} },
		} {
			if err := r.o.Store.Command(func(o *store.Orders) error { change(o); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		r.order(func(o *store.Orders) { o.Canaries["cats"] = 2 })
		wait(time.Minute)
		r.serves("cats", 4)
		r.serves("dogs", 5)
		if rec := r.record(); rec.Obeyed != 4 {
			t.Errorf("obeyed up to %d", rec.Obeyed)
		}
	})
}

// TestUrgentOrders: a way back and a label do not wait for another model that
// waits for days, and leave it on its way.
func TestUrgentOrders(t *testing.T) {
	in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
		if state == payload.Trial { // of version 2: there is nothing to wait for
			return
		}
		put(t, r.o.Store.Dir(release.Model{Name: "dogs", Version: 5}), "dogs 5")
		r.order(func(o *store.Orders) {
			o.Last = &store.Order{Model: release.Model{Name: "dogs", Version: 5}, Back: true}
		})
		r.order(func(o *store.Orders) { o.Canaries["dogs"] = 1 })
		r.serves("dogs", 5)
		if rec := r.record(); rec.Obeyed != 2 || rec.Attempt == nil || rec.Attempt.Model.Name != "cats" || rec.Attempt.State != state {
			t.Errorf("obeyed up to %d, the attempt is %+v", rec.Obeyed, rec.Attempt)
		}
	})
}

// TestOrderBeforeDocument: what an order went back from does not come again by
// the document that is there after a start.
func TestOrderBeforeDocument(t *testing.T) {
	for name, o := range map[string]store.Order{
		"promote": {Model: cats(4)}, "rollback": {Model: cats(1), Back: true}, "factory": {Model: cats(0), Factory: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.rollout(doc(2, 1, 1))
				byHand(r)
				r.stop()
				if err := r.o.Store.Command(func(all *store.Orders) error { all.Last = &o; return nil }); err != nil {
					t.Fatal(err)
				}
				r.start()
				wait(time.Minute)
				r.rollout(doc(2, 1, 1))
				wait(time.Minute)
				r.serves("cats", map[string]int{"promote": 4, "rollback": 1, "factory": 1}[name])
			})
		})
	}
}

// TestKeep: what the configuration names stays on the device.
func TestKeep(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.stop()
		r.o.Models[0].Keep = []int{4}
		byHand(r)
		put(t, r.o.Store.Dir(cats(6)), "cats 6")
		r.start()
		wait(time.Minute)
		if got := r.o.Store.Versions("cats"); len(got) != 1 || got[0] != 4 {
			t.Errorf("versions %v are left, want 4", got)
		}
	})
}
