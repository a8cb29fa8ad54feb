package configs

import (
	"fmt"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML is the configuration in effect as a file. Secrets in addresses are left
// out, so such a file cannot be used as it is.
func (c Config) YAML() ([]byte, error) {
	c.Cameras = append([]Camera(nil), c.Cameras...)
	for i := range c.Cameras {
		c.Cameras[i].Source = redact(c.Cameras[i].Source)
	}
	c.MQTT.Broker = redact(c.MQTT.Broker)
	c.Updates.Repository, c.Updates.Proxy = redact(c.Updates.Repository), redact(c.Updates.Proxy)
	out, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	return out, nil
}

// redact replaces the user and password of every address in s.
func redact(s string) string {
	words := strings.Fields(s)
	for _, w := range words {
		i := strings.Index(w, "://")
		if i < 0 {
			continue
		}
		if u, err := url.Parse(strings.Trim(w, `'"`)); err == nil && u.User != nil {
			s = strings.Replace(s, u.User.String()+"@", "redacted@", 1)
		} else if err != nil {
			s = strings.Replace(s, w, w[:i]+"://redacted", 1)
		}
	}
	return s
}

// MarshalYAML writes the duration as a file has it.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// MarshalYAML writes the size as a file has it.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

// MarshalYAML writes the rate as a file has it.
func (p PerDay) MarshalYAML() (any, error) { return p.String(), nil }

// MarshalYAML writes the score, or nothing.
func (s Score) MarshalYAML() (any, error) { return s.Value, nil }

// IsZero makes a score that was left out vanish from YAML.
func (s Score) IsZero() bool { return !s.Set }

// MarshalYAML writes one delegate as a word, several as a list.
func (d Delegates) MarshalYAML() (any, error) {
	if list := d.List(); len(list) > 1 {
		return list, nil
	}
	return d.lines, nil
}

// MarshalYAML writes the number, or auto.
func (t Threads) MarshalYAML() (any, error) {
	if t == 0 {
		return "auto", nil
	}
	return int(t), nil
}

// MarshalYAML writes the policy's word or the list.
func (v Versions) MarshalYAML() (any, error) {
	if list := v.List(); list != nil {
		return list, nil
	}
	if v == AllVersions {
		return "all", nil
	}
	return "latest", nil
}

// MarshalYAML writes the window as a file has it.
func (w Window) MarshalYAML() (any, error) { return w.String(), nil }
