package apitest

import (
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sync/payload"
)

func to[T any](v T) *T { return &v }

// State is a device that has seen something of everything.
func State() api.State {
	return api.State{
		Device: "cam-7", Fleet: "default", Version: "1.2.3", Boot: 42, Time: moment, Clock: payload.ClockSynced, Uptime: 3600.5,
		NotReady: []string{},
		Broker:   api.Broker{Enabled: true, Connected: true, Address: "mqtts://broker.example.com:8883", Since: moment.Add(-time.Hour), Attempts: 2, LastError: "connection lost: EOF"},
		Cameras:  []api.Camera{bird(), street()},
		Models:   []api.Model{classifier(), detector()},
		Delivery: payload.Account{Produced: 90, Acknowledged: 80, Duplicated: 3, Held: 5, Stored: 4, Dropped: map[string]uint64{"full": 1}, StoredBytes: 1200},
		Flash:    payload.FlashTelemetry{Written: 73728, PerPrediction: 246.5, PerDay: 41943040, Budget: 50000000},
		Host: payload.HostTelemetry{
			TemperatureC: to(58.5), Throttled: to(false), MemAvailable: to(uint64(512 << 20)), MemTotal: to(uint64(1024 << 20)),
			DiskFree: to(uint64(4 << 30)), RSS: to(uint64(40 << 20)), Load1: to(0.7),
		},
		Update: &payload.Reported{
			Device: "cam-7", Cohort: "default", Boot: 42, Time: moment, State: payload.Shadow, Since: moment.Add(-5 * time.Minute),
			Release: "cats-3", Gen: 1795273279, Model: &payload.Model{Name: "cats", Version: 3, Digest: "sha256:03"},
			Progress: &payload.Progress{Done: 120, Of: 500}, Serving: map[string]payload.Model{"classifier": {Name: "cats", Version: 2, Digest: "sha256:02"}},
		},
		Commands: &payload.CommandTelemetry{Done: 7, Failed: 1, Refused: 2, Retained: 1},
		Requests: api.Requests{Answered: 12, Refused: 3, Late: 1, Failed: 2},
	}
}

func bird() api.Camera {
	return api.Camera{
		Name: "bird", Source: "folder:samples/classify", Model: "classifier",
		CameraTelemetry: payload.CameraTelemetry{State: "running", Captured: 112, Predicted: 90, Dropped: 9, Failed: 1, Restarts: 1, FPS: 14.9, WaitedMs: 312.5, Skipped: map[string]uint64{"motion": 12}, SavedMs: 86.4},
		Watchers:        1, Latest: Prediction("bird", 120),
	}
}

func street() api.Camera {
	return api.Camera{
		Name: "street", Source: "rtsp://10.0.0.7/stream", Model: "detector",
		CameraTelemetry: payload.CameraTelemetry{State: "waiting", Captured: 40, Predicted: 40, Restarts: 3, LastError: "no frame for 10 s"},
		Latest:          Prediction("street", 119),
	}
}

func classifier() api.Model {
	return api.Model{
		Name: "classifier", Task: "classify", Labels: map[string]int{"stable": 3, "canary": 4},
		Versions: []api.Version{
			{Version: 3, Digest: "sha256:03", Serving: true, Interpreters: []api.Interpreter{interpreter("classifier", "", "xnnpack"), interpreter("classifier/bird", "bird", "xnnpack")}},
			{Version: 4, Digest: "sha256:04", Interpreters: []api.Interpreter{interpreter("classifier@4", "", "cpu")}},
		},
	}
}

func detector() api.Model {
	return api.Model{
		Name: "detector", Task: "detect", Labels: map[string]int{"stable": 1},
		Versions: []api.Version{{Version: 1, Digest: "sha256:01", Serving: true, Interpreters: []api.Interpreter{interpreter("detector", "", "cpu")}}},
	}
}

func interpreter(name, camera, delegate string) api.Interpreter {
	return api.Interpreter{
		Name: name, Camera: camera, Delegate: delegate, Converted: map[string]string{"xnnpack": "int8"}[delegate], Threads: 2, Duty: 1, Answered: 90, Failed: 1, InvokeUsP50: 7200, InvokeUsP95: 7900,
		Invokes: api.Histogram{Counts: []uint64{0, 0, 0, 88, 90, 90, 90, 90, 90, 90, 90}, Count: 90, Sum: 0.66},
	}
}
