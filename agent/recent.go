package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/egret-edge/egret/agent/api"
)

const (
	// recentRoom is how many kept predictions are remembered, and recentBytes
	// how many bytes of them: a minute's of a fast camera, in little memory.
	recentRoom  = 1000
	recentBytes = 512 << 10
)

// recent remembers the latest predictions that were kept. Its zero value is
// ready; any goroutine may use it. Memory is used again.
type recent struct {
	mu   sync.Mutex // guards all following fields
	data []byte     // of recentBytes once there is one; old records are written over
	end  int64      // where the latest one ends, as if data went on for ever
	// Those remembered are numbers first to next-1 of all; number i is at i
	// modulo the length.
	pieces      [recentRoom]piece
	first, next int64
}

// piece is where a record is, as if recent.data went on for ever.
type piece struct {
	start int64
	size  int
}

// add remembers a prediction's JSON, which is borrowed. One that is larger than
// all the room is not remembered.
func (r *recent) add(rec []byte) {
	if len(rec) > recentBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.data == nil {
		r.data = make([]byte, recentBytes)
	}
	at := r.end
	if left := recentBytes - at%recentBytes; left < int64(len(rec)) {
		at += left // records lie in one piece
	}
	r.end = at + int64(len(rec))
	for r.first < r.next && (r.next-r.first == recentRoom || r.end-r.pieces[r.first%recentRoom].start > recentBytes) {
		r.first++
	}
	copy(r.data[at%recentBytes:], rec)
	r.pieces[r.next%recentRoom] = piece{at, len(rec)}
	r.next++
}

// newest calls fn with what is remembered, newest first, until it gives false.
// rec is valid only during the call. It holds the lock for one copy at a time:
// who reads, however many do, must not keep a model from its next frame.
func (r *recent) newest(fn func(rec []byte) bool) {
	rec, there := []byte(nil), true
	for i := r.count() - 1; i >= 0; i-- {
		if rec, there = r.copy(i, rec[:0]); !there || !fn(rec) {
			return
		}
	}
}

// count is the number of all records ever.
func (r *recent) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// copy appends record number i to dst; false when it is forgotten.
func (r *recent) copy(i int64, dst []byte) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i < r.first {
		return dst, false
	}
	s := r.pieces[i%recentRoom]
	at := s.start % recentBytes
	return append(dst, r.data[at:][:s.size]...), true
}

// digest is what a query looks at of a prediction or a summary.
type digest struct {
	Boot    uint64     `json:"boot"`
	Seq     uint64     `json:"seq"`
	Summary bool       `json:"summary"`
	Camera  string     `json:"camera"`
	Time    time.Time  `json:"time"`
	Results []labelled `json:"results"`
}

type labelled struct {
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// matches tells whether a query selects a prediction.
func matches(q api.Query, rec []byte) (d digest, ok bool) {
	if json.Unmarshal(rec, &d) != nil || d.Summary {
		return d, false
	}
	switch {
	case q.Camera != "" && q.Camera != d.Camera,
		!q.From.IsZero() && d.Time.Before(q.From),
		!q.To.IsZero() && d.Time.After(q.To):
		return d, false
	}
	if q.Label == "" && q.MinScore == 0 {
		return d, true
	}
	return d, slices.ContainsFunc(d.Results, func(r labelled) bool {
		return (q.Label == "" || strings.EqualFold(q.Label, r.Label)) && r.Score >= q.MinScore
	})
}

// browseBlocks bounds what one page reads of the outbox's file.
const browseBlocks = 16

// position is where a page ends: before the prediction with these numbers, and
// in the outbox before its own number, when it was read already. 0 is the
// beginning.
type position struct{ boot, seq, stored uint64 }

func (p position) String() string { return fmt.Sprintf("%d.%d.%d", p.boot, p.seq, p.stored) }

func (p position) before(d digest) bool {
	return p.boot == 0 || d.Boot < p.boot || d.Boot == p.boot && d.Seq < p.seq
}

func parsePosition(s string) (p position, err error) {
	if s == "" {
		return p, nil
	}
	if _, err := fmt.Sscanf(s, "%d.%d.%d", &p.boot, &p.seq, &p.stored); err != nil || p.String() != s || p.boot == 0 && p.stored == 0 {
		return p, api.ErrNoPage
	}
	return p, nil
}

// page is the predictions that q selects: those that are remembered, then those
// that browse reads from the outbox (see outbox.Browse).
func page(q api.Query, r *recent, browse func(before uint64, blocks int, fn func(seq uint64, rec []byte) bool) (uint64, error)) (api.Page, error) {
	out := api.Page{Predictions: []json.RawMessage{}}
	at, err := parsePosition(q.Before)
	if err != nil {
		return out, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultPage
	}
	full := false
	add := func(rec []byte) bool {
		d, ok := matches(q, rec)
		if d.Seq == 0 || !at.before(d) {
			return true
		}
		at.boot, at.seq = d.Boot, d.Seq
		if ok {
			out.Predictions = append(out.Predictions, bytes.Clone(rec))
		}
		full = len(out.Predictions) >= limit
		return !full
	}
	if at.stored == 0 {
		r.newest(add)
	}
	if !full {
		next, err := browse(at.stored, browseBlocks, func(_ uint64, rec []byte) bool { return add(rec) })
		if err != nil {
			return out, fmt.Errorf("read the outbox: %w", err)
		}
		if at.stored = next; next == 0 {
			return out, nil
		}
	}
	out.Next = at.String()
	return out, nil
}

// defaultPage is how many predictions a page has.
const defaultPage = 50
