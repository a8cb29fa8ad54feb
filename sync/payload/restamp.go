package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Restamp is an encoded prediction that was recorded before the clock was set,
// now that at is known to be its true time: time is replaced, clock becomes
// corrected, uptime_us and boot_id go. All other fields stay as they are and
// where they are, unknown ones too. The error is for what is no JSON object with
// a time.
func Restamp(rec []byte, at time.Time) ([]byte, error) {
	when, err := at.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("restamp prediction: %w", err)
	}
	if !json.Valid(rec) {
		return nil, errors.New("restamp prediction: it is not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(rec))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("restamp prediction: it is not a JSON object")
	}
	out, timed := append(make([]byte, 0, len(rec)+16), '{'), false
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("restamp prediction: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("restamp prediction: %w", err)
		}
		key, _ := name.(string) // nothing else names a value
		switch key {
		case "uptime_us", "boot_id":
			continue
		case "time":
			value, timed = when, true
		case "clock":
			value = appendString(nil, string(ClockCorrected))
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(appendString(out, key), ':'), value...)
	}
	if !timed {
		return nil, errors.New("restamp prediction: it has no time")
	}
	return append(out, '}'), nil
}
