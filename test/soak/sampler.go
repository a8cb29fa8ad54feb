package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sampler measures the agent from outside: /proc, /metrics and its folders.
type sampler struct {
	pid        int
	api        string
	state, tmp string
	client     *http.Client
}

// sample is everything at one moment.
type sample struct {
	At     float64            `json:"at"` // seconds since the start
	Calm   bool               `json:"calm"`
	Values map[string]float64 `json:"values"`
}

func (s *sampler) take(ctx context.Context) (map[string]float64, error) {
	v := map[string]float64{}
	for _, read := range []func(map[string]float64) error{s.status, s.io, s.fds, s.family, s.folders} {
		if err := read(v); err != nil {
			return nil, err
		}
	}
	return v, s.metrics(ctx, v)
}

func (s *sampler) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", s.pid, name) }

// status reads proc_pid_status(5), whose kB are KiB.
func (s *sampler) status(v map[string]float64) error {
	names := map[string]string{"VmRSS": "rss", "RssAnon": "rss_anon", "VmHWM": "hwm", "Threads": "threads"}
	return eachField(s.proc("status"), func(key string, n float64) {
		if name := names[key]; name == "threads" {
			v[name] = n
		} else if name != "" {
			v[name] = n * 1024
		}
	})
}

func (s *sampler) io(v map[string]float64) error {
	return eachField(s.proc("io"), func(key string, n float64) {
		if key == "write_bytes" {
			v[key] = n
		}
	})
}

// eachField reads lines of a key, a colon and a number.
func eachField(path string, fn func(key string, n float64)) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		key, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(rest); len(fields) > 0 {
			if n, err := strconv.ParseFloat(fields[0], 64); err == nil {
				fn(key, n)
			}
		}
	}
	return nil
}

func (s *sampler) fds(v map[string]float64) error {
	open, err := os.ReadDir(s.proc("fd"))
	v["fds"] = float64(len(open))
	return err
}

// family counts the agent's children, and those that nobody has waited for.
func (s *sampler) family(v map[string]float64) error {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	v["children"], v["zombies"] = 0, 0
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(s.pid) {
			v["children"]++
			if fields[0] == "Z" {
				v["zombies"]++
			}
		}
	}
	return err
}

func (s *sampler) folders(v map[string]float64) error {
	var err error
	if v["state_files"], v["state_bytes"], err = size(s.state); err != nil {
		return err
	}
	v["temp_files"], _, err = size(s.tmp)
	return err
}

// size counts the files in and below a folder, and what they take on disk.
func size(dir string) (files, bytes float64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err == nil {
			files, bytes = files+1, bytes+float64(info.Size())
		}
		return ignoreGone(err)
	})
	return files, bytes, err
}

// ignoreGone: files that are renamed and removed while one looks are no failure.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// metricNames are the families that count, and what they are called here; of
// those with labels the sum is taken.
var metricNames = map[string]string{
	"go_goroutines": "goroutines", "egret_flash_written_bytes_total": "flash_written",
	"egret_outbox_produced_total": "produced", "egret_outbox_acknowledged_total": "acknowledged",
	"egret_outbox_dropped_total": "dropped", "egret_outbox_held": "held", "egret_outbox_stored": "stored",
	"egret_outbox_stored_bytes": "stored_bytes", "egret_camera_captured_frames_total": "captured",
	"egret_camera_up": "cameras_up", "egret_mqtt_connected": "connected", "process_cpu_seconds_total": "cpu_seconds",
	"egret_http_streams": "streams", "egret_inference_results_total": "inferences",
}

func (s *sampler) metrics(ctx context.Context, v map[string]float64) error {
	return s.get(ctx, "/metrics", func(body io.Reader) error {
		for _, name := range metricNames {
			v[name] = 0
		}
		sc := bufio.NewScanner(body)
		for sc.Scan() {
			series, value, _ := strings.Cut(sc.Text(), " ")
			family, _, _ := strings.Cut(series, "{")
			name, ok := metricNames[family]
			if !ok {
				continue
			}
			n, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
			if err != nil {
				return fmt.Errorf("/metrics: %q: %w", sc.Text(), err)
			}
			v[name] += n
		}
		return sc.Err()
	})
}

// heap adds what Go says of its memory, after a collection that this asks for:
// what is live, and what Go has from the system and has not given back. The
// rest of the anonymous memory is native code's. What Go holds free, it gives
// back bit by bit, and later on a busy core: that is not in use.
func (s *sampler) heap(ctx context.Context, v map[string]float64) error {
	found := map[string]float64{"# HeapAlloc": -1, "# HeapIdle": -1, "# HeapReleased": -1, "# Sys": -1}
	err := s.get(ctx, "/debug/pprof/heap?gc=1&debug=1", func(body io.Reader) error {
		sc := bufio.NewScanner(body)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			name, value, _ := strings.Cut(sc.Text(), " = ")
			if _, ok := found[name]; ok {
				n, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return fmt.Errorf("the profile of the heap: %w", err)
				}
				found[name] = n
			}
		}
		return sc.Err()
	})
	for name, n := range found {
		if err == nil && n < 0 {
			err = fmt.Errorf("the profile of the heap has no %s", name)
		}
	}
	v["heap"], v["go_resident"] = found["# HeapAlloc"], found["# Sys"]-found["# HeapReleased"]
	free := found["# HeapIdle"] - found["# HeapReleased"]
	v["go_free"], v["used"], v["anon_used"] = free, v["rss"]-free, v["rss_anon"]-free
	v["native"] = max(0, v["rss_anon"]-v["go_resident"])
	return err
}

func (s *sampler) get(ctx context.Context, path string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.api+path, nil)
	if err != nil {
		return err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return read(res.Body)
}
