package payload

import (
	"fmt"
	"strings"
)

// idBytes are what names of fleets, devices, cameras and cohorts are made of:
// nothing that MQTT or a path gives a meaning to. (A regular expression would
// be resident in every agent.)
const idBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// ValidID tells whether s can stand in a topic: 1 to 64 of A-Z a-z 0-9 _ -.
func ValidID(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(idBytes, r) })
}

// Topics names the topics of one device. The zero value is not usable: fill
// both fields with valid ids.
type Topics struct {
	Fleet, Device string
}

func (t Topics) dev(leaf string) string {
	return fmt.Sprintf("egret/v1/%s/dev/%s/%s", t.Fleet, t.Device, leaf)
}

// Status is retained, QoS 1, and the last will.
func (t Topics) Status() string { return t.dev("status") }

// Predictions is QoS 1: a JSON array of one or more predictions.
func (t Topics) Predictions() string { return t.dev("predictions") }

// Camera is retained, QoS 0: a camera's latest prediction.
func (t Topics) Camera(name string) string { return t.dev("cameras/" + name) }

// Telemetry is QoS 0.
func (t Topics) Telemetry() string { return t.dev("telemetry") }

// Log is QoS 1, not retained: warnings and errors of the agent's log.
func (t Topics) Log() string { return t.dev("log") }

// Snapshot is QoS 1, not retained: a camera's picture as JPEG, on command.
func (t Topics) Snapshot(camera string) string { return t.dev("cameras/" + camera + "/snapshot") }

// Command is where commands arrive; its last level names the command.
func (t Topics) Command(name string) string { return t.dev("command/" + name) }

// Reply is QoS 1, not retained: the answer to the command with that id.
func (t Topics) Reply(id string) string { return t.dev("reply/" + id) }

// Reported is retained, QoS 1: the device's release state.
func (t Topics) Reported() string { return t.dev("reported") }

// Pin is retained, QoS 1: a rollout document for this device alone, before its
// cohort's.
func (t Topics) Pin() string { return t.dev("pin") }

// Desired is retained, QoS 1: a cohort's rollout document. Cohorts are named as
// fleets are.
func Desired(fleet, cohort string) string {
	return fmt.Sprintf("egret/v1/%s/desired/%s", fleet, cohort)
}

// Operator is QoS 0, not retained: an operator's tool writes there and hears
// itself, and knows by it that what was retained has come.
func Operator(fleet, id string) string {
	return fmt.Sprintf("egret/v1/%s/operator/%s", fleet, id)
}
