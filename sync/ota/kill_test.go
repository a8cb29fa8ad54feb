package ota

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/internal/slowdown"
)

// process is this test binary as another process.
type process struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

const (
	childMode = "EGRET_TEST_OTA"
	childURL  = "EGRET_TEST_OTA_URL"
	childDir  = "EGRET_TEST_OTA_STATE"
	childTo   = "EGRET_TEST_OTA_TO"
)

// child starts a process that opens dir; with the mode "loop" it refreshes and
// downloads the newest release to the folder to, until it is killed.
func child(t *testing.T, r *repo, dir, to, mode string) *process {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root.json")
	must(t, os.WriteFile(root, r.rootRaw, 0o600))
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childMode+"="+mode, childURL+"="+r.url, childDir+"="+dir, childTo+"="+to, "EGRET_TEST_OTA_ROOT="+root)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	return &process{cmd, bufio.NewReader(out)}
}

// output is all that a process prints until it ends.
func (p *process) output(t *testing.T) string {
	t.Helper()
	data, err := io.ReadAll(p.out)
	must(t, err)
	_ = p.cmd.Wait()
	return string(data)
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatalf("it had ended by itself: %v: %s", err, p.output(t))
	}
	rest := p.output(t)
	if code := p.cmd.ProcessState.ExitCode(); code != -1 || strings.Contains(rest, "failed") {
		t.Fatalf("exit code %d: %s", code, rest)
	}
}

// TestChild is not a test: it is what the other process does.
func TestChild(t *testing.T) {
	mode := os.Getenv(childMode)
	if mode == "" {
		t.Skip("only for a process that another test starts")
	}
	if err := childWork(mode); err != nil {
		fmt.Println("failed:", err)
	}
	os.Exit(0)
}

func childWork(mode string) error {
	root, err := os.ReadFile(os.Getenv("EGRET_TEST_OTA_ROOT"))
	if err != nil {
		return err
	}
	url := os.Getenv(childURL)
	c, err := Open(Options{StateDir: os.Getenv(childDir), MetadataURL: url, TargetsURL: url + "/targets", Root: root, Platform: "linux/arm64", Agent: "1.0.0"})
	if err != nil {
		return err
	}
	fmt.Println("opened")
	for mode == "loop" {
		if err := c.Refresh(context.Background()); err != nil {
			return err
		}
		fmt.Println("refreshed")
		all, err := c.Releases()
		if err != nil {
			return err
		}
		if _, err := c.Download(context.Background(), all[len(all)-1], os.Getenv(childTo)); err != nil {
			return err
		}
		fmt.Println("downloaded")
	}
	return c.Close()
}

// growing publishes anew whenever a timestamp is asked for: a new version of
// all, every third time another release, every fifth another key of a role.
type growing struct {
	mu   sync.Mutex
	r    *repo
	n    int
	hold atomic.Bool // bundles stop half-way
	rest bool        // nothing new is published
}

// pause lets what was asked for be published, and nothing after it, or not.
func (g *growing) pause(rest bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rest = rest
}

func (g *growing) serve(w http.ResponseWriter, q *http.Request) bool {
	if q.URL.Path == "/timestamp.json" {
		g.publish()
	}
	if g.hold.Load() && strings.HasPrefix(q.URL.Path, "/targets/") {
		g.r.mu.Lock()
		data := g.r.files[q.URL.Path]
		g.r.mu.Unlock()
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		<-q.Context().Done()
		return true
	}
	return false
}

func (g *growing) publish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rest {
		return
	}
	g.n++
	if g.n%3 == 0 {
		data := make([]byte, 300<<10)
		rng := rand.NewChaCha8([32]byte{byte(g.n), byte(g.n >> 8)})
		rng.Read(data) // never fails
		clear(g.r.bundles)
		g.r.add(fmt.Sprint("r", g.n), g.n, uint64(g.n), data)
	}
	if g.n%5 == 0 {
		g.r.revoke([]string{metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS}[g.n/5%3])
	}
	g.r.publish()
}

// TestKilled kills a process that refreshes and downloads from a repository that
// grows: at random moments, and in the middle of a bundle. Each time the folder
// opens, no version has gone back, and the newest bundle arrives whole.
func TestKilled(t *testing.T) {
	r, dir, to := newRepo(t), t.TempDir(), t.TempDir()
	g := &growing{r: r}
	r.restore(r.snapshotFiles(), g.serve)
	high := versions{}
	resumed, midway := 0, 0
	const rounds = 30
	for round := range rounds {
		half := round%3 == 0
		g.hold.Store(half)
		p := child(t, r, dir, to, "loop")
		if half {
			midway++
			waitForPart(t, to)
		} else {
			for range 1 + rand.IntN(4) {
				if _, err := p.out.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			// Not to wait for anything, but to hit another moment each time.
			time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		}
		p.kill(t)
		g.hold.Store(false)
		// What the killed process asked for last must not bring another key
		// between the root and the rest of what is fetched now.
		g.pause(true)
		resumed += afterKill(t, r, dir, to, high)
		g.pause(false)
	}
	t.Logf("killed %d times, %d of them within a bundle; %d downloads resumed", rounds, midway, resumed)
	if resumed == 0 {
		t.Error("no download was resumed")
	}
}

// waitForPart waits until some of a bundle is on the disk.
func waitForPart(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(slowdown.Of(20 * time.Second)); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		parts, _ := filepath.Glob(filepath.Join(dir, "*"+partSuffix))
		if len(parts) == 1 && sizeOf(parts[0]) > 0 {
			return
		}
	}
	t.Fatal("no bundle was begun")
}

// afterKill finds what a kill left, and tells how many downloads resumed.
func afterKill(t *testing.T, r *repo, dir, to string, high versions) (resumed int) {
	t.Helper()
	c := r.open(dir)
	defer c.Close()
	check := func(vs versions) {
		t.Helper()
		for name, v := range vs {
			if v.Version < high[name].Version {
				t.Errorf("%s went from version %d back to %d", name, high[name].Version, v.Version)
			}
			high[name] = v
		}
	}
	check(c.floors.fl.Roles)
	// First what the killed process was at, if it still may be fetched: then the
	// part fits.
	before, err := c.Releases()
	if err != nil && !errors.Is(err, ErrNoMetadata) {
		t.Fatal(err)
	}
	r.forgetAsked()
	for _, rel := range before {
		fetchWhole(t, c, r, rel, to)
	}
	must(t, c.Refresh(context.Background()))
	check(c.view.versions)
	check(c.floors.fl.Roles)
	all := mustReleases(t, c)
	fetchWhole(t, c, r, all[len(all)-1], to)
	for _, line := range r.forgetAsked() {
		if strings.Contains(line, "bytes=") {
			resumed++
		}
	}
	if files, _ := os.ReadDir(dir); len(files) > 3 {
		t.Errorf("%d files in the state folder: %v", len(files), files)
	}
	return resumed
}

func fetchWhole(t *testing.T, c *Client, r *repo, rel Release, to string) {
	t.Helper()
	path, err := c.Download(context.Background(), rel, to)
	must(t, err)
	got, err := os.ReadFile(path)
	must(t, err)
	i := strings.LastIndex(rel.Target, "/") + 1
	r.mu.Lock()
	want := r.files["/targets/"+rel.Target[:i]+rel.SHA256+"."+rel.Target[i:]]
	r.mu.Unlock()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s has %d bytes, want the %d of its release", path, len(got), len(want))
	}
}
