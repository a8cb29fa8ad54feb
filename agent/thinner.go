package agent

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// The thinner's thresholds.
const (
	// sureScore is the score from which on a result counts as seen. A
	// prediction whose best result has less is kept: it is what a model is
	// improved with.
	sureScore = 0.5
	// sameScore is how far the best result's score may move within a run.
	sameScore = 0.1
	// A label is rare in at most rareCount of a camera's predictions, or in one
	// of rareShare.
	rareCount = 2
	rareShare = 50
)

// thin is the outbox's Options.Thin: what of a full outbox says something.
//
// Of each camera's predictions in a row with the same best label, a similar
// score and as many results, the first and the last are kept, and besides all
// with a low score or a rare label. The rest is left out, and counted in one
// summary for each camera and minute. Hard leaves out all but summaries.
// Records that are no predictions go without one.
func thin(recs [][]byte, hard bool) (keep []bool, summaries [][]byte) {
	entries := make([]*thinEntry, len(recs))
	for i, rec := range recs {
		entries[i] = readEntry(rec)
	}
	keep = make([]bool, len(recs))
	for i, e := range entries {
		keep[i] = e != nil && e.Summary
	}
	if !hard {
		keepRuns(entries, keep)
		keepRare(entries, keep)
	}
	return keep, summarize(entries, keep)
}

// thinEntry is what thin reads of a record: a prediction, or a summary.
type thinEntry struct {
	Summary bool      `json:"summary"`
	Device  string    `json:"device"`
	Boot    uint64    `json:"boot"`
	Seq     uint64    `json:"seq"`
	Camera  string    `json:"camera"`
	Time    time.Time `json:"time"`
	Model   struct {
		Digest string `json:"digest"`
	} `json:"model"`
	Results []struct {
		Index int     `json:"index"`
		Label string  `json:"label"`
		Score float32 `json:"score"`
	} `json:"results"`
}

// readEntry gives nil for what is neither.
func readEntry(rec []byte) *thinEntry {
	e := &thinEntry{}
	if json.Unmarshal(rec, e) != nil || e.Device == "" || e.Camera == "" {
		return nil
	}
	e.Time = e.Time.UTC()
	if y := e.Time.Year(); !e.Summary && (e.Seq == 0 || y < 1 || y > 9999) { // RFC 3339 has no others
		return nil
	}
	return e
}

// label is the i-th result's.
func (e *thinEntry) label(i int) string {
	if l := e.Results[i].Label; l != "" {
		return l
	}
	return strconv.Itoa(e.Results[i].Index)
}

// labels are the distinct ones that count as seen, and the best one.
func (e *thinEntry) labels() (list []string) {
	for i := range e.Results {
		if l := e.label(i); (i == 0 || e.Results[i].Score >= sureScore) && !slices.Contains(list, l) {
			list = append(list, l)
		}
	}
	return list
}

func (e *thinEntry) unsure() bool { return len(e.Results) > 0 && e.Results[0].Score < sureScore }

// repeats tells whether e says the same as the first one of a run.
func (e *thinEntry) repeats(first *thinEntry) bool {
	if e.Model != first.Model || len(e.Results) != len(first.Results) {
		return false
	}
	return len(e.Results) == 0 || e.label(0) == first.label(0) && apart(e.Results[0].Score, first.Results[0].Score) <= sameScore
}

// thinCamera is a camera within one of the agent's starts.
type thinCamera struct {
	device string
	boot   uint64
	camera string
}

func (e *thinEntry) from() thinCamera { return thinCamera{e.Device, e.Boot, e.Camera} }

// keepRuns keeps the first and the last of each run, and what is unsure.
func keepRuns(entries []*thinEntry, keep []bool) {
	type run struct{ first, last int }
	runs := map[thinCamera]run{}
	for i, e := range entries {
		if e == nil || e.Summary {
			continue
		}
		keep[i] = e.unsure()
		r, ok := runs[e.from()]
		if !ok || !e.repeats(entries[r.first]) {
			if ok {
				keep[r.last] = true
			}
			keep[i] = true
			r.first = i
		}
		r.last = i
		runs[e.from()] = r
	}
	for _, r := range runs {
		keep[r.last] = true
	}
}

// keepRare keeps what shows a label that its camera hardly ever shows.
func keepRare(entries []*thinEntry, keep []bool) {
	type seen struct {
		thinCamera
		label string
	}
	total, counts := map[thinCamera]int{}, map[seen]int{}
	for _, e := range entries {
		if e == nil || e.Summary {
			continue
		}
		total[e.from()]++
		for _, l := range e.labels() {
			counts[seen{e.from(), l}]++
		}
	}
	for i, e := range entries {
		if e == nil || e.Summary {
			continue
		}
		for _, l := range e.labels() {
			if counts[seen{e.from(), l}] <= max(rareCount, total[e.from()]/rareShare) {
				keep[i] = true
			}
		}
	}
}

// summarize counts what is not kept, for each camera and minute.
func summarize(entries []*thinEntry, keep []bool) (list [][]byte) {
	type minute struct {
		thinCamera
		start time.Time
	}
	type counted struct {
		payload.Summary
		first, last uint64
	}
	var minutes []*counted // in the order of their first predictions
	byMinute := map[minute]*counted{}
	for i, e := range entries {
		if e == nil || keep[i] {
			continue
		}
		key := minute{e.from(), e.Time.Truncate(time.Minute)}
		c := byMinute[key]
		if c == nil {
			c = &counted{first: e.Seq, Summary: payload.Summary{
				Summary: true, Device: e.Device, Boot: e.Boot, Camera: e.Camera,
				From: e.Time, To: e.Time, Labels: map[string]int{},
			}}
			byMinute[key] = c
			minutes = append(minutes, c)
		}
		c.last = e.Seq
		c.Predictions++
		if e.Time.Before(c.From) {
			c.From = e.Time
		}
		if e.Time.After(c.To) {
			c.To = e.Time
		}
		for _, l := range e.labels() {
			c.Labels[l]++
		}
	}
	for _, c := range minutes {
		c.ID = payload.NewSummaryID(c.Device, c.Boot, c.first, c.last)
		rec, err := json.Marshal(c.Summary)
		if err != nil {
			panic(err) // it has no value that JSON lacks: years were checked
		}
		list = append(list, rec)
	}
	return list
}
