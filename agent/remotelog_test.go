package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// remote is a log that goes nowhere locally, and what it makes of a message.
func remote() tee {
	r := newRemoteLog()
	r.configure(configs.LogMQTT{Enabled: true, Level: "warn", PerMinute: 600})
	return tee{local: slog.DiscardHandler, remote: r}
}

type secret struct{ what string }

func (secret) LogValue() slog.Value { return slog.StringValue("hidden") }

type broken struct{}

func (*broken) Error() string                { panic("a nil error's method") }
func (*broken) MarshalText() ([]byte, error) { panic("a nil pointer's method") }

func TestRemoteMessage(t *testing.T) {
	var none *broken
	for name, tt := range map[string]struct {
		with      func(*slog.Logger) *slog.Logger
		msg       string
		args      []any
		wantMsg   string
		wantAttrs string
		cut       bool
	}{
		"no attributes": {msg: "bare", wantMsg: "bare"},
		"kinds": {
			msg: "m", wantMsg: "m",
			args:      []any{"s", "a\n\"b", "i", -3, "u", uint64(math.MaxUint64), "f", 0.5, "b", true, "d", 90 * time.Second, "t", time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), "e", errors.New("no"), "nil", nil},
			wantAttrs: `{"s":"a\n\"b","i":-3,"u":18446744073709551615,"f":0.5,"b":true,"d":"1m30s","t":"2026-01-02T03:04:05.006Z","e":"no","nil":"\u003cnil\u003e"}`,
		},
		"what JSON has no number for": {msg: "m", wantMsg: "m", args: []any{"nan", math.NaN(), "inf", math.Inf(-1)}, wantAttrs: `{"nan":"NaN","inf":"-Inf"}`},
		"With, and groups": {
			with: func(l *slog.Logger) *slog.Logger { return l.With("camera", "front").WithGroup("g").With("a", 1) },
			msg:  "m", wantMsg: "m", args: []any{"b", 2, slog.Group("h", "c", 3), slog.Group("", "d", 4)},
			wantAttrs: `{"camera":"front","g.a":1,"g.b":2,"g.h.c":3,"g.d":4}`,
		},
		"the last of two with one key": {msg: "m", wantMsg: "m", args: []any{"a", 1, "b", 2, "a", "x"}, wantAttrs: `{"a":"x","b":2}`},
		"secrets": {
			msg: "open http://u:geheim@cam/x?pw=geheim failed", wantMsg: "open http://u:xxxxx@cam/x?pw=xxxxx failed",
			args:      []any{"error", errors.New(`get "rtsp://u:geheim@cam/1": no`), "s", secret{"geheim"}},
			wantAttrs: `{"error":"get \"rtsp://u:xxxxx@cam/1\": no","s":"hidden"}`,
		},
		"methods that panic":  {msg: "m", wantMsg: "m", args: []any{"e", none}, wantAttrs: `{"e":"\u003cnil\u003e"}`},
		"a long message":      {msg: strings.Repeat("ä", 2000), wantMsg: strings.Repeat("ä", 509) + "…", cut: true},
		"a long attribute":    {msg: "m", wantMsg: "m", args: []any{"a", strings.Repeat("x", 1<<20), "b", 1}, wantAttrs: `{"a":"` + strings.Repeat("x", 1019) + `…","b":1}`, cut: true},
		"too many attributes": {msg: "m", wantMsg: "m", args: []any{"a", strings.Repeat("x", 1000), "b", strings.Repeat("y", 1000), "c", strings.Repeat("z", 1000), "d", 4}, wantAttrs: `{"a":"` + strings.Repeat("x", 1000) + `","b":"` + strings.Repeat("y", 1000) + `","d":4}`, cut: true},
		"a long key":          {msg: "m", wantMsg: "m", args: []any{strings.Repeat("k", 100), 1}, wantAttrs: `{"` + strings.Repeat("k", 59) + `…":1}`, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			var m payload.Log
			log := slog.New(tee{local: slog.DiscardHandler, remote: newRemoteLog()})
			if tt.with != nil {
				log = tt.with(log)
			}
			r := slog.NewRecord(time.Now(), slog.LevelWarn, tt.msg, 0)
			r.Add(tt.args...)
			m = log.Handler().(tee).message(r)
			if m.Msg != tt.wantMsg || string(m.Attrs) != tt.wantAttrs || m.Truncated != tt.cut || m.Level != "warn" {
				t.Errorf("got  %q %s, cut %v, level %s\nwant %q %s, cut %v", m.Msg, m.Attrs, m.Truncated, m.Level, tt.wantMsg, tt.wantAttrs, tt.cut)
			}
		})
	}
}

// The largest message that can come about keeps the contract's bound, and
// nothing in it is no JSON.
func TestRemoteMessageIsBounded(t *testing.T) {
	for name, s := range map[string]string{
		"control characters": strings.Repeat("\x01", 5000), "no UTF-8": strings.Repeat("a\xff", 5000),
		"letters": strings.Repeat("x", 5000), "three bytes": strings.Repeat("→", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			log := remote()
			r := slog.NewRecord(time.Now(), slog.LevelError, s, 0)
			for i := range 100 {
				r.Add(s[:50]+strings.Repeat("k", i), s)
			}
			m := log.message(r)
			m.Device, m.Boot, m.Seq, m.Suppressed = strings.Repeat("d", 64), math.MaxUint64, math.MaxUint64, math.MaxUint64
			body, err := json.Marshal(m)
			if err != nil || len(body) > payload.MaxLogBytes || len(body) < 2000 {
				t.Errorf("%d bytes, %v; want JSON of at most %d and a good part of it used", len(body), err, payload.MaxLogBytes)
			}
		})
	}
}

// Each log has its own level.
func TestTeeLevels(t *testing.T) {
	for name, tt := range map[string]struct {
		local  slog.Level
		remote configs.LogMQTT
		local4 string // which of debug, info, warn, error are written
		wants  string
	}{
		"off":                 {slog.LevelInfo, configs.LogMQTT{Level: "warn", PerMinute: 30}, "iwe", ""},
		"warnings":            {slog.LevelInfo, configs.LogMQTT{Enabled: true, Level: "warn", PerMinute: 30}, "iwe", "we"},
		"errors":              {slog.LevelDebug, configs.LogMQTT{Enabled: true, Level: "error", PerMinute: 30}, "diwe", "e"},
		"more than the local": {slog.LevelError, configs.LogMQTT{Enabled: true, Level: "warn", PerMinute: 30}, "e", "we"},
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			r := newRemoteLog()
			r.configure(tt.remote)
			h := tee{local: slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: tt.local}), remote: r}
			wrote, wants := "", ""
			for i, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				before := buf.Len()
				slog.New(h).Log(context.Background(), level, "m")
				if buf.Len() > before {
					wrote += "diwe"[i : i+1]
				}
				if r.wants(level) != nil {
					wants += "diwe"[i : i+1]
				}
			}
			if wrote != tt.local4 || wants != tt.wants {
				t.Errorf("wrote %q, sends %q; want %q, %q", wrote, wants, tt.local4, tt.wants)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTokens(30)
		taken := func(n int) (passed int) {
			for range n {
				if b.take(time.Now()) {
					passed++
				}
			}
			return passed
		}
		for _, step := range []struct {
			wait      time.Duration
			try, want int
		}{
			{0, 100, 30}, {time.Second, 10, 0}, {time.Second, 10, 1}, {20 * time.Second, 100, 10},
			{time.Hour, 100, 30}, {time.Minute, 100, 30},
		} {
			time.Sleep(step.wait) // of the bubble's clock
			if got := taken(step.try); got != step.want {
				t.Errorf("after %v, %d of %d passed, want %d", step.wait, got, step.try, step.want)
			}
		}
		if b.take(time.Now().Add(-time.Hour)) {
			t.Error("a time that goes back fills the bucket")
		}
	})
}

// A reload with the same settings must not give a flood another burst.
func TestRemoteLogConfigure(t *testing.T) {
	r := newRemoteLog()
	on := configs.LogMQTT{Enabled: true, Level: "warn", PerMinute: 1}
	r.configure(on)
	first := r.wants(slog.LevelWarn)
	if first == nil || !first.rate.take(time.Now()) {
		t.Fatal("the first message does not pass")
	}
	r.configure(on)
	if r.wants(slog.LevelWarn) != first {
		t.Error("the same settings begin anew")
	}
	r.configure(configs.LogMQTT{Level: "warn", PerMinute: 1})
	if r.wants(slog.LevelError) != nil {
		t.Error("it is on after it was switched off")
	}
}

// While it is off, a message costs what it costs without it.
func TestTeeIsFreeWhenOff(t *testing.T) {
	plain := slog.New(slog.DiscardHandler)
	off := slog.New(tee{local: slog.DiscardHandler, remote: newRemoteLog()})
	log := func(l *slog.Logger) func() { return func() { l.Warn("m", "a", 1, "b", "c") } }
	without, with := testing.AllocsPerRun(100, log(plain)), testing.AllocsPerRun(100, log(off))
	if with != without {
		t.Errorf("%v allocations a message, %v without", with, without)
	}
}

// Messages from many goroutines while it is switched on and off, for the race
// detector.
func TestTeeFromManyGoroutines(t *testing.T) {
	h := remote()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			log := slog.New(h).With("part", "p")
			for i := range 50 {
				log.Warn("m", "i", i)
			}
		})
	}
	all.Go(func() {
		for i := range 50 {
			h.remote.configure(configs.LogMQTT{Enabled: i%2 == 0, Level: "warn", PerMinute: 600})
		}
	})
	all.Wait()
	if h.remote.wants(slog.LevelWarn) != nil {
		t.Error("it is on, and was switched off last")
	}
}

// Why the agent ends by itself still reaches the broker: the client drains after
// the loop has ended.
func TestLastWordReachesTheBroker(t *testing.T) {
	b, err := listen("127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{tasks: newTasks(quiet), remoteLog: remote().remote}
	brokerTask := a.tasks.start("broker", otherBound, b.Run)
	defer func() { a.tasks.end(brokerTask) }()
	opts := mqtt.Options{Broker: "tcp://" + b.Addr(), Topics: payload.Topics{Fleet: "test", Device: "dev"}, Boot: 7}
	heard, _, err := mqtt.Connect(t.Context(), mqtt.Options{Broker: opts.Broker, Topics: opts.Topics, ClientID: "listener"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Disconnect(100)
	said := make(chan payload.Log, 1)
	wait(t, heard.Subscribe(opts.Topics.Log(), 1, func(_ paho.Client, m paho.Message) {
		var l payload.Log
		if err := json.Unmarshal(m.Payload(), &l); err != nil {
			t.Error(err)
		}
		said <- l
	}))
	a.tasks.failed <- errors.New("outbox: the disk is gone")
	if err := a.loop(t.Context()); err == nil {
		t.Error("the loop ended without the part's error")
	}
	box, err := outbox.Open(outbox.Options{Path: t.TempDir() + "/outbox.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	opts.Logs = a.remoteLog.queue
	client, err := mqtt.New(opts, box)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	select {
	case l := <-said:
		if l.Level != "error" || l.Boot != 7 || !strings.Contains(string(l.Attrs), "the disk is gone") {
			t.Errorf("it said %+v %s", l, l.Attrs)
		}
	case <-time.After(time.Minute):
		t.Error("the broker never heard of it")
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
