package agent

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/egret-edge/egret/sync/payload"
)

// recording is a recorder whose neighbours only take notes.
type recording struct {
	*recorder
	stored, latest []payload.Prediction
	refuse         error
}

func newRecording(t *testing.T) *recording {
	t.Helper()
	r := &recording{}
	note := func(to *[]payload.Prediction, rec []byte) {
		var p payload.Prediction
		if err := json.Unmarshal(rec, &p); err != nil {
			t.Error(err)
		}
		*to = append(*to, p)
	}
	r.recorder = newRecorder("dev", 7,
		func(rec []byte) error {
			if r.refuse == nil {
				note(&r.stored, rec)
			}
			return r.refuse
		},
		func(_ string, rec []byte) { note(&r.latest, rec) })
	return r
}

func scored(score float32) *payload.Prediction {
	return &payload.Prediction{Camera: "cam", Results: []payload.Result{{Index: 1, Label: "a", Score: score, Box: &[4]float32{0, 0, 0.5, 0.5}}}}
}

func TestNumbersAreSpentOnWhatIsStored(t *testing.T) {
	r := newRecording(t)
	for i, keep := range []bool{true, false, true} {
		if err := r.record(scored(0.5), keep); err != nil {
			t.Fatalf("prediction %d: %v", i, err)
		}
	}
	r.refuse = errors.New("disk of clay")
	if err := r.record(scored(0.5), true); !errors.Is(err, r.refuse) {
		t.Errorf("a refused record gave %v", err)
	}
	r.refuse = nil
	if err := r.record(scored(0.5), true); err != nil {
		t.Fatal(err)
	}
	if len(r.stored) != 3 {
		t.Fatalf("%d stored, want 3", len(r.stored))
	}
	for i, p := range r.stored {
		if p.Seq != uint64(i+1) || p.ID != payload.NewID("dev", 7, p.Seq) || p.Boot != 7 || p.Device != "dev" {
			t.Errorf("stored %d is %s (seq %d)", i, p.ID, p.Seq)
		}
	}
}

func TestLatestShowsChangesOnly(t *testing.T) {
	moved := scored(0.5)
	moved.Results[0].Box = &[4]float32{0.1, 0, 0.6, 0.5}
	other := scored(0.5)
	other.Results[0].Index = 2
	model := scored(0.5)
	model.Model.Version = 2
	r := newRecording(t)
	for i, tt := range []struct {
		p    *payload.Prediction
		want bool
	}{
		{scored(0.5), true}, {scored(0.5), false}, {scored(0.53), false}, {scored(0.56), true},
		{scored(0.5), true}, {moved, true}, {scored(0.5), true}, {other, true}, {scored(0.5), true}, {model, true},
		{&payload.Prediction{Camera: "cam"}, true}, {&payload.Prediction{Camera: "cam"}, false}, {&payload.Prediction{Camera: "door"}, true},
	} {
		before := len(r.latest)
		if err := r.record(tt.p, false); err != nil {
			t.Fatal(err)
		}
		if shown := len(r.latest) > before; shown != tt.want {
			t.Errorf("prediction %d: shown %v, want %v", i, shown, tt.want)
		}
	}
	for _, p := range r.latest {
		if p.Seq != 0 || p.ID != "" {
			t.Errorf("a prediction that was not kept has id %q and number %d", p.ID, p.Seq)
		}
	}
}
