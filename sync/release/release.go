// Package release is what the operator's side and the devices agree on: how a
// release is described in a signed repository, and the rollout document that
// tells a cohort which one to take.
//
// It reads and checks; it neither signs, fetches nor installs.
package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Limits of what comes from outside.
const (
	// MaxBundleBytes bounds a bundle's zip file: its model may have 512 MiB.
	MaxBundleBytes = 600 << 20
	maxMetaBytes   = 16 << 10
	maxHardware    = 16
)

// wordBytes are what names are made of. (Regular expressions would be resident
// in every agent.)
const wordBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// isWord: 1 to 64 of A-Z a-z 0-9 . _ -
func isWord(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(wordBytes, r) })
}

// isName is a word that begins with neither a dot nor a dash.
func isName(s string) bool { return isWord(s) && s[0] != '.' && s[0] != '-' }

// isVersion: three whole numbers of one to six digits, with dots between.
func isVersion(s string) bool {
	parts := strings.Split(s, ".")
	return len(parts) == 3 && !slices.ContainsFunc(parts, func(p string) bool {
		return len(p) < 1 || len(p) > 6 || strings.Trim(p, "0123456789") != ""
	})
}

// Meta is the custom metadata of a target: what is signed about a bundle
// besides its length and hash.
type Meta struct {
	// Release names it for people and in reports.
	Release string `json:"release"`
	// Sequence grows with each release of a model. A signed Policy may forbid
	// those below one.
	Sequence uint64 `json:"sequence"`
	Model    Model  `json:"model"`
	// Hardware lists the platforms that it is for, as GOOS/GOARCH, such as
	// linux/arm64. None means any.
	Hardware []string `json:"hardware,omitempty"`
	// MinAgent is the oldest agent that may run it, as 1.2.3. Empty: any.
	MinAgent string `json:"min_agent,omitempty"`
	Limits   Limits `json:"limits,omitzero"`
}

// Model is a model's name and version, as in models/<name>/<version>.
type Model struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
}

// Limits are what the new model must keep while it runs beside the present
// one. A zero field is not asked for. Fractions are strings in JSON, "0.95":
// what is signed is canonical JSON, which has no floating point numbers.
type Limits struct {
	// MinAgreement is the least share of frames, 0 to 1, on which both give
	// the same first label.
	MinAgreement float64 `json:"min_agreement,omitempty,string"`
	// MaxScoreShift bounds the distance between the distributions of both
	// models' first score (Kolmogorov and Smirnov), 0 to 1.
	MaxScoreShift float64 `json:"max_score_shift,omitempty,string"`
	// MaxSlowdown bounds the new model's median Invoke over the present one's.
	MaxSlowdown float64 `json:"max_slowdown,omitempty,string"`
	// MaxMemory bounds what its process may have resident, in bytes.
	MaxMemory uint64 `json:"max_memory,omitempty"`
}

// Target is the path of a model's bundle in a repository.
func Target(m Model) string { return path.Join("models", m.Name, strconv.Itoa(m.Version)+".zip") }

// ParseTarget is the inverse of Target.
func ParseTarget(target string) (Model, error) {
	parts := strings.Split(target, "/")
	if len(parts) == 3 && parts[0] == "models" {
		if num, ok := strings.CutSuffix(parts[2], ".zip"); ok {
			v, err := strconv.Atoi(num)
			m := Model{parts[1], v}
			if err == nil && m.check() == nil && Target(m) == target {
				return m, nil
			}
		}
	}
	return Model{}, fmt.Errorf("target %.100q is not models/<name>/<version>.zip", target)
}

func (m Model) check() error {
	if !isName(m.Name) || m.Version < 1 || m.Version > 1<<31-1 {
		return fmt.Errorf("model %.100q version %d: the name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with none of . -, the version a whole number from 1", m.Name, m.Version)
	}
	return nil
}

// ParseMeta reads and checks a target's custom metadata.
func ParseMeta(data []byte) (Meta, error) {
	var m Meta
	if err := parse(data, &m); err != nil {
		return Meta{}, fmt.Errorf("release metadata: %w", err)
	}
	if err := m.Check(); err != nil {
		return Meta{}, err
	}
	return m, nil
}

// Check tells what is wrong with m.
func (m Meta) Check() error {
	switch l := m.Limits; {
	case !isWord(m.Release):
		return fmt.Errorf("release %.100q: it must be 1 to 64 of A-Z a-z 0-9 . _ -", m.Release)
	case m.Sequence == 0:
		return fmt.Errorf("release %s: the sequence number must be 1 or more", m.Release)
	case len(m.Hardware) > maxHardware:
		return fmt.Errorf("release %s: %d kinds of hardware, at most %d", m.Release, len(m.Hardware), maxHardware)
	case m.MinAgent != "" && !isVersion(m.MinAgent):
		return fmt.Errorf("release %s: min_agent %.100q is no version such as 1.2.3", m.Release, m.MinAgent)
	case l.MinAgreement < 0 || l.MinAgreement > 1 || l.MaxScoreShift < 0 || l.MaxScoreShift > 1 || l.MaxSlowdown < 0:
		return fmt.Errorf("release %s: min_agreement and max_score_shift are 0 to 1, max_slowdown 0 or more", m.Release)
	}
	for _, h := range m.Hardware {
		if os, arch, ok := strings.Cut(h, "/"); !ok || !isName(os) || !isName(arch) {
			return fmt.Errorf("release %s: hardware %.100q is not like linux/arm64", m.Release, h)
		}
	}
	if err := m.Model.check(); err != nil {
		return fmt.Errorf("release %s: %w", m.Release, err)
	}
	return nil
}

// Fits tells why a device of that platform and agent version may not take the
// release, or nil. An agent that was built without a version may take any.
func (m Meta) Fits(platform, agent string) error {
	if len(m.Hardware) > 0 && !slices.Contains(m.Hardware, platform) {
		return fmt.Errorf("release %s is for %s, this is %s", m.Release, strings.Join(m.Hardware, ", "), platform)
	}
	agent = strings.TrimPrefix(agent, "v")
	if base, _, _ := strings.Cut(agent, "-"); m.MinAgent != "" && isVersion(base) && older(base, m.MinAgent) {
		return fmt.Errorf("release %s needs agent %s or newer, this is %s", m.Release, m.MinAgent, agent)
	}
	return nil
}

// older compares versions for which isVersion holds.
func older(a, b string) bool {
	number := func(s string) (n [3]int) {
		for i, part := range strings.Split(s, ".") {
			n[i], _ = strconv.Atoi(part)
		}
		return n
	}
	x, y := number(a), number(b)
	return slices.Compare(x[:], y[:]) < 0
}

// PolicyTarget is the target that holds the Policy; there need not be one.
const PolicyTarget = "policy.json"

// Policy is what is signed for a repository as a whole.
type Policy struct {
	// MinSequence is, by a model's name, the lowest sequence number that may
	// still be installed: a withdrawn release does not come back.
	MinSequence map[string]uint64 `json:"min_sequence"`
}

// ParsePolicy reads and checks a policy.
func ParsePolicy(data []byte) (Policy, error) {
	var p Policy
	if err := parse(data, &p); err != nil {
		return Policy{}, fmt.Errorf("release policy: %w", err)
	}
	for name := range p.MinSequence {
		if !isName(name) {
			return Policy{}, fmt.Errorf("release policy: model %.100q: the name is 1 to 64 of A-Z a-z 0-9 . _ -", name)
		}
	}
	return p, nil
}

// Allows tells whether the policy lets m be installed.
func (p Policy) Allows(m Meta) error {
	if low := p.MinSequence[m.Model.Name]; m.Sequence < low {
		return fmt.Errorf("release %s was withdrawn: its sequence number %d is below %d", m.Release, m.Sequence, low)
	}
	return nil
}

// parse reads one JSON object of at most maxMetaBytes. Fields that are not
// known are ignored: newer operators may say more.
func parse(data []byte, to any) error {
	if len(data) > maxMetaBytes {
		return fmt.Errorf("%d bytes, at most %d", len(data), maxMetaBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(to); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("something follows the JSON object")
	}
	return nil
}
