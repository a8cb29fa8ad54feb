package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/egret-edge/egret/fleet/repo"
	"github.com/egret-edge/egret/sync/release"
)

// TestRepo is docs/UPDATES.md's way through the commands, with the words that
// people read and the exit codes that scripts do.
func TestRepo(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(passphraseEnv, "")
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	if _, err := z.Create("model.tflite"); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string]*bytes.Buffer{"pass": bytes.NewBufferString("secret\n"), "wrong": bytes.NewBufferString("other\n"), "blank": bytes.NewBufferString("\n"), "cats-3.zip": &buf} {
		if path == "cats-3.zip" {
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, data.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args string
		code int
		want string // a regular expression, of both outputs
	}{
		{"repo status", 1, `^egret: open repository ".": no repository: name its folder with --repo`},
		{"repo init r --keys k", 1, `no passphrase for the root key k/root-[0-9a-f]{8}.key: give --passphrase-file or EGRET_PASSPHRASE`},
		{"repo init r --keys k --passphrase-file blank", 1, `the first line of blank has 0 bytes`},
		{"repo init r", 2, `required flag\(s\) "keys"`},
		{"repo init r --keys k --root-keys 0 --passphrase-file pass", 2, `start at 1`},
		{"repo init r --keys r/k --passphrase-file pass", 1, `what is in a repository gets published`},
		{"repo init r --keys k --passphrase-file pass", 0, `made the root key k/root-.*\n.*targets.*\n.*online.*\nmade the repository r: give r/metadata/1.root.json`},
		{"repo init r --keys k --passphrase-file pass", 1, `the folder is not empty`},
		{"repo sign --repo r --keys k --passphrase-file pass", 1, `nothing is staged: egret repo add`},
		{"repo add pass --repo r --release cats-3 --sequence 3", 2, `the file name says no model and version`},
		{"repo add cats-3.zip --repo r --release cats-3 --sequence 3 --hardware arm64", 2, `not like linux/arm64`},
		{"repo add cats-3.zip --repo r --release cats-3 --sequence 3 --hardware linux/arm64 --min-agreement 0.9", 0, `^staged models/cats/3.zip as release cats-3, sequence 3: sign and publish it\n$`},
		{"repo publish --repo r --keys k --passphrase-file pass", 1, `targets 2: not enough signatures: 0 of 1: egret repo sign`},
		{"repo sign --repo r --keys k --passphrase-file wrong", 1, `wrong passphrase`},
		{"repo sign --repo r --keys r --passphrase-file pass", 1, `there is no .key file in \[r\]`},
		{"repo sign --repo r --keys k --passphrase-file pass", 0, `^signed targets 2 with key [0-9a-f]{8}\nstaged     targets version 2 can be published\n$`},
		{"repo publish --repo r --keys k --passphrase-file pass", 0, `^published root 1, targets 2, snapshot 2, timestamp 2: publish again before `},
		{"repo withdraw cats --min-sequence 4 --repo r", 0, `below sequence 4 are withdrawn`},
		{"repo rotate online --keys k --repo r --passphrase-file pass", 0, `made the online key k/online-[0-9a-f]{8}.key\nstaged a root that revokes`},
		{"repo rotate timestamp --keys k --repo r", 2, `invalid argument "timestamp"`},
		{"repo renew targets --repo r", 0, `^staged targets with a later expiry`},
		{"repo sign --repo r --keys k --passphrase-file pass", 0, `signed root 2`},
		{"repo publish --repo r --keys k --passphrase-file pass", 0, `^published root 2, targets 3, snapshot 3, timestamp 3`},
		{"repo status --repo r", 0, `root       version 2 +364 days left .*1 of 1 keys(.*\n)+policy     cats from sequence 4 on\ntarget     models/cats/3.zip .* release cats-3  sequence 3  model cats version 3  \d+ bytes  linux/arm64  withdrawn\n$`},
		{"repo status --repo r --warn 2", 1, `warning    timestamp expires in 23 hours\n$`},
		{"repo status --repo r --warn -1", 2, `give 0 to 3650 days`},
	} {
		var out bytes.Buffer
		code := run(strings.Fields(tt.args), strings.NewReader(""), &out, &out)
		if code != tt.code || !regexp.MustCompile(tt.want).MatchString(out.String()) {
			t.Errorf("egret %s: exit code %d, want %d, and %q:\n%s", tt.args, code, tt.code, tt.want, out.String())
		}
	}
	var out bytes.Buffer
	if code := run([]string{"repo", "status", "--repo", "r", "--json"}, nil, &out, &out); code != 0 {
		t.Fatalf("%d: %s", code, out.String())
	}
	var s repo.Status
	if err := json.Unmarshal(out.Bytes(), &s); err != nil || len(s.Roles) != 4 || len(s.Targets) != 1 || !s.Targets[0].Withdrawn || s.Targets[0].Limits.MinAgreement != 0.9 {
		t.Errorf("%s became %+v, %v", out.Bytes(), s, err)
	}
}

func TestReleaseModel(t *testing.T) {
	for name, tt := range map[string]struct {
		path, model string
		version     int
		want        release.Model
		bad         bool
	}{
		"packed":        {path: "cats-3.zip", want: release.Model{Name: "cats", Version: 3}},
		"dashes":        {path: "my-cats-v2-12.zip", want: release.Model{Name: "my-cats-v2", Version: 12}},
		"folder":        {path: filepath.Join("models", "cats", "3.zip"), want: release.Model{Name: "cats", Version: 3}},
		"both flags":    {path: "x", model: "cats", version: 3, want: release.Model{Name: "cats", Version: 3}},
		"flags win":     {path: "cats-3.zip", model: "dogs", version: 4, want: release.Model{Name: "dogs", Version: 4}},
		"one flag":      {path: "x.zip", model: "cats", bad: true},
		"nothing":       {path: "x.zip", bad: true},
		"huge version":  {path: "cats-99999999999999999999.zip", bad: true},
		"only a number": {path: "-3.zip", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := releaseModel(tt.path, tt.model, tt.version)
			var usage usageError
			if tt.bad != (err != nil) || err != nil && !errors.As(err, &usage) || got != tt.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
