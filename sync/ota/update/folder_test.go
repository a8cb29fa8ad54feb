package update

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
)

// folder is a version's place in the configured folder of cats.
func (r *rig) folder(version int) string { return inBase(r.o.Models[0].Base, version) }

func TestFolder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		put(t, r.folder(5), "cats 5")
		wait(5 * time.Second)
		r.serves("cats", 1)
		wait(20 * time.Second)
		r.want(payload.Committed, 5, "")
		if a := r.record().Attempt; a.By != store.ByFolder || a.New.Digest == "" {
			t.Errorf("%+v", a)
		}
		if err := os.MkdirAll(r.folder(6), 0o755); err != nil { // no model in it
			t.Fatal(err)
		}
		put(t, filepath.Join(r.o.Models[0].Base, "latest"), "no number")
		put(t, r.folder(4), "an older one")
		wait(time.Hour)
		r.want(payload.Committed, 5, "")
		r.restart(false)
		wait(time.Minute)
		r.want(payload.Committed, 5, "")
		if n := len(r.dev.proved); n != 1 {
			t.Errorf("%d trials", n)
		}
	})
}

// TestHalfCopied: a folder that is still being filled is left alone, however
// often it is looked at.
func TestHalfCopied(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		wait(time.Second)
		text := ""
		for i := range 20 {
			text += "more"
			put(t, r.folder(5), text)
			r.m.stir()
			wait(time.Second)
			r.m.stir() // the same files as a second ago
			wait(8 * time.Second)
			if a := r.record().Attempt; a != nil {
				t.Fatalf("it was taken half copied, after %d parts", i+1)
			}
		}
		wait(30 * time.Second)
		r.want(payload.Committed, 5, "")
		if got, _ := digestOf(r.folder(5)); r.dev.proved[got] != 1 {
			t.Error("not what was copied at last was tried")
		}
	})
}

// TestFolderFails: it is tried again when it changes, and never serves by
// itself.
func TestFolderFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tries := 0
		r.dev.inspect = func(dir string) error {
			tries++
			if data, _ := os.ReadFile(filepath.Join(dir, "model.tflite")); strings.Contains(string(data), "bad") {
				return Refuse("it is bad")
			}
			return nil
		}
		put(t, r.folder(5), "bad")
		wait(time.Hour)
		r.want(payload.Rejected, 1, "it is bad")
		r.restart(false)
		wait(time.Hour)
		if tries != 1 {
			t.Errorf("%d tries", tries)
		}
		put(t, r.folder(5), "bad still")
		wait(time.Minute)
		r.want(payload.Rejected, 1, "it is bad")
		put(t, r.folder(5), "it is good now")
		wait(time.Minute)
		r.want(payload.Committed, 5, "")
		if tries != 3 {
			t.Errorf("%d tries", tries)
		}
	})
}

// TestFolderRolledBack: one that was given up does not come back as the highest
// version in the folder, also when later ones come and go.
func TestFolderRolledBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, v := range []int{5, 6} {
			put(t, r.folder(v), "cats")
			wait(time.Minute)
			r.serves("cats", v)
		}
		for _, want := range []int{5, 1} {
			if !r.m.GiveUp("cats", "it does not load") {
				t.Fatal("nothing to give up")
			}
			r.serves("cats", want)
			wait(time.Hour)
			r.serves("cats", want)
		}
		put(t, r.folder(7), "cats 7")
		wait(time.Minute)
		r.serves("cats", 7)
		r.m.GiveUp("cats", "neither")
		wait(time.Hour)
		r.serves("cats", 1)
		r.restart(false)
		wait(time.Hour)
		r.serves("cats", 1)
	})
}

func TestFoldersNever(t *testing.T) {
	r := newRig(t)
	r.o.Poll = -1
	inBubble(t, r, func() {
		put(t, r.folder(5), "cats 5")
		byHand(r)
		wait(time.Hour)
		r.serves("cats", 1)
		r.order(func(o *store.Orders) { o.Last = &store.Order{Model: cats(4)} })
		r.serves("cats", 4)
	})
}

// TestFolderAndPin: a pinned model's folder is not followed.
func TestFolderAndPin(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.order(func(o *store.Orders) { o.Pins["cats"] = 1 })
		put(t, r.folder(5), "cats 5")
		wait(time.Hour)
		r.serves("cats", 1)
		r.order(func(o *store.Orders) { delete(o.Pins, "cats") })
		wait(time.Minute)
		r.serves("cats", 5)
	})
}
