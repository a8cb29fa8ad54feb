package store

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

func sample() Record {
	v := func(n int) *Version {
		return &Version{Version: n, Dir: fmt.Sprint("/m/cats/", n), Digest: "sha256:x", Bundle: "ab", Release: "r", Gen: 1, Sequence: 2}
	}
	share := 0.5
	return Record{
		Models: map[string]Model{"cats": {Base: "/m/cats", Current: v(2), Previous: v(1), Looked: 1}},
		Attempt: &Attempt{State: payload.Trial, Since: time.Unix(1e9, 0).UTC(), By: ByRollout, Key: "r@1", Model: cats(3), New: *v(3), Starts: -1,
			Doc: &release.Rollout{Gen: 1, Release: "r"}, NotBefore: time.Unix(1e9, 0).UTC(), Limits: release.Limits{MinAgreement: 0.95}, Proof: payload.Proof{Agreement: &share}, InvokeUs: 1.5},
		Seen:   map[string]Stamp{"topic": {1, 2}},
		Failed: []Failure{{"a", "b"}}, Obeyed: 7,
	}
}

func TestRecord(t *testing.T) {
	s := odd(t)
	r, err := s.Load()
	if err != nil || r.Models == nil || r.Seen == nil || r.Attempt != nil {
		t.Errorf("of nothing: %+v, %v", r, err)
	}
	if _, err := os.Stat(s.state); err == nil {
		t.Error("reading made the state folder")
	}
	want := sample()
	if err := s.Save(want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	// What a crash left of the next one does not count.
	write(t, filepath.Join(s.Updates(), recordFile+".new"), `{"obey`)
	if got, err := s.Load(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after a crash %+v, %v", got, err)
	}
	big := sample()
	big.Failed = []Failure{{"a", strings.Repeat("x", maxRecord)}}
	if err := s.Save(big); err == nil || !strings.Contains(err.Error(), "more than 1024 KiB") {
		t.Errorf("a record that cannot be read again was written: %v", err)
	}
	if got, err := s.Load(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("then %+v, %v", got, err)
	}
}

func TestServing(t *testing.T) {
	r := sample()
	if got := r.Serving("cats"); got.Version != 3 {
		t.Errorf("on trial: %+v", got)
	}
	if got := r.Serving("dogs"); got != nil {
		t.Errorf("of another model: %+v", got)
	}
	for _, state := range []payload.ReleaseState{payload.Idle, payload.Downloading, payload.Verifying, payload.Probing, payload.Shadow, payload.Committed, payload.RolledBack, payload.Rejected} {
		r.Attempt.State = state
		if got := r.Serving("cats"); got.Version != 2 {
			t.Errorf("in %s: %+v", state, got)
		}
	}
}

func TestFail(t *testing.T) {
	var r Record
	for i := range 100 {
		r.Fail(fmt.Sprint(i), "first")
	}
	r.Fail("50", "again")
	if len(r.Failed) != maxFailures {
		t.Errorf("%d failures", len(r.Failed))
	}
	for key, want := range map[string]bool{"0": false, "36": true, "50": true, "99": true} {
		if f, got := r.HasFailed(key); got != want || got && key == "50" && f.Reason != "again" {
			t.Errorf("%s: %v, %v", key, f, got)
		}
	}
	for i := range maxFailures - 1 {
		r.Fail(fmt.Sprint("new ", i), "")
	}
	if _, ok := r.HasFailed("50"); !ok {
		t.Error("the last one was not the youngest")
	}
}

// damaged are records that must not be gone on with.
var damaged = map[string]string{
	"empty": "", "torn": `{"models":{"cats":{"ba`, "two": `{}{}`, "array": `[]`, "types": `{"models":7}`,
	"large": strings.Repeat(" ", maxRecord) + `{}`, "state": `{"attempt":{"state":"unheard of"}}`,
	"no state": `{"attempt":{}}`, "no document": `{"attempt":{"state":"downloading"}}`, "zeros": strings.Repeat("\x00", 100),
}

func TestDamagedRecord(t *testing.T) {
	for name, data := range damaged {
		t.Run(name, func(t *testing.T) {
			s := odd(t)
			path := filepath.Join(s.Updates(), recordFile)
			write(t, path+".damaged", "an older one")
			write(t, path, data)
			r, err := s.Load()
			if err == nil || r.Models == nil || r.Seen == nil || len(r.Models) > 0 || r.Attempt != nil {
				t.Errorf("%+v, %v", r, err)
			}
			if got, err := os.ReadFile(path + ".damaged"); err != nil || string(got) != data {
				t.Errorf("set aside: %.50q, %v", got, err)
			}
			if _, err := s.Load(); err != nil {
				t.Errorf("the second time: %v", err)
			}
			if err := s.Save(sample()); err != nil {
				t.Error(err)
			}
		})
	}
}

// FuzzLoad: whatever lies there, what Load returns can be saved and loaded, and
// an attempt is in a state that is known.
func FuzzLoad(f *testing.F) {
	for _, data := range damaged {
		f.Add([]byte(data))
	}
	f.Add([]byte(`{"models":{"cats":{"base":"/m","current":{"version":3,"dir":"/m/3"}}},"attempt":{"state":"trial"},"seen":null,"failed":[{}]}`))
	f.Add([]byte(`null`))
	s := odd(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, filepath.Join(s.Updates(), recordFile), string(data))
		r, _ := s.Load()
		if r.Models == nil || r.Seen == nil {
			t.Fatal("a map is nil")
		}
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		_ = r.Serving("cats")
		r.Fail("a", "b")
		if err := s.Save(r); err != nil {
			if len(data) < maxRecord/8 { // escapes make it longer
				t.Fatal(err)
			}
			return
		}
		if _, err := s.Load(); err != nil {
			t.Fatalf("what was saved cannot be loaded: %v", err)
		}
	})
}
