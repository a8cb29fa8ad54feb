package payload

import (
	"encoding/json"
	"strings"
	"testing"
)

var long = strings.Repeat("x", 65)

// commandCases are payloads of commands; problem "" means that it is taken.
var commandCases = []struct {
	name, body, problem string
	want                string // the command as JSON
}{
	{Snapshot, ``, "", `{"Name":"snapshot"}`},
	{Snapshot, " \n", "", `{"Name":"snapshot"}`},
	{Snapshot, `{}`, "", `{"Name":"snapshot"}`},
	{Snapshot, `{"camera":"front","id":"a-1"}`, "", `{"Name":"snapshot","ID":"a-1","Camera":"front"}`},
	{RestartCamera, `{"camera":"front"}`, "", `{"Name":"restart-camera","Camera":"front"}`},
	{Set, `{"camera":"front","max_fps":2.5}`, "", `{"Name":"set","Camera":"front","MaxFPS":2.5}`},
	{Set, `{"max_fps":0}`, "", `{"Name":"set","MaxFPS":0}`},
	{Set, `{"log_level":"debug"}`, "", `{"Name":"set","LogLevel":"debug"}`},
	{Diagnose, `{"id":"d"}`, "", `{"Name":"diagnose","ID":"d"}`},

	{Snapshot, `PRESS`, "not a JSON object", ""},
	{Snapshot, `null`, "not a JSON object", ""},
	{Snapshot, `["front"]`, "not a JSON object", ""},
	{Snapshot, `{"camera":"front"}{}`, "not a JSON object", ""},
	{Snapshot, `{"camera":`, "not a JSON object", ""},
	{Snapshot, `{"id":"` + long + `"}`, "id must be", ""},
	{Snapshot, `{"id":"a/b"}`, "id must be", ""},
	{Snapshot, `{"id":7}`, "id must be", ""},
	{Snapshot, `{"id":"a","camera":"../x"}`, "camera must be", `{"Name":"snapshot","ID":"a"}`},
	{Snapshot, `{"id":"a","camra":"front"}`, `takes no "camra"`, `{"Name":"snapshot","ID":"a"}`},
	{Diagnose, `{"id":"a","camera":"front"}`, `takes no "camera"`, `{"Name":"diagnose","ID":"a"}`},
	{"reboot", `{"id":"a"}`, `no command "reboot": try diagnose, restart-camera, set, snapshot`, `{"Name":"reboot","ID":"a"}`},
	{Set, `{"id":"a"}`, "nothing to set", `{"Name":"set","ID":"a"}`},
	{Set, `{"camera":"front","log_level":"warn"}`, "nothing to set for camera", ""},
	{Set, `{"max_fps":-1}`, "max_fps must be", `{"Name":"set"}`},
	{Set, `{"max_fps":1001}`, "max_fps must be", ""},
	{Set, `{"max_fps":null}`, "max_fps must be", ""},
	{Set, `{"max_fps":"2"}`, "max_fps must be", ""},
	{Set, `{"log_level":"loud"}`, "log_level must be", `{"Name":"set"}`},
	{Set, `{"log_level":"` + strings.Repeat("x", MaxCommandBytes) + `"}`, "larger than 64 KiB", ""},
}

func TestParseCommand(t *testing.T) {
	for _, c := range commandCases {
		got, err := ParseCommand(c.name, []byte(c.body))
		if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s %.80s: error %v, want %q", c.name, c.body, err, c.problem)
		}
		if c.want == "" {
			continue
		}
		var want Command
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Errorf("%s %.80s: %s, want %s", c.name, c.body, a, b)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, c := range commandCases {
		f.Add(c.name, []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		c, err := ParseCommand(name, body)
		if c.ID != "" && !ValidID(c.ID) || c.Camera != "" && err == nil && !ValidID(c.Camera) {
			t.Errorf("%+v cannot stand in a topic", c)
		}
		if c.MaxFPS != nil && !(*c.MaxFPS >= 0 && *c.MaxFPS <= MaxFPS) {
			t.Errorf("max_fps %v", *c.MaxFPS)
		}
		if err == nil {
			return
		}
		if text := err.Error(); strings.ContainsAny(text, "\n\r") || len(text) > 1000 {
			t.Errorf("error of %d bytes: %q", len(text), text)
		}
	})
}
