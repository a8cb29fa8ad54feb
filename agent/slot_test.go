package agent

import (
	"testing"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
)

func frameOf(seq uint64, data string) *sensors.Frame {
	return &sensors.Frame{Seq: seq, Image: pixel.Image{Format: pixel.JPEG, Data: []byte(data)}}
}

func TestSlotKeepsTheLatest(t *testing.T) {
	var s slot
	var h heldFrame
	if s.take(&h) {
		t.Fatal("an empty slot gave a frame")
	}
	borrowed := frameOf(1, "one")
	if s.put(borrowed) {
		t.Error("the first frame replaced one")
	}
	if !s.put(frameOf(2, "two and more")) {
		t.Error("the second frame replaced none")
	}
	borrowed.Image.Data[0] = 'X' // the source reuses its buffer
	if !s.take(&h) || h.frame.Seq != 2 || string(h.frame.Image.Data) != "two and more" {
		t.Fatalf("took frame %d %q, want the latest", h.frame.Seq, h.frame.Image.Data)
	}
	s.put(frameOf(3, "three"))
	if string(h.frame.Image.Data) != "two and more" {
		t.Fatal("a put changed the frame in hand")
	}
	if n := s.count(); n != 3 {
		t.Errorf("captured %d, want 3", n)
	}
	if !s.take(&h) || string(h.frame.Image.Data) != "three" || s.take(&h) {
		t.Error("want exactly one more frame")
	}
}

func TestSlotAllocatesNothing(t *testing.T) {
	var s slot
	var h heldFrame
	f := frameOf(1, string(make([]byte, 10000)))
	for range 3 { // the two buffers grow once each
		s.put(f)
		s.take(&h)
	}
	if n := testing.AllocsPerRun(100, func() { s.put(f); s.take(&h) }); n != 0 {
		t.Errorf("%v allocations per frame, want 0", n)
	}
}
