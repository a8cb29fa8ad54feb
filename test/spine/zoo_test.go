package spine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/test/smallmodel"
)

// alter changes a file.
func alter(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tiny is the model whose structure the zoo's words are of.
var tiny = smallmodel.Options{Seed: 9, Channels: 8, Layers: 2}

// word replaces a 32-bit word of tiny's file. Its old value is checked: a
// generator that writes another layout needs other words.
func word(t *testing.T, at int, old, new uint32) func([]byte) []byte {
	return func(data []byte) []byte {
		if got := binary.LittleEndian.Uint32(data[at:]); got != old {
			t.Fatalf("word %d is %d, want %d: find another place", at, got, old)
		}
		binary.LittleEndian.PutUint32(data[at:], new)
		return data
	}
}

// beast is a bad model: what is wrong with it, and what the device must say.
type beast struct {
	name   string
	model  smallmodel.Options
	file   string // to be changed, model.tflite without
	change func([]byte) []byte
	meta   func(*release.Meta)
	want   string
}

func zoo(t *testing.T) []beast {
	noGolden := func(data []byte) []byte { return data[:bytes.Index(data, []byte("golden:"))] }
	crashed := "crashed"
	if runtime.GOARCH == "arm64" { // its kernels overflow to another address, which they may read
		crashed = "does not see"
	}
	return []beast{
		{name: "empty", change: func([]byte) []byte { return nil }, want: "is not a TensorFlow Lite file"},
		{name: "text", change: func([]byte) []byte { return []byte("<html>404 not found</html>") }, want: "is not a TensorFlow Lite file"},
		{name: "truncated", change: func(d []byte) []byte { return d[:len(d)/2] }, want: "the library does not read it"},
		{name: "wrong shape", model: tiny, change: func(d []byte) []byte {
			return bytes.Replace(d, []byte{1, 0, 0, 0, 96, 0, 0, 0, 96, 0, 0, 0, 3, 0, 0, 0}, []byte{1, 0, 0, 0, 96, 0, 0, 0, 96, 0, 0, 0, 4, 0, 0, 0}, 1)
		}, want: "input"},
		{name: "wrong type", model: tiny, change: word(t, 2464, 15, 1), want: "Unsupported data type"},
		{name: "too few labels", file: "labels.txt", change: func([]byte) []byte { return []byte("red\ngreen\n") }, want: "labels"},
		{name: "wrong manifest", file: "model.yaml", change: func(d []byte) []byte { return append(d, "tusk: detect\n"...) }, want: "tusk"},
		{name: "golden sample wrong", file: "model.yaml", change: func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("label: red"), []byte("label: blue")) }, want: "does not see"},
		{name: "first Invoke fails", model: tiny, change: word(t, 3000, 6, 9), want: "Invoke failed"},
		{name: "crashes", model: tiny, change: word(t, 2988, 2, 0x7fffffff), want: crashed},
		{name: "hangs", model: smallmodel.Options{Side: 1024, Channels: 256, Layers: 12}, want: "no answer within"},
		{name: "slow", model: smallmodel.Options{Channels: 128, Layers: 24}, meta: func(m *release.Meta) { m.Limits.MaxSlowdown = 2 }, want: "times as long as the present model"},
		{name: "large", meta: func(m *release.Meta) { m.Limits.MaxMemory = 1 << 20 }, want: "MiB of memory, at most 1 are allowed"},
		{name: "nonsense", file: "model.yaml", change: noGolden, meta: func(m *release.Meta) { m.Limits.MinAgreement = 0.9 }, want: "agrees with the present model on"},
		{name: "not for this hardware", meta: func(m *release.Meta) { m.Hardware = []string{"plan9/mips"} }, want: "is for plan9/mips"},
	}
}

// TestZoo rolls bad models out, one after the other: the device refuses each
// with its reason, and the model that serves goes on answering.
func TestZoo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	all := zoo(t)
	if len(buildFlags) > 0 { // with the race detector all takes several times as long
		all = all[len(all)-7:]
	}
	for i, b := range all {
		v := i + 2
		o := b.model
		if o == (smallmodel.Options{}) {
			o.Seed = uint64(v)
		}
		dir := s.model(v, o, t.TempDir()+"/colours")
		file := b.file
		if file == "" {
			file = "model.tflite"
		}
		if b.change != nil {
			alter(t, filepath.Join(dir, file), b.change)
		}
		if b.name == "nonsense" { // it calls every colour by another name
			alter(t, filepath.Join(dir, "labels.txt"), func(d []byte) []byte {
				first, rest, _ := bytes.Cut(d, []byte("\n"))
				return append(append(rest, first...), '\n')
			})
		}
		s.publish(v, dir, b.meta)
	}
	d := started(t, s.config)
	s.answers(1, 10)
	for i, b := range all {
		t.Run(b.name, func(t *testing.T) {
			s.t = t
			v := i + 2
			s.roll(v, uint64(v), nil)
			got := s.until("an end of "+b.name, func(r payload.Reported) bool {
				return r.Model != nil && r.Model.Version == v && r.State.Ended() && r.State != payload.Idle
			})
			if got.State != payload.Rejected || !strings.Contains(got.Reason, b.want) || strings.Contains(got.Reason, "\n") {
				t.Errorf("%s: %s, want rejected: %q", got.State, got.Reason, b.want)
			}
			if got.Serving["colours"].Version != 1 {
				t.Errorf("serving %+v", got.Serving)
			}
			s.answers(1, 5)
		})
	}
	s.t = t
	// A good one is still taken.
	v := len(all) + 2
	s.publish(v, s.model(v, smallmodel.Options{Seed: 77}, t.TempDir()+"/colours"), nil)
	s.roll(v, uint64(v), nil)
	s.reaches(v, payload.Committed)
	s.answers(v, 5)
	d.stop()
}

// flips is how many models with one flipped bit are tried.
func flips() int {
	switch {
	case os.Getenv("EGRET_SOAK") != "":
		return 200
	case len(buildFlags) > 0: // with the race detector all takes several times as long
		return 2
	}
	return 4
}

// TestFlippedModels rolls out models with one flipped bit, signed as if the
// operator's disk had done it: each is refused, or it agrees with the model
// before it.
func TestFlippedModels(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	good := smallmodel.Classifier(smallmodel.Options{Seed: 1})
	random := rand.New(rand.NewPCG(5, 6))
	n := flips()
	for v := 2; v < n+2; v++ {
		dir := s.model(v, smallmodel.Options{Seed: 1}, t.TempDir()+"/colours")
		bit := random.IntN(len(good) * 8)
		if v%2 == 0 { // half of them in the structure at the beginning
			bit = random.IntN(4000 * 8)
		}
		alter(t, filepath.Join(dir, "model.tflite"), func(d []byte) []byte { d[bit/8] ^= 1 << (bit % 8); return d })
		s.publish(v, dir, func(m *release.Meta) { m.Limits.MinAgreement = 0.9 })
	}
	d := started(t, s.config)
	s.answers(1, 1)
	ends := map[payload.ReleaseState]int{}
	for v := 2; v < n+2; v++ {
		s.roll(v, uint64(v), nil)
		got := s.until(fmt.Sprint("an end of version ", v), func(r payload.Reported) bool {
			return r.Model != nil && r.Model.Version == v && r.State.Ended() && r.State != payload.Idle
		})
		ends[got.State]++
		switch {
		case got.State == payload.Committed && (got.Proof == nil || got.Proof.Agreement == nil || *got.Proof.Agreement < 0.9 || got.Proof.Golden != 1):
			t.Errorf("version %d committed with %+v", v, got.Proof)
		case got.State == payload.Rejected && got.Reason == "":
			t.Errorf("version %d rejected without a reason", v)
		}
		s.answers(got.Serving["colours"].Version, 1)
	}
	t.Logf("%d flipped bits: %v", n, ends)
	d.stop()
}
