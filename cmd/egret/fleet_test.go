package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/egret-edge/egret/fleet"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/test/mosquitto"
)

// TestFleet is docs/UPDATES.md's way through the commands, with the words that
// people read and the exit codes that scripts do.
func TestFleet(t *testing.T) {
	t.Chdir(t.TempDir())
	b := mosquitto.Start(t, mosquitto.Config{User: "op", Password: "right"})
	for path, text := range map[string]string{"pass": "right\n", "wrong": "other\n", "blank": "\n", "ca.pem": "no certificate"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := " --broker tcp://" + b.Addr() + " --username op --password-file "
	ok := at + "pass"
	const gen = `gen \d{10} `
	for _, tt := range []struct {
		args string
		code int
		want string // a regular expression, of both outputs
	}{
		{"fleet stop", 2, `^egret: unknown command "stop" for "egret fleet": `},
		{"fleet start", 2, `accepts 1 arg`},
		{"fleet start cats --percent 5", 2, `^egret: "cats" names no model and version: write cats/3 or models/cats/3.zip\n$`},
		{"fleet start cats/3", 2, `^egret: give the share of the cohort with --percent: begin small, egret fleet promote makes it larger\n$`},
		{"fleet start cats/3 --percent 0", 2, `^egret: "0" is no percentage: give 0.01 to 100, with at most two decimals\n$`},
		{"fleet start cats/3 --percent 5 --jitter 25h", 2, `^egret: rollout: jitter_s 90000 is not 0 to 86400\n$`},
		{"fleet start cats/3 --percent 5 --jitter 1ms", 2, `^egret: --jitter 1ms: give whole seconds, up to 24h\n$`},
		{"fleet start cats/3 --percent 5 --on-abort flee", 2, `^egret: rollout: on_abort "flee" is neither stay nor previous\n$`},
		{"fleet start cats/3 --percent 5 --release a/b", 2, `^egret: rollout: release "a/b" must be 1 to 64 of A-Z a-z 0-9 . _ -\n$`},
		{"fleet start cats/3 --percent 5 --salt a/b", 2, `^egret: rollout: salt "a/b" must be`},
		{"fleet start cats/3 --percent 5 --cohort +", 2, `^egret: cohort "\+" must be 1 to 64 of A-Z a-z 0-9 _ -\n$`},
		{"fleet pause --fleet #", 2, `^egret: fleet "#" must be`},
		{"fleet pause --pin a/b", 2, `^egret: device "a/b" must be`},
		{"fleet pause --broker broker:1883", 2, `^egret: mqtt: the broker's address must begin with tcp://`},
		{"fleet pause --ca ca.pem", 2, `^egret: --ca, --cert and --key are for encrypted addresses, not for tcp://: use mqtts:// or wss://\n$`},
		{"fleet pause --broker mqtts://127.0.0.1 --ca ca.pem", 1, `^egret: mqtt TLS authority "ca.pem": no PEM certificate in it\n$`},
		{"fleet pause --broker mqtts://127.0.0.1 --cert c.pem", 2, `^egret: --cert and --key: give both or none\n$`},
		{"fleet pause --timeout 0s", 2, `^egret: --timeout 0s: give up to 1h\n$`},
		{"fleet promote --percent 101" + ok, 2, `^egret: "101" is no percentage`},
		{"fleet status --only done", 2, `^egret: --only: there is no state "done": known: idle, `},
		{"fleet status --only comitted", 2, `did you mean "committed"\?\n$`},
		{"fleet pause" + at + "missing", 1, `^egret: mqtt password: open missing: no such file or directory\n$`},
		{"fleet pause" + at + "blank", 1, `the first line of blank has 0 bytes`},
		{"fleet pause" + at + "wrong", 1, `^egret: broker tcp://.*: the broker does not authorise this client\n$`},
		{"fleet pause --broker mqtts://" + b.Addr(), 1, `^egret: broker mqtts://.*: is this its TLS port \(8883 as a rule\)\?\n$`},

		{"fleet pause" + ok, 1, `^egret: cohort default: there is no rollout: egret fleet start begins one; are --fleet and --cohort right\?\n$`},
		{"fleet start cats/3 --percent 5 --jitter 10m" + ok, 0, `^cohort default: release cats-3 \(models/cats/3.zip\) running for 5%, ` + gen + `rev 1, downloads spread over 10m, back to the version before when aborted\n$`},
		{"fleet start dogs/1 --percent 5" + ok, 1, `^egret: cohort default: another rollout is going on: release cats-3 is running for 5%: egret fleet abort ends it, egret fleet promote gives it to all, --force replaces it as it is\n$`},
		{"fleet promote --percent 50" + ok, 0, ` running for 50%, ` + gen + `rev 2,`},
		{"fleet promote --percent 20" + ok, 1, `^egret: cohort default: release cats-3 is at 50%: a rollout's share only grows: egret fleet pause stops it where it is, abort takes it back\n$`},
		{"fleet pause" + ok, 0, ` paused for 50%, ` + gen + `rev 3,`},
		{"fleet resume" + ok, 0, ` running for 50%, ` + gen + `rev 4,`},
		{"fleet start cats/2 --pin cam-7 --release back-to-2" + ok, 0, `^device cam-7: release back-to-2 \(models/cats/2.zip\) running for 100%, ` + gen + `rev 1, `},
		{"fleet status" + ok, 0, `^cohort default: release cats-3 .* rev 4, .*\n0 of 0 devices online, 0 selected\n1 silent \(no report\)\n\nDEVICE +ONLINE +STATE .*\ncam-7 +- +silent .* pinned to back-to-2\n$`},
		{"fleet clear --pin cam-7" + ok, 0, `^device cam-7: no rollout any more`},
		{"fleet abort" + ok, 0, ` aborted for 50%, ` + gen + `rev 5,`},
		{"fleet abort" + ok, 0, ` rev 5, .* already\n$`},
		{"fleet promote" + ok, 1, `^egret: cohort default: release cats-3: the rollout was aborted: egret fleet start begins anew\n$`},
		{"fleet start dogs/1 --percent 0.5 --on-abort stay --salt s" + ok, 0, `release dogs-1 \(models/dogs/1.zip\) running for 0.5%, ` + gen + `rev 1, kept when aborted\n$`},
		{"fleet clear" + ok, 0, `^cohort default: no rollout any more, devices keep what they have\n$`},
		{"fleet status --cohort west" + ok, 0, `^cohort west: no rollout\n0 of 0 devices online\n$`},
	} {
		var out bytes.Buffer
		code := run(strings.Fields(tt.args), strings.NewReader(""), &out, &out)
		if code != tt.code || !regexp.MustCompile(tt.want).MatchString(out.String()) {
			t.Errorf("egret %s: exit code %d, want %d, and %q:\n%s", tt.args, code, tt.code, tt.want, out.String())
		}
	}
	var out bytes.Buffer
	if code := run(strings.Fields("fleet status --json"+ok), nil, &out, &out); code != 0 {
		t.Fatalf("%d: %s", code, out.String())
	}
	var s fleet.Status
	if err := json.Unmarshal(out.Bytes(), &s); err != nil || s.Fleet != "default" || s.Rollout != nil || s.Devices == nil {
		t.Errorf("%s became %+v, %v", out.Bytes(), s, err)
	}
}

// TestCompletedRollout: a command line's wishes reach the document.
func TestCompletedRollout(t *testing.T) {
	var r release.Rollout
	r.OnAbort = release.Stay
	if err := complete(&r, "models/cats/3.zip", "", 90e9, true); err != nil {
		t.Fatal(err)
	}
	if want := (release.Rollout{Release: "cats-3", Target: "models/cats/3.zip", BasisPoints: release.All, JitterS: 90, OnAbort: release.Stay}); r != want {
		t.Errorf("%+v", r)
	}
}
