// Package rooms holds the house rules that no compiler checks: which room may
// use which, where cgo may live, and where no Go file may lie.
package rooms

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/egret-edge/egret/"

// allowed lists, for each room, the rooms it may reach, directly or through
// others. A room that is missing here fails the test: whoever adds one decides
// what it may use, and docs/ARCHITECTURE.md says why.
var allowed = map[string][]string{
	"cmd/egret":                     {"*"},
	"agent":                         {"agent/api", "agent/checkup", "agent/api/serving", "agent/api/serving/servinggrpc", "agent/api/serving/tfproto", "agent/web", "configs", "internal/backoff", "internal/spelling", "internal/wholefile", "sensors", "sensors/pixel", "sync/mqtt", "sync/mqtt/broker", "sync/ota", "sync/ota/bundle", "sync/ota/store", "sync/ota/update", "sync/outbox", "sync/payload", "sync/release", "tflite", "tflite/requant", "tflite/schema"},
	"agent/api":                     {"agent/api/serving", "agent/web", "sensors/pixel", "sync/payload", "tflite"},
	"agent/api/serving":             {"sensors/pixel", "tflite"},
	"agent/checkup":                 {"internal/backoff", "internal/spelling", "sensors", "sensors/pixel"},
	"agent/web":                     {},
	"agent/api/serving/servinggrpc": {"agent/api/serving", "agent/api/serving/tfproto", "sensors/pixel", "tflite"},
	"agent/api/serving/tfproto":     {},
	"build/proto":                   {},
	"build/sbom":                    {},
	"configs":                       {"internal/spelling"},
	"fleet":                         {"internal/backoff", "internal/wholefile", "sync/mqtt", "sync/outbox", "sync/payload", "sync/release"},
	"fleet/repo":                    {"internal/wholefile", "sync/release"},
	"internal/backoff":              {},
	"internal/chart":                {},
	"internal/spelling":             {},
	"internal/slowdown":             {},
	"internal/wholefile":            {},
	"sensors":                       {"internal/backoff", "internal/spelling", "sensors/pixel"},
	"sensors/pixel":                 {},
	"sync/mqtt":                     {"internal/backoff", "internal/wholefile", "sync/outbox", "sync/payload"},
	"sync/mqtt/broker":              {},
	"sync/outbox":                   {"internal/wholefile"},
	"sync/ota":                      {"internal/wholefile", "sync/release"},
	"sync/ota/bundle":               {"internal/wholefile", "sync/release"},
	"sync/ota/store":                {"internal/wholefile", "sync/payload", "sync/release"},
	"sync/ota/update":               {"internal/backoff", "internal/wholefile", "sync/ota", "sync/ota/bundle", "sync/ota/store", "sync/payload", "sync/release"},
	"sync/payload":                  {},
	"sync/release":                  {},
	"tflite":                        {"sensors/pixel"},
	"tflite/requant":                {"tflite/schema"},
	"tflite/schema":                 {},
	"test/bench":                    {"*"},
	"test/bench/naive":              {},
	"test/dashboard":                {"*"},
	"test/delegates":                {},
	"test/delivery":                 {"*"},
	"test/install":                  {},
	"test/integrations":             {},
	"test/localapi":                 {"*"},
	"test/mosquitto":                {},
	"test/packages":                 {},
	"test/rig/bundle":               {"test/smallmodel", "tflite/schema"},
	"test/rig/frame":                {"sensors/pixel"},
	"test/rig/powercut":             {"internal/wholefile", "sync/outbox"},
	"test/rig/sandbox":              {},
	"test/rig/uvcsim":               {},
	"test/rooms":                    {},
	"test/smallmodel":               {"tflite/schema"},
	"test/soak":                     {"internal/chart", "internal/wholefile", "sync/outbox", "sync/payload", "test/mosquitto"},
	"test/spine":                    {"*"},
	"agent/api/serving/servingtest": {"agent/api/serving", "sensors/pixel", "tflite"},
	"agent/api/apitest":             {"agent/api", "agent/api/serving", "agent/web", "sensors/pixel", "sync/payload", "tflite"},
}

// cgoRooms are the only rooms with C in them.
var cgoRooms = []string{"tflite", "sensors/pixel"}

type pkg struct {
	ImportPath   string
	Dir          string
	Imports      []string
	Deps         []string
	CgoFiles     []string
	TestImports  []string
	XTestImports []string
	Standard     bool
}

// list is `go list -deps -json` of the whole module, for linux with cgo.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Imports,Deps,CgoFiles,TestImports,XTestImports,Standard", module+"...")
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list's JSON: %v", err)
		}
		all = append(all, p)
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	seen := 0
	for _, p := range list(t) {
		room, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		seen++
		may, known := allowed[room]
		if !known {
			t.Errorf("%s is not in the list of rooms", room)
			continue
		}
		for _, dep := range p.Deps {
			other, ours := strings.CutPrefix(dep, module)
			if ours && !slices.Contains(may, other) && !slices.Contains(may, "*") {
				t.Errorf("%s may not use %s", room, other)
			}
		}
	}
	if seen < 8 {
		t.Fatalf("go list showed %d of our packages: this test looks at the wrong thing", seen)
	}
}

func TestCgoLivesInItsRoomsOnly(t *testing.T) {
	for _, p := range list(t) {
		room, ours := strings.CutPrefix(p.ImportPath, module)
		if ours && len(p.CgoFiles) > 0 && !slices.Contains(cgoRooms, room) {
			t.Errorf("%s holds cgo files %v", room, p.CgoFiles)
		}
	}
}

func TestOnlyTfliteImportsTheBinding(t *testing.T) {
	for _, p := range list(t) {
		room, ours := strings.CutPrefix(p.ImportPath, module)
		if ours && room != "tflite" && room != "test/bench/naive" && slices.Contains(p.Imports, "github.com/mattn/go-tflite") {
			t.Errorf("%s imports go-tflite", room)
		}
	}
}

func TestNoGoFileDirectlyInSync(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root(t), "sync", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > 0 {
		t.Errorf("%v would hide the standard library's sync", files)
	}
}

// TestOperatorsToolBuildsEverywhere builds egret without cgo for the systems
// that operators sit at.
func TestOperatorsToolBuildsEverywhere(t *testing.T) {
	for _, target := range []string{"linux/amd64", "darwin/arm64", "windows/amd64"} {
		t.Run(target, func(t *testing.T) {
			goos, arch, _ := strings.Cut(target, "/")
			cmd := exec.Command("go", "build", "-o", filepath.Join(t.TempDir(), "egret"), "./cmd/egret")
			cmd.Dir = root(t)
			cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("build: %v\n%s", err, out)
			}
		})
	}
}
