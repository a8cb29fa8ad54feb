package payload

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

var restamps = []struct {
	name, in, out string // out "" means refused
}{
	{"as recorded", `{"id":"a/1/2","time":"1970-01-01T00:00:42Z","clock":"unsynced","uptime_us":42,"boot_id":"b","task":"detect"}`,
		`{"id":"a/1/2","time":"2026-11-20T10:00:00.123Z","clock":"corrected","task":"detect"}`},
	{"unknown fields", `{"z":{"time":1},"time":"x","clock":"unsynced","a":[1e400,"\u003c",{"clock":2}]}`,
		`{"z":{"time":1},"time":"2026-11-20T10:00:00.123Z","clock":"corrected","a":[1e400,"\u003c",{"clock":2}]}`},
	{"spaces", " { \"boot_id\" : 1 , \"time\" : 2 }\n", `{"time":"2026-11-20T10:00:00.123Z"}`},
	{"an odd name", `{"\u0074ime":1,"a\"b":2}`, `{"time":"2026-11-20T10:00:00.123Z","a\"b":2}`},
	{"no time", `{"clock":"unsynced"}`, ""}, {"empty", ``, ""}, {"an array", `[{"time":1}]`, ""},
	{"cut off", `{"time":1,"clock":`, ""}, {"two", `{"time":1}{"time":2}`, ""}, {"null", `null`, ""},
}

func TestRestamp(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 123e6, time.UTC)
	for _, c := range restamps {
		got, err := Restamp([]byte(c.in), at)
		if (err == nil) != (c.out != "") || string(got) != c.out {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.out)
		}
	}
	if _, err := Restamp([]byte(restamps[0].in), at.AddDate(9000, 0, 0)); err == nil {
		t.Error("a year of five digits has no RFC 3339 time")
	}
}

// FuzzRestamp: nothing but the four fields changes.
func FuzzRestamp(f *testing.F) {
	for _, c := range restamps {
		f.Add([]byte(c.in))
	}
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, rec []byte) {
		before := bytes.Clone(rec)
		got, err := Restamp(rec, at)
		if !bytes.Equal(rec, before) {
			t.Fatal("the record was written to")
		}
		if err != nil {
			return
		}
		var was, is map[string]json.RawMessage
		if err := json.Unmarshal(rec, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &is); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		for _, field := range []string{"uptime_us", "boot_id"} {
			if is[field] != nil {
				t.Fatalf("%s is still there: %s", field, got)
			}
			delete(was, field)
		}
		if len(is) != len(was) {
			t.Fatalf("%d fields, want %d: %s", len(is), len(was), got)
		}
		for name, v := range is {
			if name != "time" && name != "clock" && !bytes.Equal(v, was[name]) {
				t.Fatalf("%s is %s, was %s", name, v, was[name])
			}
		}
	})
}
