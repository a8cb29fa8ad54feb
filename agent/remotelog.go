package agent

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/payload"
)

// remoteLog puts messages of the log into a queue for the broker. Any goroutine
// may use it; it never waits, and while it is off a message costs one look at
// whether it is on.
type remoteLog struct {
	queue *mqtt.LogQueue
	rule  atomic.Pointer[remoteRule] // nil: off
}

// remoteRule is what may pass; it is replaced as a whole.
type remoteRule struct {
	cfg   configs.LogMQTT
	level slog.Level
	rate  *tokens
}

func newRemoteLog() *remoteLog { return &remoteLog{queue: mqtt.NewLogQueue()} }

// configure switches it on or off. What the same settings have used up of the
// rate stays used.
func (r *remoteLog) configure(cfg configs.LogMQTT) {
	now := r.rule.Load()
	switch {
	case !cfg.Enabled:
		r.rule.Store(nil)
		r.queue.Clear()
	case now == nil || now.cfg != cfg:
		level := slog.LevelWarn
		if cfg.Level == "error" {
			level = slog.LevelError
		}
		r.rule.Store(&remoteRule{cfg: cfg, level: level, rate: newTokens(cfg.PerMinute)})
	}
}

// lastWord tells the broker alone why the agent ends by itself: whoever started
// it says so locally.
func (r *remoteLog) lastWord(err error) {
	slog.New(tee{local: slog.DiscardHandler, remote: r}).Error("the agent ends by itself", "error", err)
}

// wants gives the rule that lets messages of that level pass, nil for none.
func (r *remoteLog) wants(level slog.Level) *remoteRule {
	if rule := r.rule.Load(); rule != nil && level >= rule.level {
		return rule
	}
	return nil
}

// tokens is a token bucket: so many at once, and as many in each minute. Any
// goroutine may take from it.
type tokens struct {
	size float64

	mu   sync.Mutex // guards all following fields
	left float64
	at   time.Time
}

func newTokens(perMinute int) *tokens {
	return &tokens{size: float64(perMinute), left: float64(perMinute), at: time.Now()}
}

// take tells whether one more may pass now.
func (b *tokens) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := now.Sub(b.at); d > 0 { // another goroutine may have been here with a later time
		b.left = min(b.size, b.left+d.Minutes()*b.size)
		b.at = now
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// tee is a slog.Handler that gives messages to the local log and to the remote
// one, each by its own level.
type tee struct {
	local  slog.Handler
	remote *remoteLog
	attrs  []slog.Attr // of With, their keys with the groups that they are in
	prefix string      // of the keys to come
}

// Enabled implements slog.Handler.
func (t tee) Enabled(ctx context.Context, level slog.Level) bool {
	return t.local.Enabled(ctx, level) || t.remote.wants(level) != nil
}

// Handle implements slog.Handler. The local log comes first: it is there to the
// last.
func (t tee) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if t.local.Enabled(ctx, r.Level) {
		err = t.local.Handle(ctx, r)
	}
	if rule := t.remote.wants(r.Level); rule != nil {
		if rule.rate.take(time.Now()) {
			t.remote.queue.Put(t.message(r))
		} else {
			t.remote.queue.Skip()
		}
	}
	return err
}

// WithAttrs implements slog.Handler.
func (t tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	t.local = t.local.WithAttrs(attrs)
	t.attrs = slices.Clip(t.attrs) // the one that is derived from gets none of ours
	for _, a := range attrs {
		t.attrs = append(t.attrs, slog.Attr{Key: t.prefix + a.Key, Value: a.Value})
	}
	return t
}

// WithGroup implements slog.Handler.
func (t tee) WithGroup(name string) slog.Handler {
	t.local = t.local.WithGroup(name)
	if name != "" {
		t.prefix += name + "."
	}
	return t
}

// Bounds, in bytes of JSON. With the other fields they stay below
// payload.MaxLogBytes.
const (
	maxLogText  = 1 << 10 // the message, or one attribute
	maxLogAttrs = 2560    // all attributes
	maxLogKey   = 64
)

func (t tee) message(r slog.Record) payload.Log {
	m := payload.Log{Time: r.Time.UTC(), Level: strings.ToLower(r.Level.String())}
	text, cut := clip(sensors.Redact(r.Message), maxLogText)
	m.Msg = text
	o := logObject{budget: maxLogAttrs, cut: cut}
	for _, a := range t.attrs {
		o.add("", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		o.add(t.prefix, a)
		return true
	})
	m.Attrs, m.Truncated = o.json()
	return m
}

// logObject collects attributes as a JSON object of at most budget bytes. A key
// that comes again replaces what it had.
type logObject struct {
	keys   []string
	values [][]byte
	budget int
	cut    bool
}

// add takes an attribute, or a group's one by one.
func (o *logObject) add(prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			o.add(prefix, member)
		}
		return
	}
	if a.Key == "" {
		return
	}
	key, cut := clip(prefix+a.Key, maxLogKey)
	value, shorter := logValue(v)
	o.cut = o.cut || cut || shorter
	if i := slices.Index(o.keys, key); i >= 0 {
		if grows := len(value) - len(o.values[i]); grows <= o.budget {
			o.budget -= grows
			o.values[i] = value
		} else {
			o.cut = true
		}
		return
	}
	if size := len(quoted(key)) + len(value) + 2; size <= o.budget {
		o.budget -= size
		o.keys, o.values = append(o.keys, key), append(o.values, value)
	} else {
		o.cut = true
	}
}

func (o *logObject) json() (object json.RawMessage, cut bool) {
	if len(o.keys) == 0 {
		return nil, o.cut
	}
	out := []byte{'{'}
	for i, key := range o.keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted(key)...), ':'), o.values[i]...)
	}
	return append(out, '}'), o.cut
}

// logValue is an attribute's value as JSON: numbers and booleans as they are,
// the rest in the words that the text format has for it, without the secrets of
// addresses.
func logValue(v slog.Value) (value []byte, cut bool) {
	switch v.Kind() {
	case slog.KindInt64, slog.KindUint64, slog.KindBool:
		return []byte(v.String()), false
	case slog.KindFloat64:
		if f := v.Float64(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return fmt.Appendf(nil, "%g", f), false
		}
	}
	text, cut := clip(sensors.Redact(logText(v)), maxLogText)
	return quoted(text), cut
}

func logText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().UTC().Format(time.RFC3339Nano)
	case slog.KindAny:
		if m, ok := v.Any().(encoding.TextMarshaler); ok && v.Any() != nil {
			if text, err := marshalText(m); err == nil {
				return text
			}
		}
		return fmt.Sprintf("%+v", v.Any()) // which takes a panic for a value, as a nil error's
	}
	return v.String()
}

// marshalText keeps a panic of a nil pointer's method from its caller, who only
// wanted to log something.
func marshalText(m encoding.TextMarshaler) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	b, err := m.MarshalText()
	return string(b), err
}

// clip cuts s so that it takes at most n bytes as JSON, and says whether it did.
func clip(s string, n int) (text string, cut bool) {
	const ellipsis = "…"
	text = strings.ToValidUTF8(s[:min(len(s), n)], "�")
	cut = len(s) > n
	for {
		size := len(quoted(text))
		if cut {
			size += len(ellipsis)
		}
		if size <= n {
			break
		}
		// In proportion, and at least one byte: control characters take six.
		at := min(len(text)*n/size, len(text)-1)
		for at > 0 && !utf8.RuneStart(text[at]) {
			at--
		}
		text, cut = text[:at], true
	}
	if cut {
		text += ellipsis
	}
	return text, cut
}

func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // not for a string
		return []byte(`""`)
	}
	return b
}
