package localapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/egret-edge/egret/test/smallmodel"
)

// small is a device with a small model and a camera of so many frames a second.
func small(t *testing.T, fps int, settings string) *device {
	t.Helper()
	d := newDevice(t, strings.ReplaceAll(fmt.Sprintf(colours, settings), "FPS", strconv.Itoa(fps)))
	d.version(1, smallmodel.Options{})
	return d.begin().answers()
}

// crowd has several clients ask n times each and counts the answers by status.
func (d *device) crowd(clients, n int) map[int]int {
	d.t.Helper()
	var mu sync.Mutex
	got := map[int]int{}
	var all sync.WaitGroup
	for c := range clients {
		picture := coloured(d.t, c%8)
		all.Go(func() {
			for range n {
				res, body, err := d.post("/v1/models/m:classify", "image/png", picture)
				if err != nil {
					d.t.Error(err)
					return
				}
				if res.StatusCode == http.StatusOK && !strings.Contains(body, `"`+smallmodel.Label(c%8)+`"`) {
					d.t.Errorf("a picture of %s: %s", smallmodel.Label(c%8), body)
				}
				if s := res.StatusCode; (s == 429 || s == 503) && res.Header.Get("Retry-After") == "" {
					d.t.Errorf("%d without Retry-After", s)
				}
				mu.Lock()
				got[res.StatusCode]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return got
}

// TestSharing has several clients ask while a camera has more frames than the model
// can take, or few.
func TestSharing(t *testing.T) {
	const clients, all = 4, 60
	for _, c := range []struct {
		name, priority, more string
		fps                  int
		check                func(t *testing.T, answered, frames int)
	}{
		{"fair", "fair", "", 1000, func(t *testing.T, answered, frames int) {
			if answered != all || frames < all/3 || frames > 3*all {
				t.Errorf("%d of %d requests were answered, and %d frames", answered, all, frames)
			}
		}},
		{"requests first", "requests", "", 1000, func(t *testing.T, answered, frames int) {
			if answered != all || frames > all*2/3 {
				t.Errorf("%d of %d requests were answered, and %d frames", answered, all, frames)
			}
		}},
		{"cameras first", "cameras", "", 10, func(t *testing.T, answered, _ int) {
			if answered != all {
				t.Errorf("%d of %d requests were answered", answered, all)
			}
		}},
		{"a camera that leaves no time", "cameras", ", deadline: 100ms", 1000, func(t *testing.T, answered, frames int) {
			if answered > all/2 || frames < 10 {
				t.Errorf("%d of %d requests were answered, and %d frames", answered, all, frames)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := small(t, c.fps, fmt.Sprintf("requests: {priority: %s%s}", c.priority, c.more))
			d.goesOn(2)
			before := d.frames.Load()
			clients := clients
			if c.name == "requests first" {
				clients *= 3 // so that one waits mostly, on a busy machine too
			}
			got := d.crowd(clients, all/clients)
			frames := d.frames.Load() - before
			c.check(t, got[200], int(frames))
			if got[200]+got[503] != all {
				t.Errorf("answers by status: %v", got)
			}
			if s := d.state().Requests; s.Answered != uint64(got[200]) || s.Late != uint64(got[503]) || s.Failed+s.Refused > 0 {
				t.Errorf("requests %+v, answers by status %v", s, got)
			}
			d.goesOn(2)
		})
	}
}

// TestFullQueue: who comes when the queue is full is told to come again, and is
// answered when he does.
func TestFullQueue(t *testing.T) {
	d := small(t, 10, "requests: {queue: 2}")
	got := d.crowd(12, 4)
	if got[200] == 0 || got[429] == 0 || got[200]+got[429] != 48 {
		t.Errorf("answers by status: %v", got)
	}
	if s := d.state().Requests; s.Refused != uint64(got[429]) {
		t.Errorf("requests %+v, answers by status %v", s, got)
	}
	if got := d.crowd(1, 4); got[200] != 4 {
		t.Errorf("afterwards: %v", got)
	}
	d.goesOn(2)
}

// TestBatches: what clients are told does not depend on whether their pictures
// ran together.
func TestBatches(t *testing.T) {
	devices := map[string]*device{}
	for _, settings := range []string{"requests: {max_batch_size: 1}", "requests: {max_batch_size: 4, batch_timeout: 20ms}"} {
		d := newDevice(t, strings.Replace(fmt.Sprintf(peacocks, settings), "folder:ROOT/samples/classify?fps=10&loop=true", "pattern:?frames=1&size=96x96", 1)).begin().answers()
		devices[settings] = d
		if d.log.count("takes no batches") > 0 {
			t.Fatal("the model takes no batches") // those of smallmodel do not: they reshape to one picture
		}
	}
	var answers [][8]string
	for settings, d := range devices {
		var a [8]string
		var all sync.WaitGroup
		var asked atomic.Int64
		for class := range a {
			picture := coloured(t, class)
			all.Go(func() {
				for range 2 {
					res, body, err := d.post("/v1/models/m:predict", "image/png", picture)
					if err != nil || res.StatusCode != 200 || a[class] != "" && a[class] != body {
						t.Errorf("%s: %v %v: %s, before %s", settings, res, err, body, a[class])
						return
					}
					a[class] = body
					asked.Add(1)
				}
			})
		}
		all.Wait()
		answers = append(answers, a)
		// The histogram has what ran alone, and the camera's frame.
		alone := d.metric(`egret_inference_duration_seconds_count{model="m",version="1",delegate="cpu"}`) - float64(d.frames.Load())
		if batches := strings.Contains(settings, "timeout"); batches == (alone == float64(asked.Load())) {
			t.Errorf("%s: %v of %d examples ran alone", settings, alone, asked.Load())
		}
	}
	if answers[0] != answers[1] {
		t.Errorf("answers alone and in batches differ:\n%v", answers)
	}
}

// metric is a value of /metrics.
func (d *device) metric(name string) float64 {
	d.t.Helper()
	_, body := d.get("/metrics")
	return value(d.t, body, name)
}

// value is a metric's in the text of all.
func value(t *testing.T, body, name string) float64 {
	t.Helper()
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("/metrics has no %s:\n%s", name, body)
	return 0
}
