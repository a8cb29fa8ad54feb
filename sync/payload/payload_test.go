package payload

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func examples() map[string]any {
	at := time.Date(2026, 11, 20, 10, 0, 0, 123e6, time.UTC)
	temperature, throttled, memory := 51.5, false, uint64(1<<30)
	p := Prediction{
		ID: NewID("cam-7", 42, 1093), Device: "cam-7", Boot: 42, Seq: 1093, Camera: "front", Time: at, Clock: ClockSynced,
		Model: Model{Name: "mobilenet_v1", Version: 3, Digest: "sha256:" + strings.Repeat("0", 64)}, Delegate: "xnnpack",
		Task: Classify, Results: []Result{{Index: 653, Label: "military uniform", Score: 0.83}},
		Latency: Latency{Wait: 90, Decode: 900, Invoke: 7200, Total: 8300},
	}
	d := p
	d.Task, d.File = Detect, "street/1.jpg"
	d.Results = []Result{{Index: 1, Label: "person", Score: 0.75, Box: &[4]float32{0, 0.25, 0.5, 1}}}
	early := d
	early.Time, early.Clock = time.Date(1970, 1, 1, 0, 0, 42, 0, time.UTC), ClockUnsynced
	early.UptimeUs, early.BootID = 42_123_456, "7f28e73a-9093-4c42-9064-07357888b7ba"
	none := p
	none.Results = []Result{}
	return map[string]any{
		"classify": p, "detect": d, "nothing": none, "unsynced": early,
		"summary": Summary{
			Summary: true, ID: NewSummaryID("cam-7", 42, 1094, 1151), Device: "cam-7", Boot: 42, Camera: "front",
			From: at, To: at.Add(59600 * time.Millisecond), Predictions: 58, Labels: map[string]int{"person": 58, "dog": 2},
		},
		"online": Status{State: Online, Device: "cam-7", Boot: 42, Version: "1.0.0", Since: &at},
		"lost":   Status{State: Offline, Reason: "lost", Device: "cam-7", Boot: 42, Version: "1.0.0"},
		"telemetry": Telemetry{
			Device: "cam-7", Boot: 42, Time: at, Clock: ClockUnsynced, Uptime: 3600.5,
			Cameras: map[string]CameraTelemetry{"front": {State: "running", Captured: 112, Predicted: 90, Dropped: 9, Failed: 1, FPS: 14.9, WaitedMs: 312.5, Skipped: map[string]uint64{"motion": 12}, SavedMs: 86.4}},
			Models:  map[string]ModelTelemetry{"objects": {Version: 3, Delegate: "cpu", Threads: 1, InvokeUsP50: 7200, InvokeUsP95: 7900, Duty: 1}},
			Flash:   FlashTelemetry{Written: 73728, PerPrediction: 246.5, PerDay: 41943040, Budget: 50000000},
			Account: Account{Produced: 90, Acknowledged: 80, Duplicated: 3, Held: 5, Stored: 4, Dropped: map[string]uint64{"full": 1}, StoredBytes: 1200},
			Host:    HostTelemetry{TemperatureC: &temperature, Throttled: &throttled, MemTotal: &memory},

			Commands: &CommandTelemetry{Done: 7, Failed: 1, Refused: 2, Retained: 1},
		},
		"diagnosis": Reply{ID: "a3", Command: Diagnose, OK: true, Result: Diagnosis{
			Version: "1.0.0", Go: "go1.26.0", Goroutines: 24, Config: "/etc/egret/egret.yaml", LogLevel: "info", Uptime: 3600.5, Clock: ClockSynced,
			Broker:  BrokerState{Since: at, Attempts: 2, LastError: "connection lost: EOF"},
			Cameras: map[string]CameraTelemetry{"front": {State: "running", Captured: 112, Predicted: 112}},
			Models:  map[string]ModelInfo{"objects": {Model: p.Model, Delegate: "cpu", Threads: 1, InvokeUsMean: 7250}},
			Account: Account{Produced: 90, Acknowledged: 90, Dropped: map[string]uint64{}},
		}},
		"reply": Reply{ID: "a1", Command: Snapshot, OK: true, Result: SnapshotResult{Camera: "front", Topic: "t", Bytes: 9000, Width: 640, Height: 480, Time: at}},
		"log": Log{
			Device: "cam-7", Boot: 42, Seq: 17, Time: at, Level: "warn", Msg: "camera failed, trying again",
			Attrs: json.RawMessage(`{"camera":"front","error":"no such device"}`), Suppressed: 3,
		},
		"refusal": Reply{ID: "a2", Command: Set, Error: `there is no camera "frnt"`},
	}
}

// TestContract: the JSON is what others build on, byte for byte.
func TestContract(t *testing.T) {
	for name, v := range examples() {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(v, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestTopics(t *testing.T) {
	topics := Topics{Fleet: "default", Device: "cam-7"}
	for got, want := range map[string]string{
		topics.Status():        "egret/v1/default/dev/cam-7/status",
		topics.Predictions():   "egret/v1/default/dev/cam-7/predictions",
		topics.Camera("front"): "egret/v1/default/dev/cam-7/cameras/front",
		topics.Telemetry():     "egret/v1/default/dev/cam-7/telemetry",
		topics.Log():           "egret/v1/default/dev/cam-7/log",
	} {
		if got != want || strings.Count(got, "/") > 7 {
			t.Errorf("topic %s, want %s with at most seven slashes", got, want)
		}
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"cam-7": true, "A_b": true, strings.Repeat("x", 64): true,
		"": false, "a/b": false, "a+": false, "#": false, "a b": false, "ä": false, "$SYS": false, strings.Repeat("x", 65): false, "a\n": false,
	} {
		if ValidID(id) != want {
			t.Errorf("ValidID(%q) is %v", id, !want)
		}
	}
}
