package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// window makes it calm, waits until all is well again, and measures.
func (r *run) window(ctx context.Context) error {
	began := time.Now()
	if err := r.reload(ctx, r.text(r.base()), "back to the base", true); err != nil {
		return err
	}
	r.wake(ctx)
	var first map[string]float64
	for {
		v, err := r.sampler.take(ctx)
		if err == nil && well(v) {
			first = v
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > patience {
			return fmt.Errorf("not well again %v after the last fault: %v", patience, errors.Join(err, fmt.Errorf("%v", v)))
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	settled := time.Since(began).Seconds()
	values, err := r.quiet(ctx)
	if err != nil && ctx.Err() == nil {
		r.result.Missed = append(r.result.Missed, fmt.Sprintf("%.0f s: %v", time.Since(r.start).Seconds(), err))
		return nil
	}
	if err != nil {
		return err
	}
	values["settled"] = settled
	r.flash(values, first)
	r.result.Windows = append(r.result.Windows, window{At: time.Since(r.start).Seconds(), Values: values})
	r.progress(values)
	return nil
}

// wake has cameras tried at once that failed so often that they are tried
// every half minute only, as a person would who knows that they work again.
func (r *run) wake(ctx context.Context) {
	for _, camera := range []string{"web", "program"} {
		body := strings.NewReader(fmt.Sprintf(`{"camera":%q}`, camera))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.api+"/api/commands/restart-camera", body)
		if err != nil {
			panic(err) // it is made of constants
		}
		req.Header.Set("Content-Type", "application/json")
		if res, err := r.sampler.client.Do(req); err == nil { // else they wake by themselves
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
}

// cameras are those of the base.
const cameras = 4

// well: everything works and nothing waits on disk.
func well(v map[string]float64) bool {
	return v["connected"] == 1 && v["stored"] == 0 && v["cameras_up"] == cameras && v["children"] >= 1 && v["streams"] == 0
}

// Within a window: the outbox takes off the disk what was acknowledged, idle
// connections end and pools empty; then so many samples are taken.
const (
	quietFor  = 4 * time.Second // two flush intervals
	looks     = 4
	lookEvery = time.Second
)

// quiet measures while nothing goes wrong. Of what comes and goes the lowest of
// some values counts, of memory the median.
func (r *run) quiet(ctx context.Context) (map[string]float64, error) {
	r.setCalm(true)
	defer r.setCalm(false)
	if err := sleep(ctx, quietFor); err != nil {
		return nil, err
	}
	series := map[string][]float64{}
	for i := range looks {
		if i > 0 {
			if err := sleep(ctx, lookEvery); err != nil {
				return nil, err
			}
		}
		v, err := r.sampler.take(ctx)
		if err != nil {
			return nil, err
		}
		for name, value := range v {
			series[name] = append(series[name], value)
		}
	}
	values := map[string]float64{}
	for name, all := range series {
		switch name {
		case "goroutines", "fds", "threads", "children", "zombies", "temp_files", "state_files":
			values[name] = min(all[0], all[1], all[2], all[3])
		default:
			values[name] = median(all)
		}
	}
	made := series["produced"][looks-1] - series["produced"][0]
	if made <= 0 {
		return nil, errors.New("the agent predicted nothing in a calm window")
	}
	values["flash_calm"] = (series["flash_written"][looks-1] - series["flash_written"][0]) / made
	return values, r.sampler.heap(ctx, values)
}

func (r *run) setCalm(on bool) {
	r.mu.Lock()
	r.calm = on
	r.mu.Unlock()
}

// flash adds what the flash took since the window before, or since the start:
// for each prediction, and for each interval in which the outbox may flush. The
// latter is what is judged: a flush costs some pages, however few predictions a
// slow machine has for it.
func (r *run) flash(values, settled map[string]float64) {
	before, at := map[string]float64{}, 0.0
	if n := len(r.result.Windows); n > 0 {
		before, at = r.result.Windows[n-1].Values, r.result.Windows[n-1].At
	}
	written := settled["flash_written"] - before["flash_written"]
	values["flash_per_prediction"] = written / max(1, settled["produced"]-before["produced"])
	values["flash_faults"] = written / (time.Since(r.start) - quietFor - (looks-1)*lookEvery - time.Duration(at*float64(time.Second))).Seconds() * flushInterval
}

// flushInterval is the outbox's, in seconds.
const flushInterval = 2

func (r *run) progress(v map[string]float64) {
	fmt.Printf("%6.0f s  rss %5.1f MiB  native %5.1f  go %5.1f  live heap %4.1f  goroutines %3.0f  fds %2.0f  threads %2.0f  produced %6.0f  well after %4.1f s  flash %6.1f B\n",
		time.Since(r.start).Seconds(), v["rss"]/mib, v["native"]/mib, v["go_resident"]/mib, v["heap"]/mib, v["goroutines"], v["fds"], v["threads"], v["produced"], v["settled"], v["flash_per_prediction"])
}
