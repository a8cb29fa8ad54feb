// Package configs is the agent's configuration: its Go types, defaults, strict
// parsing, validation and JSON Schema, and the files that are shipped.
//
// It knows only what a setting means as text: whether a camera, a model or a
// broker is really there is for the doctor to find out.
package configs

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Config is a whole configuration file. Take Default as its starting point:
// the zero value is not usable.
type Config struct {
	Device    string    `yaml:"device" doc:"the device's id in topics and predictions; empty: the host name"`
	Fleet     string    `yaml:"fleet" doc:"the fleet's id in topics"`
	StateDir  string    `yaml:"state_dir" doc:"folder for what must survive a restart"`
	Log       Log       `yaml:"log" doc:"what the agent says, on standard error"`
	Models    []Model   `yaml:"models" doc:"the models to load; the first one serves cameras that name none"`
	Cameras   []Camera  `yaml:"cameras" doc:"where frames come from"`
	Inference Inference `yaml:"inference" doc:"how models run"`
	Governor  Governor  `yaml:"governor" doc:"slows inference before the processor does"`
	Rules     Rules     `yaml:"rules" doc:"what is worth keeping"`
	Outbox    Outbox    `yaml:"outbox" doc:"the durable queue"`
	MQTT      MQTT      `yaml:"mqtt" doc:"the broker"`
	Telemetry Telemetry `yaml:"telemetry" doc:"what the device says about itself"`
	API       API       `yaml:"api" doc:"the local HTTP interface and the dashboard"`
	Updates   Updates   `yaml:"updates" doc:"how new models come, and what they must prove"`
}

// Log is how the agent logs.
type Log struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"the least important messages to show"`
	Format string `yaml:"format" enum:"text,json" doc:"one line of text or one JSON object per message"`
	// MQTT is off until it is asked for: what goes wrong on a device is for its
	// operator, and others may listen at the broker.
	MQTT LogMQTT `yaml:"mqtt" doc:"send warnings and errors to the broker as well"`
}

// LogMQTT is what of the log goes to the broker.
type LogMQTT struct {
	Enabled   bool   `yaml:"enabled" doc:"publish messages of the log on the device's topic log"`
	Level     string `yaml:"level" enum:"warn,error" doc:"the least important messages to publish, whatever log.level shows"`
	PerMinute int    `yaml:"per_minute" min:"1" max:"600" doc:"messages a minute at most, and so many at once; what is left out is counted"`
}

// Model is a model to load.
type Model struct {
	Name      string `yaml:"name" doc:"id by which cameras name it"`
	Path      string `yaml:"path" doc:"bundle folder (models/<name> or models/<name>/<version>) or .tflite file"`
	Labels    string `yaml:"labels" doc:"labels file, instead of the model's own"`
	TopK      int    `yaml:"top_k" min:"0" max:"1000" doc:"results per frame at most; 0: the model's own default"`
	Threshold Score  `yaml:"threshold" doc:"lowest score of a result; left out: the model's own default"`
	// Versions are the policy words of TensorFlow Serving.
	Versions Versions `yaml:"version_policy" doc:"latest: new versions take over when they have proved themselves; all: the others are loaded beside it; a list such as [2, 3]: these alone, the highest serves"`
	Fit      string   `yaml:"fit" enum:",stretch,crop,letterbox" doc:"how a frame of another shape meets the model's input; empty: the model's own, else stretch"`
}

// Camera is a source of frames.
type Camera struct {
	Name         string        `yaml:"name" doc:"id in topics and predictions"`
	Source       string        `yaml:"source" doc:"v4l2:…, folder:…, command:…, http://…, https://… or pattern:…"`
	Model        string        `yaml:"model" doc:"name of its model, or <name>@<version>, <name>@canary or <name>@stable; empty: the first"`
	Interpreter  string        `yaml:"interpreter" enum:"shared,own" doc:"shared: cameras of a model take turns; own: this camera has one for itself, at the price of its memory"`
	MaxFPS       float64       `yaml:"max_fps" min:"0" max:"1000" doc:"frames to infer per second at most; 0: as many as camera and model manage"`
	Motion       Motion        `yaml:"motion" doc:"skips inference while the picture does not change"`
	StallTimeout Duration      `yaml:"stall_timeout" min:"1s" max:"1h" doc:"a camera that is silent for so long is started anew"`
	Rules        RulesOverride `yaml:"rules" doc:"what differs from the rules for all cameras"`

	// EffectiveRules are the common rules with this camera's changes; Load and
	// Parse fill them in.
	EffectiveRules Rules `yaml:"-"`
}

// Motion is a camera's motion gate.
type Motion struct {
	Enabled    bool        `yaml:"enabled" doc:"skip frames without motion"`
	Threshold  float64     `yaml:"threshold" min:"0" max:"1" doc:"change of the most changed region that counts as motion, as a share of full brightness"`
	Masks      [][]float64 `yaml:"masks" doc:"regions to ignore, such as a clock overlay: [x0, y0, x1, y1], each 0 to 1 of the frame"`
	MaxSilence Duration    `yaml:"max_silence" min:"0s" max:"24h" doc:"infer one frame after so long without motion; 0s: never"`
}

// Inference is how all models run.
type Inference struct {
	Delegate     Delegates `yaml:"delegate" doc:"what runs the models: auto, cpu, xnnpack, edgetpu, gpu, external:/path.so?option=value, or a list of them in order of preference; the CPU is always the last resort"`
	Threads      Threads   `yaml:"threads" doc:"threads of the delegate, 1 to 64, or auto: measured, since more than the cores make it far slower"`
	Convert      string    `yaml:"convert" enum:"auto,off,require" doc:"run uint8 models converted to int8 (or float32) where that is faster and agrees with the original: auto, off, or require, which refuses a uint8 model that cannot be run so"`
	MaxMemory    Bytes     `yaml:"max_memory" min:"0" max:"1TiB" doc:"bytes that the process of a converted model may have resident; 0: any"`
	ProbeTimeout Duration  `yaml:"probe_timeout" min:"1s" max:"10m" doc:"a delegate that has not answered in a trial process by then is passed over"`
}

// Governor slows inference as the processor gets hot.
type Governor struct {
	Enabled    bool    `yaml:"enabled" doc:"watch the processor's temperature and the board's own throttling"`
	SlowAt     float64 `yaml:"slow_at" min:"30" max:"120" doc:"temperature in °C from which on inference is slowed, step by step"`
	Hysteresis float64 `yaml:"hysteresis" min:"1" max:"30" doc:"inference speeds up again below slow_at less this, in °C"`
}

// Rules decide what is kept and published.
type Rules struct {
	MinScore    float64  `yaml:"min_score" min:"0" max:"1" doc:"results below count as not there"`
	OnChange    bool     `yaml:"on_change" doc:"keep a prediction only when the set of labels changes"`
	Hold        Duration `yaml:"hold" min:"0s" max:"1h" doc:"with on_change: how long a change must last"`
	SampleEvery Duration `yaml:"sample_every" min:"0s" max:"24h" doc:"keep at most one per interval; with on_change: keep one per interval besides the changes; 0s: off"`
}

// RulesOverride is what a camera changes of the common rules; nil keeps.
type RulesOverride struct {
	MinScore    *float64  `yaml:"min_score" min:"0" max:"1" doc:"see rules"`
	OnChange    *bool     `yaml:"on_change" doc:"see rules"`
	Hold        *Duration `yaml:"hold" min:"0s" max:"1h" doc:"see rules"`
	SampleEvery *Duration `yaml:"sample_every" min:"0s" max:"24h" doc:"see rules"`
}

// over is r with the changes applied.
func (o RulesOverride) over(r Rules) Rules {
	set(&r.MinScore, o.MinScore)
	set(&r.OnChange, o.OnChange)
	set(&r.Hold, o.Hold)
	set(&r.SampleEvery, o.SampleEvery)
	return r
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Outbox bounds the durable queue.
type Outbox struct {
	FlushInterval Duration `yaml:"flush_interval" min:"50ms" max:"1h" doc:"what the broker has not acknowledged is on disk after this; a power cut loses at most this much"`
	FlushBytes    Bytes    `yaml:"flush_bytes" min:"4KiB" max:"16MiB" doc:"write earlier when so much waits in memory"`
	FlashBudget   PerDay   `yaml:"flash_budget" doc:"bytes a day that may be written to the flash, such as 50MB/day; 0: no limit. When it is used up, flush_interval stretches, and a power cut loses more"`
	MaxBytes      Bytes    `yaml:"max_bytes" min:"64KiB" max:"1TiB" doc:"bound of the queue, of the predictions before they are compressed"`
	OnFull        string   `yaml:"on_full" enum:"drop_oldest,thin" doc:"when the bound is reached: drop_oldest, or thin the oldest: keep changes, rare labels and low scores, and a summary per minute of the rest"`
}

// MQTT is the broker's address and how to log in.
type MQTT struct {
	Enabled            bool     `yaml:"enabled" doc:"false: predictions stay on this device"`
	Embedded           bool     `yaml:"embedded" doc:"run a broker inside the agent, for one box alone"`
	EmbeddedListen     string   `yaml:"embedded_listen" doc:"loopback address of the embedded broker"`
	Broker             string   `yaml:"broker" doc:"tcp://, mqtt://, ssl://, tls://, mqtts://, ws:// or wss:// and host:port"`
	ClientID           string   `yaml:"client_id" doc:"MQTT client id; empty: egret-<fleet>-<device>"`
	Username           string   `yaml:"username" doc:"user name"`
	PasswordFile       string   `yaml:"password_file" doc:"file that holds the password; read at every connection"`
	PasswordCredential string   `yaml:"password_credential" doc:"name of a systemd credential that holds the password"`
	TLS                TLS      `yaml:"tls" doc:"for the encrypted schemes"`
	KeepAlive          Duration `yaml:"keep_alive" min:"5s" max:"18h" doc:"interval of MQTT's pings"`
	ConnectTimeout     Duration `yaml:"connect_timeout" min:"1s" max:"5m" doc:"bound of one attempt to connect"`
	// Commands are off until they are asked for: whoever may publish at the
	// broker could otherwise take pictures.
	Commands      bool          `yaml:"commands" doc:"take commands: snapshot, restart-camera, set, diagnose"`
	HomeAssistant HomeAssistant `yaml:"homeassistant" doc:"Home Assistant's device discovery"`
}

// HomeAssistant is whether and where the device is described.
type HomeAssistant struct {
	Enabled bool   `yaml:"enabled" doc:"describe the device to Home Assistant"`
	Prefix  string `yaml:"prefix" doc:"discovery prefix, as set in Home Assistant"`
}

// TLS names PEM files.
type TLS struct {
	CAFile   string `yaml:"ca_file" doc:"authorities to trust; empty: the system's"`
	CertFile string `yaml:"cert_file" doc:"client certificate"`
	KeyFile  string `yaml:"key_file" doc:"client key"`
}

// Telemetry is how often the device reports.
type Telemetry struct {
	Interval Duration `yaml:"interval" min:"1s" max:"24h" doc:"time between two messages"`
}

// Updates is where signed models come from, and what a new one must prove. What
// a release's signed metadata asks for goes before the limits here.
type Updates struct {
	Repository string `yaml:"repository" doc:"http or https address of a repository of signed models; empty: none"`
	Root       string `yaml:"root" doc:"the repository's root metadata (1.root.json), got by a way that you trust"`
	Cohort     string `yaml:"cohort" doc:"the group of devices whose rollouts this one follows"`
	CAFile     string `yaml:"ca_file" doc:"authorities to trust for https; empty: the system's"`
	TokenFile  string `yaml:"token_file" doc:"file with a bearer token for the repository, read anew for each request"`
	Proxy      string `yaml:"proxy" doc:"proxy's URL; empty: as the environment says"`
	Bandwidth  Bytes  `yaml:"bandwidth" min:"0" max:"1TiB" doc:"bytes a second that downloads may take; 0: no limit"`
	Window     Window `yaml:"window" doc:"part of the day in which downloads may run, in local time, such as 01:00-05:30; empty: always"`
	// Poll is for people without a repository.
	Poll          Duration `yaml:"poll" min:"0s" max:"24h" doc:"how often the models' folders are looked at for new versions; 0s: never"`
	ShadowFrames  int      `yaml:"shadow_frames" min:"1" max:"100000" doc:"live frames on which a new model runs beside the present one"`
	TrialFrames   int      `yaml:"trial_frames" min:"1" max:"100000" doc:"live frames that it must answer in its place"`
	MinAgreement  float64  `yaml:"min_agreement" min:"0" max:"1" doc:"least share of frames on which both give the same first label, when they have the same labels"`
	MaxScoreShift float64  `yaml:"max_score_shift" min:"0" max:"1" doc:"how far the distributions of both models' first score may lie apart; 0: any"`
	MaxSlowdown   float64  `yaml:"max_slowdown" min:"0" max:"1000" doc:"how many times as long as the present model it may take; 0: any"`
	MaxMemory     Bytes    `yaml:"max_memory" min:"0" max:"1TiB" doc:"bytes that its process may have resident; 0: any"`
}

// Default is the configuration without a file: it lacks models and cameras.
func Default() Config {
	return Config{
		Device: hostID(), Fleet: "default", StateDir: "/var/lib/egret",
		Log:       Log{Level: "info", Format: "text", MQTT: LogMQTT{Level: "warn", PerMinute: 30}},
		Inference: Inference{Delegate: DelegateList("auto"), Convert: "auto", ProbeTimeout: Duration(20 * time.Second)},
		Governor:  Governor{Enabled: true, SlowAt: 75, Hysteresis: 5},
		Rules:     Rules{Hold: Duration(2 * time.Second)},
		Outbox:    Outbox{FlushInterval: Duration(5 * time.Second), FlushBytes: 256 << 10, MaxBytes: 256 << 20, OnFull: "drop_oldest"},
		MQTT: MQTT{
			Enabled: true, EmbeddedListen: "127.0.0.1:1883", Broker: "tcp://127.0.0.1:1883",
			KeepAlive: Duration(30 * time.Second), ConnectTimeout: Duration(10 * time.Second),
			HomeAssistant: HomeAssistant{Prefix: "homeassistant"},
		},
		Telemetry: Telemetry{Interval: Duration(30 * time.Second)},
		API:       defaultAPI(),
		Updates: Updates{
			Cohort: "default", Poll: Duration(10 * time.Second),
			ShadowFrames: 100, TrialFrames: 100, MinAgreement: 0.1,
		},
	}
}

// defaultCamera is what a camera's entry starts from.
func defaultCamera() Camera {
	return Camera{
		StallTimeout: Duration(10 * time.Second), Interpreter: "shared",
		Motion: Motion{Threshold: 0.06, MaxSilence: Duration(time.Minute)},
	}
}

// hostID is the host's name as an id: what does not fit becomes a dash.
func hostID() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "egret"
	}
	name = strings.Map(func(r rune) rune {
		if idRune(r) {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	return name[:min(len(name), maxID)]
}

const maxID = 64

func idRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

func checkID(s string) error {
	if s == "" {
		return fmt.Errorf("is missing")
	}
	if len(s) > maxID || strings.ContainsFunc(s, func(r rune) bool { return !idRune(r) }) {
		return fmt.Errorf("%q is no id: 1 to %d of A-Z a-z 0-9 _ -", s, maxID)
	}
	return nil
}
