package release

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func sample() Meta {
	return Meta{Release: "cats-3", Sequence: 3, Model: Model{"cats", 3}, Hardware: []string{"linux/arm64"}, MinAgent: "1.4.0"}
}

func TestMeta(t *testing.T) {
	data, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseMeta(data); err != nil || fmt.Sprint(got) != fmt.Sprint(sample()) {
		t.Errorf("%s became %+v, %v", data, got, err)
	}
	for name, tt := range map[string]struct {
		change func(*Meta)
		want   string
	}{
		"release":   {func(m *Meta) { m.Release = "a b" }, `release "a b"`},
		"sequence":  {func(m *Meta) { m.Sequence = 0 }, "sequence number must be 1"},
		"name":      {func(m *Meta) { m.Model.Name = "../x" }, `model "../x"`},
		"version":   {func(m *Meta) { m.Model.Version = 0 }, "version 0"},
		"hardware":  {func(m *Meta) { m.Hardware = []string{"arm64"} }, "not like linux/arm64"},
		"many":      {func(m *Meta) { m.Hardware = make([]string, 17) }, "17 kinds of hardware"},
		"agent":     {func(m *Meta) { m.MinAgent = "1.4" }, "no version such as 1.2.3"},
		"agreement": {func(m *Meta) { m.Limits.MinAgreement = 1.1 }, "are 0 to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			m := sample()
			tt.change(&m)
			data, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseMeta(data); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	for _, bad := range []string{"", "[]", `{"release":`, `{} {}`, strings.Repeat(" ", maxMetaBytes) + "{}"} {
		if _, err := ParseMeta([]byte(bad)); err == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
}

// TestFractionsAreStrings: canonical JSON, over which signatures are made, has
// no floating point numbers.
func TestFractionsAreStrings(t *testing.T) {
	m := sample()
	m.Limits = Limits{MinAgreement: 0.95, MaxSlowdown: 1.5}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"limits":{"min_agreement":"0.95","max_slowdown":"1.5"}`) {
		t.Errorf("%s", data)
	}
	if got, err := ParseMeta(data); err != nil || got.Limits != m.Limits {
		t.Errorf("%s became %+v, %v", data, got, err)
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		platform, agent, want string
	}{
		{"linux/arm64", "1.4.0", ""},
		{"linux/arm64", "v1.10.0-3-gabc", ""},
		{"linux/arm64", "dev", ""},
		{"linux/arm64", "1.3.9", "needs agent 1.4.0"},
		{"linux/arm64", "0.99.99", "needs agent 1.4.0"},
		{"linux/amd64", "2.0.0", "is for linux/arm64, this is linux/amd64"},
	} {
		err := sample().Fits(tt.platform, tt.agent)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: %v, want %q", tt.platform, tt.agent, err, tt.want)
		}
	}
}

func TestTarget(t *testing.T) {
	if got := Target(Model{"cats", 12}); got != "models/cats/12.zip" {
		t.Error(got)
	}
	if m, err := ParseTarget("models/cats/12.zip"); err != nil || m != (Model{"cats", 12}) {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range []string{"", "models/cats/0.zip", "models/cats/012.zip", "models/../12.zip", "models/cats/12", "/models/cats/1.zip",
		"models/cats/+1.zip", "models/cats/1.zip/", "x/cats/1.zip", "models/cats/99999999999.zip"} {
		if m, err := ParseTarget(bad); err == nil {
			t.Errorf("%q became %v", bad, m)
		}
	}
}

func TestPolicy(t *testing.T) {
	p, err := ParsePolicy([]byte(`{"min_sequence":{"cats":4},"more":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Allows(sample()); err == nil || !strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("sequence 3: %v", err)
	}
	m := sample()
	m.Sequence = 4
	if err := p.Allows(m); err != nil {
		t.Errorf("sequence 4: %v", err)
	}
	if _, err := ParsePolicy([]byte(`{"min_sequence":{"a/b":4}}`)); err == nil {
		t.Error("a bad name was taken")
	}
}

func rollout() Rollout {
	return Rollout{Gen: 1, Rev: 2, Release: "cats-3", Target: "models/cats/3.zip", State: Running, BasisPoints: 500, Salt: "s1", JitterS: 600, OnAbort: Previous}
}

func TestRollout(t *testing.T) {
	data, err := json.Marshal(rollout())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseRollout(data); err != nil || got != rollout() {
		t.Errorf("%s became %+v, %v", data, got, err)
	}
	for want, change := range map[string]func(*Rollout){
		"gen must be":       func(r *Rollout) { r.Gen = 0 },
		"release \"\"":      func(r *Rollout) { r.Release = "" },
		"target \"x\"":      func(r *Rollout) { r.Target = "x" },
		"state \"on\"":      func(r *Rollout) { r.State = "on" },
		"basis_points":      func(r *Rollout) { r.BasisPoints = 10_001 },
		"basis_points -1":   func(r *Rollout) { r.BasisPoints = -1 },
		"salt":              func(r *Rollout) { r.Salt = strings.Repeat("x", 65) },
		"jitter_s 86401":    func(r *Rollout) { r.JitterS = 86401 },
		"on_abort \"flee\"": func(r *Rollout) { r.OnAbort = "flee" },
	} {
		r := rollout()
		change(&r)
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestSelects: the formula is a contract, so one value of it is written down;
// shares come out as asked for and smaller ones lie within larger ones.
func TestSelects(t *testing.T) {
	r := rollout()
	r.Salt, r.BasisPoints = "s1", 0
	for r.BasisPoints < All && !r.Selects("cam-7") {
		r.BasisPoints++
	}
	if r.BasisPoints != 3281 {
		t.Errorf("cam-7 is in from %d basis points on, want 3281", r.BasisPoints)
	}
	const devices = 20_000
	for _, share := range []Share{0, 1, 500, 5000, All} {
		small, large := rollout(), rollout()
		small.BasisPoints, large.BasisPoints = share, min(share*2, All)
		n := 0
		for i := range devices {
			device := fmt.Sprint("cam-", i)
			if small.Selects(device) {
				n++
				if !large.Selects(device) {
					t.Fatalf("%s is in %d but not in %d", device, share, large.BasisPoints)
				}
			}
		}
		want := devices * int(share) / int(All)
		if n < want-want/5-5 || n > want+want/5+5 {
			t.Errorf("%d of %d devices for %d basis points, want about %d", n, devices, share, want)
		}
	}
}

func TestOlder(t *testing.T) {
	at := func(gen, rev uint64) Rollout { return Rollout{Gen: gen, Rev: rev} }
	inOrder := []Rollout{at(1, 1), at(1, 2), at(2, 0), at(2, 1)}
	for i, a := range inOrder {
		for k, b := range inOrder {
			if a.Older(b) != (i < k) {
				t.Errorf("%v older than %v: %v", a, b, a.Older(b))
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"gen":1,"release":"r","target":"models/a/1.zip","state":"running","basis_points":1,"salt":"s"}`))
	f.Add([]byte(`{"release":"r","sequence":1,"model":{"name":"a","version":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := ParseRollout(data); err == nil {
			if m, err := ParseTarget(r.Target); err != nil || Target(m) != r.Target {
				t.Errorf("%q was taken with the target %q", data, r.Target)
			}
		}
		if m, err := ParseMeta(data); err == nil {
			if _, err := ParseTarget(Target(m.Model)); err != nil {
				t.Errorf("%q was taken with the model %+v", data, m.Model)
			}
		}
		_, _ = ParsePolicy(data)
	})
}
