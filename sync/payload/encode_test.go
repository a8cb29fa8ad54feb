package payload

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"
)

// asReflected is a prediction as encoding/json itself writes it.
type asReflected Prediction

func FuzzAppendJSON(f *testing.F) {
	f.Add("cam-7", "military uniform", float32(0.83), float32(0), int64(1700000000123), int64(90), uint64(42), true)
	f.Add("a\"b\\c", "<é & \u2028>", float32(1e-7), float32(1e21), int64(0), int64(-1), uint64(0), false)
	f.Add("\x7f\x00\xff", "", float32(3.4e38), float32(-1e-10), int64(-1), int64(math.MaxInt64), uint64(math.MaxUint64), true)
	f.Fuzz(func(t *testing.T, device, label string, score, edge float32, ms, latency int64, n uint64, box bool) {
		p := Prediction{
			ID: label, Device: device, Boot: n, Seq: n, Camera: label, Time: time.UnixMilli(ms).UTC(), Clock: ClockSynced,
			Model: Model{Name: device, Version: int(latency), Digest: label}, Delegate: label, Converted: device, Task: Detect,
			UptimeUs: latency, BootID: label,
			Results: []Result{{Index: int(latency), Label: label, Score: score}, {Label: device}},
			Latency: Latency{Wait: latency, Decode: latency, Invoke: 1, Total: -latency}, File: label,
		}
		if y := p.Time.Year(); y < 0 || y > 9999 {
			return // no RFC 3339 time
		}
		if box {
			p.Results[0].Box = &[4]float32{edge, 0.5, score, 1}
		}
		if p.ID == "" && n > 0 {
			p.ID = NewID(device, n, n)
		}
		want, wrong := json.Marshal(asReflected(p))
		got, err := p.AppendJSON(nil)
		if (err != nil) != (wrong != nil) {
			t.Fatalf("errors %v and %v", err, wrong)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func TestIDIsDerived(t *testing.T) {
	p := Prediction{Device: "cam<7", Boot: 42, Seq: 3}
	got, err := p.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back Prediction
	if err := json.Unmarshal(got, &back); err != nil || back.ID != NewID("cam<7", 42, 3) {
		t.Errorf("id %q, %v", back.ID, err)
	}
}

func TestAppendJSONAllocatesNothing(t *testing.T) {
	p := examples()["unsynced"].(Prediction)
	p.ID = ""
	p.Results[0].Label = "Hündin" // labels are not all ASCII
	buf, err := p.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { buf, _ = p.AppendJSON(buf[:0]) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
