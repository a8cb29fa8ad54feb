package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// pullRepo is a repository made with the commands, with the releases cats-2,
// which is withdrawn, cats-3, and dogs-1, which is for other devices.
func pullRepo(t *testing.T) (bundle []byte) {
	t.Helper()
	t.Setenv(passphraseEnv, "secret")
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create("model.tflite")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, strings.Repeat("no model, but a file of that name", 1000))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cats-2.zip", "cats-3.zip", "dogs-1.zip"} {
		if err := os.WriteFile(name, buf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"repo init r --keys k",
		"repo init stranger --keys k2",
		"repo add cats-2.zip --repo r --release cats-2 --sequence 2",
		"repo add cats-3.zip --repo r --release cats-3 --sequence 3",
		"repo add dogs-1.zip --repo r --release dogs-1 --sequence 1 --hardware plan9/arm",
		"repo withdraw cats --min-sequence 3 --repo r",
		"repo sign --repo r --keys k",
		"repo publish --repo r --keys k",
	} {
		var out bytes.Buffer
		if code := run(strings.Fields(args), strings.NewReader(""), &out, &out); code != 0 {
			t.Fatalf("egret %s: exit code %d: %s", args, code, out.String())
		}
	}
	return buf.Bytes()
}

// TestModelPull fetches from a folder that the commands made and a plain web
// server hands out, in the words that people read.
func TestModelPull(t *testing.T) {
	t.Chdir(t.TempDir())
	bundle := pullRepo(t)
	srv := httptest.NewServer(http.FileServer(http.Dir("r")))
	defer srv.Close()
	sum := fmt.Sprintf("%x", sha256.Sum256(bundle))
	platform := runtime.GOOS + "/" + runtime.GOARCH
	for _, tt := range []struct {
		args string
		code int
		want string // URL, SUM, SIZE and HERE stand for what differs
	}{
		{"--repo URL --root r/metadata/1.root.json", 0, `RELEASE                  MODEL                    VERSION SEQUENCE        BYTES
cats-2                   cats                           2        2          SIZE  withdrawn: release cats-2 was withdrawn: its sequence number 2 is below 3
cats-3                   cats                           3        3          SIZE
dogs-1                   dogs                           1        1          SIZE  not for this device: release dogs-1 is for plan9/arm, this is HERE
`},
		{"cats-3 --repo URL --root r/metadata/1.root.json", 0, "models/cats-3.zip: cats version 3, SIZE bytes, sha256:SUM, verified\n"},
		{"cats-3 --repo URL/ --root r/metadata/1.root.json --dir other --json", 0,
			`{"release":"cats-3","sequence":3,"model":{"name":"cats","version":3},"target":"models/cats/3.zip","length":SIZE,"sha256":"SUM","file":"other/cats-3.zip"}` + "\n"},

		{"--repo URL", 2, "egret: give the repository's URL with --repo and its root.json with --root\n"},
		{"--repo models.example.com --root r/metadata/1.root.json", 2, "egret: --repo \"models.example.com\": give a URL such as https://models.example.com\n"},
		{"--repo URL --root r/metadata/1.root.json --bandwidth -5", 2, "egret: --bandwidth: give bytes per second, or 0 for no limit\n"},
		{"--repo URL --root nowhere", 1, "egret: read the pinned root: open nowhere: no such file or directory: --root names a copy of the repository's first root, such as 1.root.json\n"},
		{"--repo URL --root cats-3.zip", 1, "egret: open repository client: pinned root: metadata is not trusted: invalid character 'P' looking for beginning of value: compare --root with the owner's, and tell the owner\n"},
		{"--repo URL --root stranger/metadata/1.root.json --dir strange", 1, "egret: refresh from URL/metadata: metadata is not trusted: unsigned metadata error: Verifying timestamp failed, not enough signatures, got 0, want 1: compare --root with the owner's, and tell the owner\n"},
		{"cats-4 --repo URL --root r/metadata/1.root.json", 1, "egret: release \"cats-4\": not listed: egret model pull without a release lists what there is\n"},
		{"cats-2 --repo URL --root r/metadata/1.root.json", 1, "egret: download release \"cats-2\": withdrawn: release cats-2 was withdrawn: its sequence number 2 is below 3: take a later release: egret model pull without a release lists what there is\n"},
		{"--repo URL/wrong --root r/metadata/1.root.json", 1, "egret: refresh from URL/wrong/metadata: repository does not answer: failed to download URL/wrong/metadata/timestamp.json, http status code: 404: check --repo and the network, then try again: it goes on where it stopped\n"},
		{"--repo URL --root r/metadata/1.root.json --ca nowhere", 1, "egret: open repository client: read certificate authorities: open nowhere: no such file or directory\n"},
		{"a b", 2, "egret: accepts at most 1 arg(s), received 2\n"},
	} {
		var out bytes.Buffer
		code := run(strings.Fields("model pull "+strings.ReplaceAll(tt.args, "URL", srv.URL)), strings.NewReader(""), &out, &out)
		size := fmt.Sprint(len(bundle))
		got := strings.NewReplacer(srv.URL, "URL", sum, "SUM", size, "SIZE", platform, "HERE").Replace(out.String())
		if code != tt.code || got != tt.want {
			t.Errorf("egret model pull %s: exit code %d, want %d, and\n%s\ninstead of\n%s", tt.args, code, tt.code, got, tt.want)
		}
	}
	for _, path := range []string{"models/cats-3.zip", "other/cats-3.zip"} {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, bundle) {
			t.Errorf("%s has %d bytes of %d: %v", path, len(got), len(bundle), err)
		}
	}
	if _, err := os.Stat("models/cats-2.zip"); err == nil {
		t.Error("a withdrawn release was fetched")
	}
}

// TestModelPullRefuses changes the folder behind a client that has seen it.
func TestModelPullRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	pullRepo(t)
	srv := httptest.NewServer(http.FileServer(http.Dir("r")))
	defer srv.Close()
	pull := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := run(append([]string{"model", "pull", "--repo", srv.URL, "--root", "r/metadata/1.root.json"}, args...), strings.NewReader(""), &out, &out)
		return strings.ReplaceAll(out.String(), srv.URL, "URL"), code
	}
	old, err := os.ReadFile("r/metadata/timestamp.json")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(strings.Fields("repo publish --repo r --keys k"), strings.NewReader(""), &out, &out); code != 0 {
		t.Fatal(out.String())
	}
	if s, code := pull("--json"); code != 0 || strings.Count(s, "\n") != 3 {
		t.Fatalf("%d: %s", code, s)
	} else {
		for line := range strings.Lines(s) {
			var p pulled
			if err := json.Unmarshal([]byte(line), &p); err != nil || p.Target == "" || (p.Model.Version == 3) != (p.Refused == "") {
				t.Errorf("%s became %+v, %v", line, p, err)
			}
		}
	}
	bundles, _ := filepath.Glob("r/targets/models/cats/*.3.zip")
	if len(bundles) != 1 {
		t.Fatal(bundles)
	}
	good, err := os.ReadFile(bundles[0])
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	for _, tt := range []struct {
		file string
		data []byte
		want string
	}{
		{bundles[0], bad, "egret: download release \"cats-3\": not what was signed: its SHA-256 is "},
		{bundles[0], append(good, 'x'), "egret: download release \"cats-3\": too large: the server sends"},
		{"r/metadata/timestamp.json", old, "egret: refresh from URL/metadata: older than what was seen: "},
	} {
		if err := os.WriteFile(tt.file, tt.data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, code := pull("cats-3")
		if code != 1 || !strings.HasPrefix(s, tt.want) || strings.Count(s, "\n") != 1 {
			t.Errorf("exit code %d: %s, want %s", code, s, tt.want)
		}
	}
	if _, err := os.Stat("models/cats-3.zip"); err == nil {
		t.Error("a changed bundle was taken")
	}
}
