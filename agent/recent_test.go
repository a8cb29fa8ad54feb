package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sync/outbox"
)

// kept is a prediction as the outbox has it.
func kept(boot, seq int, camera, label string, score float64) []byte {
	return fmt.Appendf(nil, `{"id":"d/%d/%d","boot":%d,"seq":%d,"camera":%q,"time":"2026-11-20T10:00:%02dZ","results":[{"label":"other","score":0.01},{"label":%q,"score":%v}]}`, boot, seq, boot, seq, camera, seq%60, label, score)
}

// ids are the pages of a query, one after the other.
func ids(t *testing.T, q api.Query, r *recent, box *outbox.Outbox) (got []string) {
	t.Helper()
	for range 1000 {
		p, err := page(q, r, box.Browse)
		if err != nil {
			t.Fatal(err)
		}
		if q.Limit > 0 && len(p.Predictions) > q.Limit {
			t.Errorf("%d predictions in a page of %d", len(p.Predictions), q.Limit)
		}
		for _, rec := range p.Predictions {
			var d struct{ ID string }
			if err := json.Unmarshal(rec, &d); err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.TrimPrefix(d.ID, "d/"))
		}
		if q.Before = p.Next; p.Next == "" {
			return got
		}
	}
	t.Fatal("the pages have no end")
	return nil
}

func TestPagesOfMemoryAndOutbox(t *testing.T) {
	box, err := outbox.Open(outbox.Options{Path: filepath.Join(t.TempDir(), "outbox.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	r := &recent{}
	var all, cats []string
	put := func(boot, seq int, remembered bool) {
		camera, label := "a", "dog"
		if seq%3 == 0 {
			camera, label = "b", "Cat"
		}
		rec := kept(boot, seq, camera, label, float64(seq%10)/10)
		if err := box.Append(rec); err != nil {
			t.Fatal(err)
		}
		if remembered {
			r.add(rec)
		}
		id := fmt.Sprintf("%d/%d", boot, seq)
		all = append([]string{id}, all...)
		if seq%3 == 0 && seq%10 >= 4 {
			cats = append([]string{id}, cats...)
		}
	}
	for seq := 1; seq <= 40; seq++ { // of an earlier start
		put(1, seq, false)
	}
	for seq := 1; seq <= 40; seq++ { // the older half of this one is forgotten
		put(2, seq, seq > 20)
		if seq == 15 || seq == 30 {
			if err := box.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := box.Append([]byte(`{"summary":true,"id":"d/2/1-9","boot":2,"seq":0}`)); err != nil {
		t.Fatal(err)
	}
	if err := box.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{0, 1, 7, 500} {
		if got := ids(t, api.Query{Limit: limit}, r, box); !slices.Equal(got, all) {
			t.Errorf("pages of %d: %v, want %v", limit, got, all)
		}
		if got := ids(t, api.Query{Limit: limit, Camera: "b", Label: "cat", MinScore: 0.4}, r, box); !slices.Equal(got, cats) {
			t.Errorf("cats in pages of %d: %v, want %v", limit, got, cats)
		}
	}
	at := time.Date(2026, 11, 20, 10, 0, 12, 0, time.UTC)
	if got := ids(t, api.Query{From: at, To: at}, r, box); !slices.Equal(got, []string{"2/12", "1/12"}) {
		t.Errorf("at one second: %v", got)
	}
	for _, before := range []string{"x", "1", "1.2", "1.2.3.4", "0.0.0", "-1.2.3", "1.2.3x", " 1.2.3"} {
		if _, err := page(api.Query{Before: before}, r, box.Browse); !errors.Is(err, api.ErrNoPage) {
			t.Errorf("before=%q: error %v", before, err)
		}
	}
}

func TestRecentIsBounded(t *testing.T) {
	r := &recent{}
	sizes := []int{600, 200, 1200}
	for i := range 5000 {
		r.add([]byte(fmt.Sprintf("%0*d", sizes[i%3], i)))
	}
	want := 4999
	r.newest(func(rec []byte) bool {
		if got := strings.TrimLeft(string(rec), "0"); got != fmt.Sprint(want) {
			t.Fatalf("%s where %d is the next newest", got, want)
		}
		want--
		return true
	})
	if n := 4999 - want; n < 500 || n > recentRoom {
		t.Errorf("%d are remembered", n)
	}
}

// TestRecentKeepsToItsBytes: predictions that grow once the room is full must
// not grow it.
func TestRecentKeepsToItsBytes(t *testing.T) {
	r := &recent{}
	for _, size := range []int{100, 20000, recentBytes, recentBytes + 1, 300} {
		rec := make([]byte, size)
		for range min(2*recentRoom, 4*recentBytes/size) {
			r.add(rec)
		}
		n := 0
		r.newest(func(rec []byte) bool {
			if len(rec) == size {
				n++
			}
			return len(rec) == size
		})
		if fit := min(recentRoom, recentBytes/size); size <= recentBytes && n != fit {
			t.Errorf("%d records of %d bytes are remembered, %d fit", n, size, fit)
		}
		if len(r.data) != recentBytes {
			t.Errorf("%d bytes of memory, want %d", len(r.data), recentBytes)
		}
	}
}

// TestReadersDoNotKeepRecent: who reads is not waited for, or enough of them
// would stop the models.
func TestReadersDoNotKeepRecent(t *testing.T) {
	r := &recent{}
	for i := range 3 {
		r.add(kept(1, i+1, "a", "dog", 0.5))
	}
	var got []string
	r.newest(func(rec []byte) bool {
		got = append(got, string(rec))
		r.add(kept(1, 10+len(got), "a", "dog", 0.5)) // with the lock held it would wait for ever
		return true
	})
	if len(got) != 3 || !strings.Contains(got[2], `"seq":1,`) {
		t.Errorf("read %q", got)
	}
}
