package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// shelf is a device without an agent: colours with 1 and 2 in the configured
// folder and 3, 4 and 5 in the store, shapes that the configuration fixes, and
// dots, a bare file.
func shelf(t *testing.T) store.Store {
	t.Helper()
	t.Chdir(t.TempDir())
	s := store.New("state")
	colours := func(v int) string { return s.Dir(release.Model{Name: "colours", Version: v}) }
	for _, dir := range []string{"m/colours/1", "m/colours/2", "m/shapes/1", "m/shapes/2", colours(3), colours(4), colours(5), colours(6)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "model.tflite"), []byte(dir), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "m/dots.tflite", "dots")
	write(t, "egret.yaml", `
device: cam-7
state_dir: state
models:
  - {name: kinds, path: m/colours}
  - {name: shapes, path: m/shapes, version_policy: [1, 2]}
  - {name: dots, path: m/dots.tflite}
cameras:
  - {name: front, source: "pattern:", model: kinds}
  - {name: back, source: "pattern:", model: kinds@5}
`)
	abs := func(path string) string { // as the configuration's paths become
		p, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	s = store.New(abs("state"))
	v := func(n int) *store.Version {
		return &store.Version{Version: n, Dir: s.Dir(release.Model{Name: "colours", Version: n}), Release: "colours-" + string(rune('0'+n)), Gen: 1}
	}
	bad := release.Model{Name: "colours", Version: 6}
	rec := store.Record{
		Models: map[string]store.Model{"colours": {Base: abs("m/colours"), Current: v(4), Previous: v(3), Looked: 2}},
		Failed: []store.Failure{{Key: "folder colours/2:abc", Reason: "2 of 9 frames failed"}},
		Attempt: &store.Attempt{
			State: payload.Rejected, Reason: "it agrees with the present model on 3.0 % of 100 frames, at least 10.0 % are asked for",
			Model: bad, New: *v(6), Since: time.Date(2026, 11, 20, 10, 0, 0, 0, time.Local),
		},
	}
	if err := s.Save(rec); err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// model runs egret model … and gives both outputs.
func model(args string) (string, int) {
	var out bytes.Buffer
	words := append([]string{"model"}, strings.Fields(args)...)
	code := run(append(words, "--config", "egret.yaml"), nil, &out, &out)
	return out.String(), code
}

const listed = `MODEL    VERSION  WHERE    STATE                        RELEASE    REFUSED
colours  1        factory  -                            -          -
colours  2        factory  -                            -          2 of 9 frames failed
colours  3        store    previous                     colours-3  -
colours  4        store    serving, stable              colours-4  -
colours  5        store    configured                   -          -
colours  6        store    -                            colours-6  it agrees with the present model on 3.0 % of 100 frames, at least 10.0 % are asked for
shapes   1        factory  configured                   -          -
shapes   2        factory  serving, stable, configured  -          -
dots     -        factory  serving, stable              -          -
update: colours version 6: rejected since 2026-11-20 10:00:00: it agrees with the present model on 3.0 % of 100 frames, at least 10.0 % are asked for
`

func TestModelLs(t *testing.T) {
	shelf(t)
	if got, code := model("ls"); code != 0 || got != listed {
		t.Errorf("exit %d:\n%s\nwant:\n%s", code, got, listed)
	}
	got, code := model("ls kinds --json")
	var all []struct {
		Name     string
		Models   []string
		Versions []struct {
			Version                int
			State                  []string
			Where, Release, Failed string
		}
		Update struct{ State, Reason string }
	}
	if err := json.Unmarshal([]byte(got), &all); err != nil || code != 0 || len(all) != 1 {
		t.Fatalf("exit %d, %v: %s", code, err, got)
	}
	if m := all[0]; m.Name != "colours" || m.Models[0] != "kinds" || len(m.Versions) != 6 || m.Versions[3].State[0] != "serving" ||
		m.Versions[3].Where != "store" || m.Versions[3].Release != "colours-4" || m.Versions[1].Failed != "2 of 9 frames failed" || m.Update.State != "rejected" {
		t.Errorf("%+v", m)
	}
}

// TestModelErrors are the lines that people meet, and what scripts see.
func TestModelErrors(t *testing.T) {
	s := shelf(t)
	there := ": there are 1, 2, 3, 4, 5, 6\n"
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"ls colors", 1, "egret: no configured model is called \"colors\": did you mean \"colours\"?\n"},
		{"pin cats 1", 1, "egret: no configured model is called \"cats\": known: colours, dots, kinds, shapes\n"},
		{"pin colours 9", 1, "egret: there is no version 9 of colours on this device" + there},
		{"pin colours 9 --canary", 1, "egret: there is no version 9 of colours on this device" + there},
		{"promote colours 9", 1, "egret: there is no version 9 of colours on this device" + there},
		{"rm colours 9", 1, "egret: there is no version 9 of colours on this device" + there},
		{"promote dots 2", 1, "egret: there is no version 2 of dots on this device, nor any besides the factory model\n"},
		{"pin colours v2", 2, "egret: \"v2\" is no version: give a whole number, as egret model ls shows\n"},
		{"pin colours -2", 2, "egret: unknown shorthand flag: '2' in -2\n"},
		{"pin colours", 2, "egret: give a version or --off: egret model ls shows the versions\n"},
		{"pin colours 2 --off", 2, "egret: give a version or --off: egret model ls shows the versions\n"},
		{"pin colours --off", 1, "egret: no version of colours is pinned\n"},
		{"pin colours --canary --off", 1, "egret: no version of colours has the label canary\n"},
		{"promote colours", 1, "egret: no version of colours has the label canary: name a version\n"},
		{"promote colours 4 --wait -1s", 2, "egret: --wait -1s: give 0 to 24h\n"},
		{"promote colours 4", 0, "version 4 of colours serves already\n"},
		{"pin shapes 1", 1, "egret: the configuration fixes the versions of shapes (version_policy): change it there and reload the agent\n"},
		{"promote shapes 1", 1, "egret: the configuration fixes the versions of shapes (version_policy): change it there and reload the agent\n"},
		{"rollback shapes", 1, "egret: the configuration fixes the versions of shapes (version_policy): change it there and reload the agent\n"},
		{"rollback dots", 1, "egret: nothing to go back to: dots has the factory model only: egret model promote takes another version\n"},
		{"rm colours 4", 1, "egret: version 4 of colours is serving: egret model rollback goes back from it\n"},
		{"rm colours 3", 1, "egret: version 3 of colours is previous: it is what a rollback goes back to\n"},
		{"rm colours 5", 1, "egret: version 5 of colours is configured: a camera or version_policy names it\n"},
		{"rm colours 6", 0, "removed version 6 of colours\n"},
		{"pin kinds 5", 0, "the agent does not run: it will obey when it starts\n"}, // by the configured name
		{"pin colours 3 --canary --wait 0", 0, "ordered\n"},
		{"promote colours", 1, "egret: colours is pinned to version 5: egret model pin colours 3 pins it to the other one, or --off ends that\n"},
		{"rollback colours", 0, "the agent does not run: it will obey when it starts\n"}, // the pin: 4 stays
		{"rollback colours", 0, "the agent does not run: it will obey when it starts\n"},
		{"promote colours 5", 0, "the agent does not run: it will obey when it starts\n"},
		{"rm colours 5", 1, "egret: version 5 of colours is configured: a camera or version_policy names it\n"},
		{"rollback colours", 0, "the agent does not run: it will obey when it starts\n"}, // 4 stays, again
		{"pin colours --off", 1, "egret: no version of colours is pinned\n"},
		{"rm colours", 2, "egret: accepts 2 arg(s), received 1\n"},
	} {
		if got, code := model(tt.args); code != tt.code || got != tt.want {
			t.Errorf("egret model %s: exit %d, %q; want %d, %q", tt.args, code, got, tt.code, tt.want)
		}
	}
	o, err := s.Orders()
	if err != nil || o.Last == nil || *o.Last != (store.Order{Number: 6, Model: release.Model{Name: "colours", Version: 4}, Back: true}) || len(o.Earlier) != 0 || o.Canaries["colours"] != 3 {
		t.Errorf("%v, %+v", err, o.Last)
	}
	orders := filepath.Join(s.Updates(), "orders.json")
	write(t, orders, "{")
	damaged := "egret: read the orders in " + orders + ": unexpected end of JSON input: remove that file, and give the orders in it again\n"
	for _, args := range []string{"ls", "pin colours 3", "rm colours 3"} {
		if got, code := model(args); code != 1 || got != damaged {
			t.Errorf("egret model %s: exit %d, %q; want %q", args, code, got, damaged)
		}
	}
	for _, gone := range []string{orders, "m/shapes"} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	if got, code := model("ls"); code != 1 || !strings.HasPrefix(got, "egret: open model: stat ") || strings.Count(got, "\n") != 1 {
		t.Errorf("exit %d, %q", code, got)
	}
}

// TestModelDamagedRecord: looking at it does not set it aside, that is the
// agent's.
func TestModelDamagedRecord(t *testing.T) {
	s := shelf(t)
	record := filepath.Join(s.Updates(), "record.json")
	write(t, record, "{")
	want := "egret: read the record of updates in " + record + ": unexpected end of JSON input: start the agent anew, it sets a damaged record aside\n"
	for range 2 {
		if got, code := model("ls"); code != 1 || got != want {
			t.Errorf("exit %d, %q; want %q", code, got, want)
		}
	}
}

// TestModelUnreadable: who may not read the state folder is told to be somebody
// else.
func TestModelUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	s := shelf(t)
	if err := os.Chmod(s.Updates(), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(s.Updates(), 0o750)
	for _, args := range []string{"ls", "pin colours 1"} {
		if got, code := model(args); code != 1 || !strings.HasSuffix(got, "permission denied: try sudo, or as the agent's user\n") {
			t.Errorf("egret model %s: exit %d, %q", args, code, got)
		}
	}
}
