package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// settings writes the agent's configuration: the base, which holds in calm
// windows, good variations of it, and wrong ones.
type settings struct {
	dir, root          string // of the soak's files; of the repository
	api, broker        string // addresses
	webcam             string
	self               string // the program behind the command: camera
	control, picture   string // its arguments
	turn               int    // counts reloads of the base
	classifier, street string // folders of models
}

func (s *settings) path() string  { return filepath.Join(s.dir, "egret.yaml") }
func (s *settings) state() string { return filepath.Join(s.dir, "state") }

// document is the part of the configuration that reloads change.
type document struct {
	thresholds  [2]float64
	topK        int
	withFolder  bool
	interpreter string // of the webcam
	more        []string
	api         string
	keepAlive   int
	telemetry   int
	minScore    float64
	governor    bool
}

// base holds while it is calm. The connection to the broker is made anew with
// each turn: after minutes of outages its pauses have grown to two minutes, as
// they should, and no calm window lasts so long.
func (s *settings) base() document {
	s.turn++
	return document{
		thresholds: [2]float64{0.1, 0.4}, topK: 5, withFolder: true, interpreter: "shared",
		keepAlive: 30 + s.turn%2, telemetry: 10, governor: true,
	}
}

// good is a variation of the base that the agent takes.
func (s *settings) good(rng *rand.Rand) (document, string) {
	d := s.base()
	s.turn--
	d.keepAlive = 30 + s.turn%2
	switch rng.IntN(7) {
	case 0:
		d.thresholds = [2]float64{rng.Float64() / 2, 0.2 + rng.Float64()/2}
		d.topK = 1 + rng.IntN(9)
		return d, "thresholds"
	case 1:
		d.withFolder = false
		return d, "a camera removed"
	case 2:
		d.more = []string{fmt.Sprintf("{name: more-%d, model: classifier, source: \"pattern:?size=320x240&fps=%d\"}", rng.IntN(4), 2+rng.IntN(8))}
		return d, "a camera added"
	case 3:
		d.more = []string{`{name: never, model: street, source: "http://127.0.0.1:9/stream"}`, `{name: broken, model: classifier, source: "command:/nonexistent/camera"}`}
		return d, "cameras that never work"
	case 4:
		d.interpreter = "own"
		return d, "an interpreter of its own"
	case 5:
		d.api = fmt.Sprintf(", max_streams: %d, max_connections: %d, requests: {queue: %d, priority: cameras}", 4+rng.IntN(20), 60+rng.IntN(100), 8+rng.IntN(40))
		return d, "settings of the API"
	default:
		d.telemetry, d.minScore, d.governor = 1+rng.IntN(20), rng.Float64()/4, false
		return d, "telemetry, rules and governor"
	}
}

// wrong is a file that the agent refuses.
func (s *settings) wrong(rng *rand.Rand) (text, what string) {
	good := s.text(s.base())
	s.turn--
	switch rng.IntN(6) {
	case 0:
		return good + "\nbrokker: here\n", "an unknown key"
	case 1:
		return good[:len(good)/2] + "\n  [: {", "half a file"
	case 2:
		return strings.Replace(good, s.classifier, s.classifier+"-that-is-not-there", 1), "no such model"
	case 3:
		return strings.Replace(good, "threshold: 0.1", "threshold: 7", 1), "a value out of range"
	case 4:
		return strings.Replace(good, "device: soak", "device: another", 1), "what takes a restart"
	default:
		return strings.Replace(good, "model: street", "model: nobody", 1), "a camera without its model"
	}
}

func (s *settings) text(d document) string {
	cameras := []string{
		fmt.Sprintf(`{name: web, model: street, interpreter: %s, stall_timeout: 3s, source: "http://%s/stream.mjpg"}`, d.interpreter, s.webcam),
		fmt.Sprintf(`{name: program, model: classifier, stall_timeout: 3s, source: "command:%s camera %s %s"}`, s.self, s.control, s.picture),
		`{name: pattern, model: classifier, source: "pattern:?size=640x480&fps=30"}`,
	}
	if d.withFolder {
		cameras = append(cameras, fmt.Sprintf(`{name: folder, model: street, source: "folder:%s?fps=20&loop=true"}`, filepath.Join(s.root, "samples", "detect")))
	}
	cameras = append(cameras, d.more...)
	return fmt.Sprintf(`device: soak
state_dir: %s
log: {level: info, format: json, mqtt: {enabled: true}}
models:
  - {name: classifier, path: %s, threshold: %.3g, top_k: %d}
  - {name: street, path: %s, threshold: %.3g}
cameras:
  - %s
rules: {min_score: %.3g}
outbox: {flush_interval: %ds}
mqtt: {broker: "tcp://%s", keep_alive: %ds, connect_timeout: 3s}
telemetry: {interval: %ds}
governor: {enabled: %v}
api: {listen: "%s", pprof: true%s}
`, s.state(), s.classifier, d.thresholds[0], d.topK, s.street, d.thresholds[1], strings.Join(cameras, "\n  - "),
		d.minScore, flushInterval, s.broker, d.keepAlive, d.telemetry, d.governor, s.api, d.api)
}

func (s *settings) write(text string) error { return os.WriteFile(s.path(), []byte(text), 0o600) }
