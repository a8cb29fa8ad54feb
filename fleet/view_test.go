package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// messages are what a broker may hold for the fleet test, honest and hostile;
// the seeds of the fuzz target too.
var messages = []struct{ topic, body string }{
	{"desired/west", `{"gen":7,"rev":2,"release":"cats-3","target":"models/cats/3.zip","state":"running","basis_points":10000,"salt":"s","jitter_s":600,"on_abort":"previous"}`},
	{"desired/east", `{"gen":3,"rev":1,"release":"dogs-2","target":"models/dogs/2.zip","state":"paused","basis_points":5000,"salt":"s"}`},
	{"desired/north", "\x1b]0;title\a"},
	{"dev/cam-1/status", `{"state":"online","device":"cam-1","version":"1.4.0"}`},
	{"dev/cam-1/reported", `{"device":"cam-1","cohort":"west","state":"downloading","since":"2026-11-20T09:59:48Z","release":"cats-3","gen":7,"progress":{"done":1700000,"of":4000000},"serving":{"cats":{"name":"cats","version":2}}}`},
	{"dev/cam-2/status", `{"state":"offline","reason":"lost","device":"cam-2"}`},
	{"dev/cam-2/reported", `{"device":"cam-2","cohort":"west","state":"trial","since":"2026-11-20T09:55:00Z","release":"cats-3","gen":7,"progress":{"done":120,"of":500},"serving":{"front":{"name":"cats","version":3},"dogs":{"name":"dogs","version":1}}}`},
	{"dev/cam-3/status", `{"state":"offline","reason":"shutdown","device":"cam-3"}`},
	{"dev/cam-3/reported", `{"device":"cam-3","cohort":"west","state":"rejected","reason":"agreement 0.71 is below 0.9","since":"2026-11-20T07:00:00Z","release":"cats-3","gen":7,"serving":{"cats":{"name":"cats","version":2}}}`},
	{"dev/cam-4/reported", `{"device":"cam-4","cohort":"west","state":"committed","since":"2026-11-01T00:00:00Z","release":"cats-2","gen":6,"serving":{"cats":{"name":"cats","version":2}}}`},
	{"dev/cam-5/reported", `{"device":"cam-5","cohort":"west","state":"idle","since":"2031-01-01T00:00:00Z","serving":{}}`},
	{"dev/cam-5/pin", `{"gen":1,"rev":1,"release":"dogs-2","target":"models/dogs/2.zip","state":"running","basis_points":10000,"salt":"s"}`},
	{"dev/cam-6/status", `{"state":"online","device":"cam-6"}`},
	{"dev/cam-7/reported", `{"device":"cam-9","cohort":"west","state":"idle"}`},
	{"dev/cam-8/reported", `{"device":"cam-8","cohort":"west","state":"rolled_back","reason":"\u001b[2J\u009b31mgone\r\nevil \u202eright","since":"1970-01-01T00:00:10Z","release":"cats-3\u0007","gen":7,"serving":{"\u001b[1m":{"name":"\u001b[1m","version":1}}}`},
	{"dev/cam-9/reported", `{"device":"cam-9","cohort":"west","state":"dreaming","release":"cats-3","gen":7,"serving":{"猫猫猫猫猫猫猫猫":{"name":"猫猫猫猫猫猫猫猫","version":1}}}`},
	{"dev/cam-10/reported", `{"device":"cam-10","cohort":"east","state":"idle"}`},
	{"dev/cam-11/reported", `{"device":"cam-11","cohort":"\u001b[2J","state":"idle"}`},
	{"dev/cam-12/reported", `{"device":"cam-12","cohort":"west","state":"\u001b[2J"}`},
	{"dev/cam-13/reported", "\x00\xff\x1b[2J"},
	{"dev/cam-13/pin", `{"gen":"\u001b[2J"}`},
	{"dev/cam-13/status", `{"state":"\u001b[2J","version":"\u001b[2J"}`},
	{"dev/cam-14/reported", `{"device":"cam-14","cohort":"west","state":"shadow","release":"cats-3","gen":7,"progress":{"done":-5,"of":-7}}`},
	{"dev/\x1b[2J/reported", `{"device":"x","cohort":"west","state":"idle"}`},
	{"dev/cam-15/reported/more", `{}`},
	{"dev/cam-15/telemetry", `{}`},
	{"operator/x", `{}`},
}

// filled is a view that has heard all messages.
func filled(t testing.TB, change func(*Options)) *view {
	v := newView(newDesk(t, change))
	v.begin()
	for _, m := range messages {
		v.fold("egret/v1/test/"+m.topic, []byte(m.body))
	}
	v.fold("egret/v1/other/dev/cam-99/status", []byte(`{"state":"online"}`))
	v.sweep()
	return v
}

func statusAt(v *view, now time.Time) Status {
	s := v.status()
	s.Time = now
	return s
}

func printed(t testing.TB, s Status, size Size) string {
	t.Helper()
	var b strings.Builder
	if err := s.Print(&b, size); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStatusTable(t *testing.T) {
	s := statusAt(filled(t, nil), at)
	golden(t, "status.txt", printed(t, s, Size{}))
	golden(t, "status-narrow.txt", printed(t, s, Size{Columns: 72, Rows: 14}))
	golden(t, "status-only.txt", printed(t, s.Only([]payload.ReleaseState{payload.Rejected, payload.RolledBack}), Size{}))
	golden(t, "status-pin.txt", printed(t, statusAt(filled(t, func(o *Options) { o.Pin = "cam-5" }), at), Size{}))
	golden(t, "status-broken.txt", printed(t, statusAt(filled(t, func(o *Options) { o.Cohort = "north" }), at), Size{}))
	golden(t, "status-empty.txt", printed(t, statusAt(newView(newDesk(t, nil)), at), Size{}))
	text, err := json.MarshalIndent(statusAt(filled(t, nil), at), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", string(text)+"\n")
}

func TestNarrowTableFits(t *testing.T) {
	s := statusAt(filled(t, nil), at)
	for _, size := range []Size{{1, 3}, {20, 8}, {40, 10}, {72, 14}, {100, 100}} {
		lines := strings.Split(strings.TrimSuffix(printed(t, s, size), "\n"), "\n")
		for _, line := range lines {
			if width(line) > size.Columns {
				t.Errorf("%d columns in %d: %q", width(line), size.Columns, line)
			}
		}
		if size.Rows > 12 && len(lines) >= size.Rows {
			t.Errorf("%d lines on a terminal of %d", len(lines), size.Rows)
		}
	}
}

// TestViewTells: one change per message that changes something, and none for
// other cohorts, repeats and what is not shown.
func TestViewTells(t *testing.T) {
	v := filled(t, nil)
	if u := v.update(); len(u.Changes) != 0 {
		t.Fatalf("%d changes before anybody looked", len(u.Changes))
	}
	report := func(device, cohort, state string) string {
		return fmt.Sprintf(`{"device":%q,"cohort":%q,"state":%q,"release":"cats-3","gen":7}`, device, cohort, state)
	}
	for _, c := range []struct{ topic, body, want string }{
		{"dev/cam-1/reported", report("cam-1", "west", "verifying"), "cam-1 online verifying cats-3"},
		{"dev/cam-1/reported", report("cam-1", "west", "verifying"), ""},
		{"dev/cam-1/status", `{"state":"offline","reason":"lost"}`, "cam-1 lost verifying cats-3"},
		{"dev/cam-1/reported", report("cam-1", "east", "idle"), "cam-1 is gone"},
		{"dev/cam-1/reported", report("cam-1", "east", "trial"), ""},
		{"dev/cam-1/reported", report("cam-1", "west", "trial"), "cam-1 lost trial cats-3"},
		{"dev/cam-10/reported", report("cam-10", "east", "trial"), ""},
		{"dev/cam-50/reported", report("cam-50", "west", "idle"), "cam-50 idle cats-3"},
		{"dev/cam-50/reported", "", "cam-50 is gone"},
		{"dev/cam-50/reported", "", ""},
		{"desired/east", "", ""},
		{"desired/west", "{", "cohort west: the rollout document cannot be read: rollout: unexpected EOF"},
		{"desired/west", "{", ""},
		{"desired/west", "", "cohort west: no rollout"},
		{"desired/west", messages[0].body, "cohort west: release cats-3 (models/cats/3.zip) running for 100%, gen 7 rev 2, downloads spread over 10m, back to the version before when aborted"},
	} {
		v.fold("egret/v1/test/"+c.topic, []byte(c.body))
		got := ""
		for _, change := range v.update().Changes {
			got += change.line(v.desk.Scope())
		}
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.topic, c.body, got, c.want)
		}
	}
}

// TestViewForgets what a new connection does not bring again.
func TestViewForgets(t *testing.T) {
	v := filled(t, nil)
	v.begin()
	v.fold("egret/v1/test/dev/cam-1/status", []byte(messages[3].body))
	v.sweep()
	s := v.status()
	if s.Rollout != nil || len(s.Devices) != 1 || s.Devices[0].State != Silent || s.Devices[0].Online != "online" || len(s.Others) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestViewIsBounded(t *testing.T) {
	v := newView(newDesk(t, func(o *Options) { o.MaxDevices = 10 }))
	v.begin()
	for i := range 25 {
		v.fold("egret/v1/test/dev/"+deviceName(i)+"/status", []byte(messages[3].body))
		v.fold(fmt.Sprintf("egret/v1/test/desired/c%d", i), []byte(messages[0].body))
	}
	if s := v.status(); len(s.Devices) != 10 || s.Beyond != 15 || !strings.Contains(printed(t, s, Size{}), "\n… and 17 cohorts more\nmore devices than can be kept: 15 messages were left out\n") {
		t.Errorf("%d devices:\n%s", len(s.Devices), printed(t, s, Size{}))
	}
	for i := range maxCohorts + 10 {
		v.fold(fmt.Sprintf("egret/v1/test/desired/c%d", i), []byte(messages[0].body))
	}
	v.fold("egret/v1/test/desired/west", []byte(messages[0].body))
	if len(v.cohorts) != maxCohorts+1 || v.status().Rollout == nil {
		t.Errorf("%d cohorts", len(v.cohorts))
	}
	v.sweep()
	for i := range maxPending + 5 {
		v.fold("egret/v1/test/dev/cam-0001/status", []byte(messages[3+2*(i%2)].body))
	}
	if u := v.update(); len(u.Changes) > maxPending || len(u.Changes)+int(u.Missed) != maxPending+4 {
		t.Errorf("%d changes and %d missed", len(u.Changes), u.Missed)
	}
	big := `{"device":"cam-0001","cohort":"west","state":"idle","reason":"` + strings.Repeat("x", payload.MaxReportedBytes) + `"}`
	v.fold("egret/v1/test/dev/cam-0001/reported", []byte(big))
	many := map[string]payload.Model{}
	for i := range 100 {
		many[fmt.Sprint("m", i)] = payload.Model{Name: strings.Repeat("n", 500)}
	}
	text, _ := json.Marshal(payload.Reported{Device: "cam-0002", Cohort: "west", State: payload.Idle, Serving: many, Reason: strings.Repeat("r", 5000)})
	v.fold("egret/v1/test/dev/cam-0002/reported", text)
	rows := v.status().Devices
	if rows[1].State != Unreadable || rows[1].Reason != "report: larger than 64 KiB" {
		t.Errorf("%+v", rows[1])
	}
	if text, _ := json.Marshal(rows[2]); len(rows[2].Serving) != maxServing || len(text) > 5000 {
		t.Errorf("kept %d bytes: %+v", len(text), rows[2])
	}
}

// TestCountsAreOfThisRollout: who committed an earlier release is not counted
// for this one, and a share selects those that the release's own formula says.
func TestCountsAreOfThisRollout(t *testing.T) {
	v := newView(newDesk(t, nil))
	v.begin()
	r := doc(func(r *release.Rollout) { r.BasisPoints = 2500 })
	v.fold("egret/v1/test/desired/west", r.Data)
	selected := 0
	for i := range 400 {
		id, gen := deviceName(i), 6
		if i%2 == 0 && r.Rollout.Selects(id) {
			gen = 7
		}
		if r.Rollout.Selects(id) {
			selected++
		}
		v.fold("egret/v1/test/dev/"+id+"/reported", fmt.Appendf(nil, `{"device":%q,"cohort":"west","state":"committed","release":"cats-3","gen":%d}`, id, gen))
	}
	c := v.status().Counts
	if c.Devices != 400 || c.Selected != selected || selected < 60 || selected > 140 || c.States[payload.Committed]+c.Waiting != selected || c.Waiting == 0 {
		t.Errorf("%+v with %d selected", c, selected)
	}
}

// showable fails when text could do more to a terminal than show letters.
func showable(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%U would reach the terminal: %q", r, text)
		}
	}
}

func TestNothingHostileIsShown(t *testing.T) {
	s := filled(t, nil).status()
	showable(t, printed(t, s, Size{}))
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	showable(t, string(text))
}

func FuzzFold(f *testing.F) {
	for _, m := range messages {
		f.Add(m.topic, []byte(m.body))
	}
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		v := newView(newDesk(t, nil))
		v.begin()
		v.sweep()
		for _, m := range messages[:5] {
			v.fold("egret/v1/test/"+m.topic, []byte(m.body))
		}
		v.fold("egret/v1/test/"+topic, body)
		s := v.status()
		showable(t, printed(t, s, Size{Columns: 80, Rows: 24}))
		showable(t, printed(t, s, Size{}))
		if text, err := json.Marshal(s); err != nil {
			t.Error(err)
		} else {
			showable(t, string(text))
		}
		for _, c := range v.update().Changes {
			showable(t, c.line("cohort west"))
		}
		v.begin()
		v.sweep()
		if s := v.status(); len(s.Devices) != 0 || s.Rollout != nil {
			t.Errorf("not forgotten: %+v", s)
		}
	})
}
