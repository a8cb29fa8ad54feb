package configs

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/egret-edge/egret/internal/spelling"
)

// delegates are what a delegate's specification begins with; tflite knows what
// follows.
var delegates = []string{"auto", "cpu", "xnnpack", "edgetpu", "gpu", "external"}

// The labels by which a camera may name a version of its model.
const (
	Stable = "stable" // what serves
	Canary = "canary" // what egret model pin --canary chose; what serves, without
)

// schemes are the kinds of sources; sensors.Open knows what follows the colon.
var schemes = []string{"v4l2", "folder", "command", "http", "https", "pattern"}

var brokerSchemes = []string{"tcp", "mqtt", "ssl", "tls", "mqtts", "ws", "wss"}

// Validate finds what is wrong with a configuration as a whole. Its errors are
// of type Errors and name no line: the values did not come from a file.
func (c Config) Validate() error {
	if errs := c.validate(&decoder{file: "configuration", lines: map[string]int{}}); len(errs) > 0 {
		return errs
	}
	return nil
}

// validator collects the mistakes that no single value shows.
type validator struct {
	file  string
	lines map[string]int
	errs  Errors
}

func (c Config) validate(d *decoder) Errors {
	v := &validator{file: d.file, lines: d.lines}
	v.ranges(reflect.ValueOf(c), "")
	v.id("device", c.Device)
	v.id("fleet", c.Fleet)
	if c.StateDir == "" {
		v.fail("state_dir", "", "is missing")
	}
	v.models(c.Models)
	v.cameras(c.Cameras, c.Models)
	v.inference(c.Inference)
	v.mqtt(c.MQTT)
	if c.Log.MQTT.Enabled && !c.MQTT.Enabled {
		v.fail("log.mqtt.enabled", "", "needs mqtt.enabled")
	}
	v.api(c.API)
	v.updates(c.Updates)
	slices.SortStableFunc(v.errs, func(a, b *Error) int { return a.Line - b.Line })
	return v.errs
}

// fail records a mistake, at the line of the field or of what encloses it.
func (v *validator) fail(field, hint, format string, args ...any) {
	line, at := 0, field
	for line == 0 && at != "" {
		line = v.lines[at]
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	v.errs = append(v.errs, &Error{File: v.file, Line: line, Field: field, Problem: fmt.Sprintf(format, args...), Hint: hint})
}

func (v *validator) id(field, s string) {
	if err := checkID(s); err != nil {
		v.fail(field, "", "%v", err)
	}
}

// ranges checks the min, max and enum tags of all fields.
func (v *validator) ranges(value reflect.Value, field string) {
	switch value.Kind() {
	case reflect.Slice:
		for i := range value.Len() {
			v.ranges(value.Index(i), fmt.Sprintf("%s[%d]", field, i))
		}
	case reflect.Struct:
		for _, k := range keys(value.Type()) {
			v.limits(k, value.Field(k.index), join(field, k.name))
		}
	}
}

func (v *validator) limits(k key, value reflect.Value, field string) {
	if value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return
		}
		value = value.Elem()
	}
	if words := k.field.Tag.Get("enum"); words != "" {
		if known := strings.Split(words, ","); !slices.Contains(known, value.String()) {
			v.fail(field, spelling.Hint(value.String(), known), "%q is not known", value.String())
		}
		return
	}
	if s, ok := value.Interface().(Score); ok {
		if s.Set && (s.Value < 0 || s.Value > 1) {
			v.fail(field, "", "%v is out of range: 0 to 1", s.Value)
		}
		return
	}
	if _, ok := value.Interface().(Window); ok {
		return
	}
	lowest, highest := k.field.Tag.Get("min"), k.field.Tag.Get("max")
	if lowest == "" {
		v.ranges(value, field)
		return
	}
	if n := number(value); n < limit(value, lowest) || n > limit(value, highest) {
		v.fail(field, "", "%v is out of range: %s to %s", value.Interface(), lowest, highest)
	}
}

func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

// limit reads a tag's bound in the unit of the field's type.
func limit(v reflect.Value, text string) float64 {
	var n float64
	var err error
	switch v.Interface().(type) {
	case Duration:
		var d Duration
		if text != "0s" {
			d, err = ParseDuration(text)
		}
		n = float64(d)
	case Bytes:
		var b Bytes
		b, err = ParseBytes(text)
		n = float64(b)
	default:
		n, err = strconv.ParseFloat(text, 64)
	}
	if err != nil {
		panic(fmt.Sprintf("configs: bound %q: %v", text, err)) // a wrong tag in this package; every test would hit it
	}
	return n
}

func (v *validator) models(models []Model) {
	if len(models) == 0 {
		v.fail("models", "add one with name and path", "is missing: there is nothing to run")
	}
	seen := map[string]bool{}
	for i, m := range models {
		field := fmt.Sprintf("models[%d]", i)
		v.name(field, m.Name, seen)
		if m.Path == "" {
			v.fail(field+".path", "", "is missing")
		}
	}
}

// name checks an entry's id and that no other has it.
func (v *validator) name(field, name string, seen map[string]bool) {
	v.id(field+".name", name)
	if name != "" && seen[name] {
		v.fail(field+".name", "", "%q stands twice", name)
	}
	seen[name] = true
}

func (v *validator) cameras(cameras []Camera, models []Model) {
	if len(cameras) == 0 {
		v.fail("cameras", "add one with name and source", "is missing: there is nothing to look at")
	}
	seen := map[string]bool{}
	for i, c := range cameras {
		field := fmt.Sprintf("cameras[%d]", i)
		v.name(field, c.Name, seen)
		v.source(field+".source", c.Source)
		for k, m := range c.Motion.Masks {
			if !isBox(m) {
				v.fail(fmt.Sprintf("%s.motion.masks[%d]", field, k), "", "is not [x0, y0, x1, y1] with 0 ≤ x0 < x1 ≤ 1 and 0 ≤ y0 < y1 ≤ 1")
			}
		}
		var known []string
		for _, m := range models {
			known = append(known, m.Name)
		}
		name, version, selected := strings.Cut(c.Model, "@")
		if c.Model != "" && !slices.Contains(known, name) {
			v.fail(field+".model", spelling.Hint(name, known), "there is no model %q", name)
		}
		if _, err := strconv.ParseUint(version, 10, 31); selected && err != nil && version != Stable && version != Canary {
			v.fail(field+".model", "", "%q is no version: a whole number, stable or canary", version)
		}
	}
}

func (v *validator) source(field, source string) {
	scheme, rest, ok := strings.Cut(source, ":")
	switch {
	case source == "":
		v.fail(field, "", "is missing")
	case len(source) > 4096:
		v.fail(field, "", "is longer than 4096 bytes")
	case !ok:
		v.fail(field, "known: "+strings.Join(schemes, ", "), "does not say what kind of source it is")
	case !slices.Contains(schemes, scheme):
		v.fail(field, spelling.Hint(scheme, schemes), "%q is not a kind of source", scheme)
	case rest == "" && scheme != "pattern":
		v.fail(field, "", "names nothing after %q", scheme+":")
	}
}

func (v *validator) inference(inf Inference) {
	list := inf.Delegate.List()
	if len(list) == 0 {
		v.fail("inference.delegate", "write auto", "names no delegate")
	}
	for _, spec := range list {
		name, _, _ := strings.Cut(spec, "?")
		name, _, _ = strings.Cut(name, ":")
		if !slices.Contains(delegates, name) {
			v.fail("inference.delegate", spelling.Hint(name, delegates), "%q is not known", spec)
		}
	}
}

func (v *validator) updates(u Updates) {
	v.id("updates.cohort", u.Cohort)
	if (u.Repository == "") != (u.Root == "") {
		v.fail("updates.root", "", "has one of repository and root: give both or none")
	}
	for field, address := range map[string]string{"updates.repository": u.Repository, "updates.proxy": u.Proxy} {
		parsed, err := url.Parse(address)
		switch {
		case address == "":
		case err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https":
			v.fail(field, "write it as https://models.example.com", "is no http or https address")
		case field == "updates.repository" && parsed.User != nil:
			v.fail(field, "use token_file", "holds a user or password, which this file is no place for")
		}
	}
}

// isBox: four numbers, a rectangle within the frame.
func isBox(m []float64) bool {
	return len(m) == 4 && m[0] >= 0 && m[0] < m[2] && m[2] <= 1 && m[1] >= 0 && m[1] < m[3] && m[3] <= 1
}

func (v *validator) mqtt(m MQTT) {
	if m.Embedded && !m.Enabled {
		v.fail("mqtt.embedded", "", "needs mqtt.enabled")
	}
	if m.Commands && !m.Enabled {
		v.fail("mqtt.commands", "", "needs mqtt.enabled")
	}
	if m.HomeAssistant.Enabled && !m.Enabled {
		v.fail("mqtt.homeassistant.enabled", "", "needs mqtt.enabled")
	}
	if !isTopic(m.HomeAssistant.Prefix) {
		v.fail("mqtt.homeassistant.prefix", "homeassistant is what Home Assistant itself begins with", "%q is not the beginning of a topic", m.HomeAssistant.Prefix)
	}
	if err := checkLoopback(m.EmbeddedListen); m.Embedded && err != nil {
		v.fail("mqtt.embedded_listen", "the embedded broker has no passwords; for others, run a broker of your own", "%v", err)
	}
	if m.Enabled && !m.Embedded {
		v.broker(m.Broker)
	}
	if m.PasswordFile != "" && m.PasswordCredential != "" {
		v.fail("mqtt.password_credential", "", "stands beside password_file: give one")
	}
	if (m.PasswordFile != "" || m.PasswordCredential != "") && m.Username == "" {
		v.fail("mqtt.username", "", "is missing: there is a password for it")
	}
	if (m.TLS.CertFile == "") != (m.TLS.KeyFile == "") {
		v.fail("mqtt.tls", "", "has one of cert_file and key_file: give both or none")
	}
}

// isTopic: names with single slashes between them that can be published to.
// Names that begin with $ belong to the broker (MQTT 3.1.1, 4.7).
func isTopic(s string) bool {
	return s != "" && len(s) <= 256 && s[0] != '$' && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '+' || r == '#' }) &&
		!slices.Contains(strings.Split(s, "/"), "")
}

func (v *validator) broker(broker string) {
	const field = "mqtt.broker"
	u, err := url.Parse(broker)
	switch {
	case err != nil || u.Host == "":
		v.fail(field, "write it as tcp://host:1883", "is not a broker's address")
	case !slices.Contains(brokerSchemes, u.Scheme):
		v.fail(field, spelling.Hint(u.Scheme, brokerSchemes), "%q is not a broker's scheme", u.Scheme)
	case u.User != nil:
		v.fail(field, "use username and password_file", "holds a user or password, which this file is no place for")
	}
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port", addr)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not a loopback address", addr)
	}
	return nil
}
