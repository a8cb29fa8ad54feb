package payload

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MarshalJSON is AppendJSON's text.
func (p Prediction) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil) }

// AppendJSON appends the prediction as encoding/json would write it, without
// allocating when dst has the room. An empty ID is made from Device, Boot and
// Seq when there is a Seq. The error is for scores and boxes that are no
// numbers.
func (p *Prediction) AppendJSON(dst []byte) ([]byte, error) {
	dst = append(dst, `{"id":`...)
	if p.ID == "" && p.Seq > 0 {
		dst = appendString(dst, p.Device)
		dst = append(dst[:len(dst)-1], '/')
		dst = strconv.AppendUint(dst, p.Boot, 10)
		dst = append(dst, '/')
		dst = strconv.AppendUint(dst, p.Seq, 10)
		dst = append(dst, '"')
	} else {
		dst = appendString(dst, p.ID)
	}
	dst = appendString(append(dst, `,"device":`...), p.Device)
	dst = strconv.AppendUint(append(dst, `,"boot":`...), p.Boot, 10)
	dst = strconv.AppendUint(append(dst, `,"seq":`...), p.Seq, 10)
	dst = appendString(append(dst, `,"camera":`...), p.Camera)
	dst = p.Time.AppendFormat(append(dst, `,"time":"`...), time.RFC3339Nano)
	dst = appendString(append(dst, `","clock":`...), string(p.Clock))
	if p.UptimeUs != 0 {
		dst = strconv.AppendInt(append(dst, `,"uptime_us":`...), p.UptimeUs, 10)
	}
	if p.BootID != "" {
		dst = appendString(append(dst, `,"boot_id":`...), p.BootID)
	}
	dst = appendString(append(dst, `,"model":{"name":`...), p.Model.Name)
	dst = strconv.AppendInt(append(dst, `,"version":`...), int64(p.Model.Version), 10)
	dst = appendString(append(dst, `,"digest":`...), p.Model.Digest)
	dst = appendString(append(dst, `},"delegate":`...), p.Delegate)
	if p.Converted != "" {
		dst = appendString(append(dst, `,"converted":`...), p.Converted)
	}
	dst = appendString(append(dst, `,"task":`...), string(p.Task))
	dst, err := p.appendResults(append(dst, `,"results":`...))
	if err != nil {
		return dst, err
	}
	dst = strconv.AppendInt(append(dst, `,"latency_us":{"wait":`...), p.Latency.Wait, 10)
	dst = strconv.AppendInt(append(dst, `,"decode":`...), p.Latency.Decode, 10)
	dst = strconv.AppendInt(append(dst, `,"invoke":`...), p.Latency.Invoke, 10)
	dst = strconv.AppendInt(append(dst, `,"total":`...), p.Latency.Total, 10)
	dst = append(dst, '}')
	if p.File != "" {
		dst = appendString(append(dst, `,"file":`...), p.File)
	}
	return append(dst, '}'), nil
}

func (p *Prediction) appendResults(dst []byte) (_ []byte, err error) {
	if p.Results == nil {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '[')
	for i := range p.Results {
		r := &p.Results[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"index":`...), int64(r.Index), 10)
		dst = appendString(append(dst, `,"label":`...), r.Label)
		if dst, err = appendFloat(append(dst, `,"score":`...), r.Score); err != nil {
			return dst, err
		}
		if r.Box != nil {
			dst = append(dst, `,"box":`...)
			for k, v := range r.Box {
				dst = append(dst, "[,,,"[k])
				if dst, err = appendFloat(dst, v); err != nil {
					return dst, err
				}
			}
			dst = append(dst, ']')
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

var errNotANumber = errors.New("encode prediction: a score or box is not a number")

// appendFloat writes as encoding/json does: as ECMAScript, 6.1.6.1.13.
func appendFloat(dst []byte, v float32) ([]byte, error) {
	f := float64(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, errNotANumber
	}
	format := byte('f')
	if abs := float32(math.Abs(f)); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 32)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is e-9
		dst = dst[:n-1]
	}
	return dst, nil
}

// appendString writes a quoted string.
func appendString(dst []byte, s string) []byte {
	if plain(s) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	text, _ := json.Marshal(s) // strings always can be
	return append(dst, text...)
}

// plain tells whether a string needs no escapes, those for HTML included.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '\\', c == '<', c == '>', c == '&', c == 0x7f:
			return false
		case c >= utf8.RuneSelf:
			return utf8.ValidString(s) && !strings.ContainsAny(s, "\"\\<>&\u2028\u2029\x7f") && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' })
		}
	}
	return true
}
