package agent

import (
	"bytes"
	"image/jpeg"
	"testing"
	"time"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

// smallOptions are of a model that takes next to no time.
var smallOptions = smallmodel.Options{Side: 32, Channels: 16, Layers: 2}

// smallBundle is a generated model in a folder of its own.
func smallBundle(t testing.TB, o smallmodel.Options) *tflite.Bundle {
	t.Helper()
	dir := t.TempDir()
	if err := smallmodel.WriteBundle(dir, o); err != nil {
		t.Fatal(err)
	}
	return openBundle(t, dir)
}

// cameraFrame is a JPEG as a camera delivers it.
func cameraFrame(t testing.TB, class int) sensors.Frame {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, smallmodel.Picture(class, 320), nil); err != nil {
		t.Fatal(err)
	}
	return sensors.Frame{Image: pixel.Image{Format: pixel.JPEG, Data: b.Bytes()}}
}

// TestSteadyPathAllocatesNothing: from a camera's bytes to the record in the
// outbox, on the real decoder, the real library and the real outbox. (The
// outbox takes new memory once for about a hundred records that it holds.)
func TestSteadyPathAllocatesNothing(t *testing.T) {
	for _, clock := range []payload.Clock{payload.ClockSynced, payload.ClockUnsynced} {
		t.Run(string(clock), func(t *testing.T) { steady(t, clock) })
	}
}

func steady(t *testing.T, clock payload.Clock) {
	h, err := NewHarness(smallBundle(t, smallOptions), tflite.Options{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	h.worker.clock = func() payload.Clock { return clock } // before the first frame
	frames := []sensors.Frame{cameraFrame(t, 0), cameraFrame(t, 1)}
	i := 0
	next := func() { h.Serial(frames[i%2]); i++ }
	for range 20 { // every buffer grows to its size
		next()
	}
	if n := testing.AllocsPerRun(500, next); n != 0 {
		t.Errorf("%v allocations per frame, want 0", n)
	}
	if s := h.box.Stats(); s.Produced != uint64(i) || h.camera.predicted.Load() != uint64(i) {
		t.Errorf("%d recorded and %d predicted of %d frames", s.Produced, h.camera.predicted.Load(), i)
	}
}

// TestPipelinedFramesAreAnsweredInOrder: decoding ahead reorders nothing, and
// the tensor of the frame in Invoke is not the one being filled.
func TestPipelinedFramesAreAnsweredInOrder(t *testing.T) {
	h, err := NewHarness(smallBundle(t, smallOptions), tflite.Options{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Drain(); err != nil {
		t.Fatal(err)
	}
	const frames = 60
	for i := range frames {
		for !h.camera.slot.waiting().IsZero() { // wait for room, so that none is dropped
			time.Sleep(50 * time.Microsecond)
		}
		h.emit(cameraFrame(t, i%8))
	}
	for h.camera.predicted.Load() < frames {
		time.Sleep(time.Millisecond)
	}
	b, _ := h.box.Take(frames, 1<<20)
	if b.Len() != frames {
		t.Fatalf("%d records of %d frames", b.Len(), frames)
	}
	for i := range frames {
		if want := []byte(`"label":"` + smallmodel.Label(i%8) + `"`); !bytes.Contains(b.Record(i), want) {
			t.Errorf("frame %d: %s, want %s", i, b.Record(i), want)
		}
	}
}
