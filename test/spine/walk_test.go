package spine

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/test/mosquitto"
)

// TestFirstWalk follows "A first walk" in docs/UPDATES.md word by word, but for
// the addresses: the system chooses the ports.
func TestFirstWalk(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join(root, "docs", "UPDATES.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, walk, ok := strings.Cut(string(guide), "\n## A first walk\n")
	walk, _, ok2 := strings.Cut(walk, "\n## ")
	if !ok || !ok2 {
		t.Fatal("docs/UPDATES.md has no first walk")
	}
	dir := t.TempDir()
	for _, name := range []string{"models", "samples"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	broker := mosquitto.Start(t, mosquitto.Config{})
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "var", "repo"))))
	defer server.Close()
	text, err := os.ReadFile(filepath.Join(root, "configs", "updates.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := &config{t: t, dir: dir, path: filepath.Join(dir, "configs", "updates.yaml")}
	if err := os.Mkdir(filepath.Dir(c.path), 0o755); err != nil {
		t.Fatal(err)
	}
	c.write(strings.NewReplacer("http://127.0.0.1:8090", server.URL, "tcp://127.0.0.1:1883", "tcp://"+broker.Addr()).Replace(string(text)))

	sh := func(command string) string {
		t.Helper()
		command = strings.Replace(command, "bin/egret", program, 1)
		if strings.Contains(command, " fleet ") {
			command += " --broker tcp://" + broker.Addr()
		}
		cmd := exec.Command("sh", "-ec", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "EGRET_PASSPHRASE=secret")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	// status waits until its line of the device is as the guide shows it.
	status := func(want string) {
		t.Helper()
		last := ""
		for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			last = sh("bin/egret fleet status")
			for line := range strings.Lines(last) {
				if sameRow(line, want) {
					return
				}
			}
		}
		t.Fatalf("the status never has the line\n%s\nlast:\n%s", want, last)
	}
	var d *daemon
	var commands []string
	for line := range strings.Lines(walk) {
		line, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		switch {
		case !ok, line == "export EGRET_PASSPHRASE=secret", strings.HasPrefix(line, "python3 -m http.server 8090"), strings.HasPrefix(line, "DEVICE "):
		case line == "bin/egret run --config configs/updates.yaml --print":
			d = started(t, c)
		case line == "bin/egret fleet status --watch", line == "bin/egret fleet status":
			commands = append(commands, line)
		case strings.HasPrefix(line, "bench "):
			status(line)
		default:
			commands = append(commands, line)
			sh(line)
		}
	}
	if d == nil || len(commands) < 15 {
		t.Fatalf("the walk has only these commands: %q", commands)
	}
	d.stop()
}

var since = regexp.MustCompile(`^\d+[smhd]$`)

// sameRow compares two lines of the table, whatever the time and the spaces.
func sameRow(got, want string) bool {
	a, b := strings.Fields(got), strings.Fields(want)
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !(since.MatchString(a[i]) && since.MatchString(b[i])) {
			return false
		}
	}
	return true
}
