package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// thinRec is a record from a line such as "front 10:00:05 person 0.8 car 0.6",
// with the sequence number seq. A line that begins with "!" is a record as it
// stands.
func thinRec(t testing.TB, line string, seq int) []byte {
	t.Helper()
	if raw, ok := strings.CutPrefix(line, "!"); ok {
		return []byte(raw)
	}
	words := strings.Fields(line)
	at, err := time.Parse(time.DateTime, "2026-11-20 "+words[1])
	if err != nil {
		t.Fatal(err)
	}
	p := payload.Prediction{Device: "cam-7", Boot: 42, Seq: uint64(seq), Camera: words[0], Time: at, Results: []payload.Result{}}
	for i := 2; i < len(words); i += 2 {
		r := payload.Result{Index: i, Label: words[i]}
		if _, err := fmt.Sscan(words[i+1], &r.Score); err != nil {
			t.Fatal(err)
		}
		p.Results = append(p.Results, r)
	}
	rec, err := p.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

type thinCase struct {
	name      string
	recs      []string // a line that is kept begins with "+"
	hard      bool
	summaries []string
}

// common makes label no rare one: three predictions that a run of them ends
// and begins with are kept.
func common(camera, label string) []string {
	return []string{
		"+" + camera + " 09:00:00 " + label + " 0.8", camera + " 09:00:01 " + label + " 0.8", "+" + camera + " 09:00:02 " + label + " 0.8",
	}
}

const (
	frontSummary = `{"summary":true,"id":"cam-7/42/%s","device":"cam-7","boot":42,"camera":"front","from":"2026-11-20T%sZ","to":"2026-11-20T%sZ","predictions":%d,"labels":{%s}}`
	someSummary  = `!{"summary":true,"id":"cam-7/42/1-9","device":"cam-7","boot":42,"camera":"front","from":"2026-11-20T10:00:00Z","to":"2026-11-20T10:00:09Z","predictions":9,"labels":{"person":9}}`
)

func front(ids, from, to string, n int, labels string) string {
	return fmt.Sprintf(frontSummary, ids, from, to, n, labels)
}

func thinCases() []thinCase {
	return []thinCase{
		{name: "nothing"},
		{name: "a run", recs: []string{
			"+front 10:00:00 person 0.8", "front 10:00:01 person 0.85", "front 10:00:02 person 0.75", "+front 10:00:03 person 0.8",
		}, summaries: []string{front("2-3", "10:00:01", "10:00:02", 2, `"person":2`)}},
		{name: "by the minute", recs: []string{
			"+front 10:00:00 person 0.8", "front 10:00:58 person 0.8", "front 10:00:59 person 0.8", "front 10:01:00 person 0.8", "+front 10:01:01 person 0.8",
		}, summaries: []string{
			front("2-3", "10:00:58", "10:00:59", 2, `"person":2`), front("4-4", "10:01:00", "10:01:00", 1, `"person":1`),
		}},
		{name: "changes of the label", recs: append(common("front", "dog"),
			"+front 10:00:00 person 0.8", "front 10:00:01 person 0.8", "+front 10:00:02 person 0.8",
			"+front 10:00:03 dog 0.8", "+front 10:00:04 person 0.8", "+front 10:00:05 person 0.8",
		), summaries: []string{
			front("2-2", "09:00:01", "09:00:01", 1, `"dog":1`), front("5-5", "10:00:01", "10:00:01", 1, `"person":1`),
		}},
		{name: "changes of the score and of how many", recs: []string{
			"+front 10:00:00 person 0.9", "front 10:00:01 person 0.85", "+front 10:00:02 person 0.85",
			"+front 10:00:03 person 0.6", "front 10:00:04 person 0.6", "+front 10:00:05 person 0.6",
			"+front 10:00:06 person 0.6 person 0.6", "front 10:00:07 person 0.6 person 0.6", "+front 10:00:08 person 0.6 person 0.6",
		}, summaries: []string{front("2-8", "10:00:01", "10:00:07", 3, `"person":3`)}},
		{name: "drift is a change in the end", recs: []string{
			"+front 10:00:00 person 0.9", "front 10:00:01 person 0.85", "+front 10:00:02 person 0.81", "+front 10:00:03 person 0.78", "+front 10:00:04 person 0.74",
		}, summaries: []string{front("2-2", "10:00:01", "10:00:01", 1, `"person":1`)}},
		{name: "low scores", recs: []string{
			"+front 10:00:00 person 0.4", "+front 10:00:01 person 0.4", "+front 10:00:02 person 0.4", "+front 10:00:03 person 0.4",
		}},
		{name: "nothing seen is a run, too", recs: []string{
			"+front 10:00:00", "front 10:00:01", "front 10:00:02", "+front 10:00:03",
		}, summaries: []string{front("2-3", "10:00:01", "10:00:02", 2, ``)}},
		{name: "a rare label among others", recs: []string{
			"+front 10:00:00 person 0.8 car 0.6", "front 10:00:01 person 0.8 car 0.6", "+front 10:00:02 person 0.8 deer 0.6",
			"front 10:00:03 person 0.8 car 0.6", "front 10:00:04 person 0.8 cow 0.2", "+front 10:00:05 person 0.8 car 0.6",
		}, summaries: []string{front("2-5", "10:00:01", "10:00:04", 3, `"car":2,"person":3`)}},
		{name: "cameras by themselves", recs: []string{
			"+front 10:00:00 person 0.8", "+yard 10:00:00 dog 0.8", "front 10:00:01 person 0.8", "yard 10:00:01 dog 0.8", "+front 10:00:02 person 0.8", "+yard 10:00:02 dog 0.8",
		}, summaries: []string{
			front("3-3", "10:00:01", "10:00:01", 1, `"person":1`),
			strings.ReplaceAll(front("4-4", "10:00:01", "10:00:01", 1, `"dog":1`), "front", "yard"),
		}},
		{name: "summaries stay", recs: []string{"+" + someSummary}},
		{name: "hard", hard: true, recs: []string{
			"front 10:00:00 person 0.8", "front 10:00:01 deer 0.3", "+" + someSummary, "front 10:00:02 person 0.8",
		}, summaries: []string{front("1-4", "10:00:00", "10:00:02", 3, `"deer":1,"person":2`)}},
		{name: "no predictions", recs: []string{
			"!not JSON", "!{}", `!{"device":"d","camera":"c"}`, `!{"device":"d","camera":"c","seq":1,"time":"0001-01-01T00:00:00+23:00"}`, "![1]", "+front 10:00:00 person 0.8",
		}},
	}
}

func TestThin(t *testing.T) {
	for _, tt := range thinCases() {
		t.Run(tt.name, func(t *testing.T) {
			var recs [][]byte
			var want []bool
			for i, line := range tt.recs {
				line, kept := strings.CutPrefix(line, "+")
				recs, want = append(recs, thinRec(t, line, i+1)), append(want, kept)
			}
			keep, summaries := thin(recs, tt.hard)
			for i := range want {
				if keep[i] != want[i] {
					t.Errorf("record %d, %s: kept %v", i+1, tt.recs[i], keep[i])
				}
			}
			var got []string
			for _, s := range summaries {
				got = append(got, string(s))
			}
			if !slices.Equal(got, tt.summaries) {
				t.Errorf("summaries\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.summaries, "\n"))
			}
		})
	}
}

// What has been thinned once has nothing left to thin, and every summary has
// an id of its own, however often it comes by.
func TestThinAgain(t *testing.T) {
	var recs [][]byte
	for i := range 500 {
		recs = append(recs, thinRec(t, fmt.Sprintf("front 10:%02d:%02d person 0.8", i/60, i%60), i+1))
	}
	ids := map[string]bool{}
	for round, hard := range []bool{false, false, true, true} {
		keep, summaries := thin(recs, hard)
		var next [][]byte
		for i, rec := range recs {
			if keep[i] {
				next = append(next, rec)
			}
		}
		for _, s := range summaries {
			var sum payload.Summary
			if err := json.Unmarshal(s, &sum); err != nil || ids[sum.ID] {
				t.Errorf("summary %s, %v: its id came before", s, err)
			}
			ids[sum.ID] = true
		}
		if round%2 == 1 && len(summaries) > 0 {
			t.Errorf("round %d gave %d summaries more", round, len(summaries))
		}
		recs = append(next, summaries...)
	}
	total := 0
	for _, rec := range recs {
		var sum payload.Summary
		if err := json.Unmarshal(rec, &sum); err != nil || !sum.Summary {
			t.Fatalf("%s is left", rec)
		}
		total += sum.Predictions
	}
	if total != 500 {
		t.Errorf("summaries stand for %d predictions of 500", total)
	}
}

// TestThinInAnOutbox: the changes of a week outlive the bound.
func TestThinInAnOutbox(t *testing.T) {
	box, err := outbox.Open(outbox.Options{Path: filepath.Join(t.TempDir(), OutboxFile), MaxBytes: 256 << 10, Thin: thin})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	const n = 6000 // some seven times the bound
	for i := range n {
		label := "person 0.8"
		if i%1000 == 500 {
			label = "deer 0.8"
		}
		if err := box.Append(thinRec(t, fmt.Sprintf("front %02d:%02d:%02d %s", i/3600, i/60%60, i%60, label), i+1)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			if err := box.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := box.Stats()
	if s.Dropped[outbox.DroppedThinned] == 0 || len(s.Dropped) != 1 || s.StoredBytes > 256<<10 {
		t.Errorf("account: %+v", s)
	}
	b, _ := box.Take(n, 1<<30)
	deer, total := 0, 0
	for i := range b.Len() {
		var sum payload.Summary
		if err := json.Unmarshal(b.Record(i), &sum); err != nil {
			t.Fatal(err)
		}
		if total += sum.Predictions; sum.Summary {
			deer += sum.Labels["deer"]
			continue
		}
		if total++; bytes.Contains(b.Record(i), []byte(`"deer"`)) {
			deer++
		}
	}
	if deer != 6 || total != n {
		t.Errorf("%d predictions and %d deer are accounted for, want %d and 6", total, deer, n)
	}
}

// Whatever lies in the outbox: each prediction that goes is in one summary.
func FuzzThin(f *testing.F) {
	for _, tt := range thinCases() {
		var recs [][]byte
		for i, line := range tt.recs {
			recs = append(recs, thinRec(f, strings.TrimPrefix(line, "+"), i+1))
		}
		f.Add(bytes.Join(recs, []byte("\n")), tt.hard)
	}
	f.Fuzz(func(t *testing.T, lines []byte, hard bool) {
		recs := bytes.Split(lines, []byte("\n"))
		keep, summaries := thin(recs, hard)
		if len(keep) != len(recs) {
			t.Fatalf("%d answers for %d records", len(keep), len(recs))
		}
		gone := 0
		for i, rec := range recs {
			if !keep[i] && readEntry(rec) != nil {
				gone++
			}
			if keep[i] && readEntry(rec) == nil {
				t.Errorf("%q is kept", rec)
			}
		}
		for _, s := range summaries {
			var sum payload.Summary
			if err := json.Unmarshal(s, &sum); err != nil || !sum.Summary || sum.Predictions == 0 || sum.To.Before(sum.From) {
				t.Fatalf("summary %s: %v", s, err)
			}
			gone -= sum.Predictions
		}
		if gone != 0 {
			t.Errorf("%d predictions are in no summary", gone)
		}
	})
}

func BenchmarkThin(b *testing.B) {
	var recs [][]byte
	size := 0
	for i := range 700 {
		recs = append(recs, thinRec(b, fmt.Sprintf("front 10:%02d:%02d person 0.8 car 0.6", i/60, i%60), i+1))
		size += len(recs[i])
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		thin(recs, false)
	}
}
