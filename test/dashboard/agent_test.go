package dashboard

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// root is the repository's.
const root = "../.."

// program builds egret once for all tests.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("egret-dashboard-%d", os.Getpid()))
	build := exec.Command("go", "build", "-o", path, "./cmd/egret")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build egret: %v\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.Remove(filepath.Join(os.TempDir(), fmt.Sprintf("egret-dashboard-%d", os.Getpid())))
	os.Exit(code)
}

// demo is the shipped demo, on ports and in a folder of the test's own.
type demo struct {
	t    *testing.T
	path string
	home string
}

func newDemo(t *testing.T) *demo {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "configs", "demo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir, web := t.TempDir(), freePort(t)
	text := strings.NewReplacer(
		"../var/demo", filepath.Join(dir, "state"), "../", base+"/",
		"127.0.0.1:1883", freePort(t), "127.0.0.1:8080", web,
	).Replace(string(data))
	d := &demo{t: t, path: filepath.Join(dir, "demo.yaml"), home: "http://" + web + "/"}
	// What runs the models is fixed: a sweep at the start would take most of
	// the time.
	if err := os.WriteFile(d.path, []byte(text+"\ninference: {delegate: cpu, threads: 1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return d
}

// freePort is an address on which nothing listened a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs the agent until the test's end, or until stop is called.
func (d *demo) start() (stop func(os.Signal)) {
	d.t.Helper()
	path, err := program()
	if err != nil {
		d.t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(path, "run", "--config", d.path)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if d.t.Failed() {
			d.t.Logf("log of the agent:\n%s", &log)
		}
	})
	d.answers(done)
	return func(s os.Signal) {
		_ = cmd.Process.Signal(s)
		<-done
	}
}

// answers waits until the agent listens.
func (d *demo) answers(done <-chan struct{}) {
	d.t.Helper()
	addr := strings.Trim(strings.TrimPrefix(d.home, "http:"), "/")
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		select {
		case <-done:
			d.t.Fatal("the agent ended")
		default:
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the agent never listened on %s", addr)
		}
	}
}

// TestDashboardOfTheAgent looks at the demo as its user does.
func TestDashboardOfTheAgent(t *testing.T) {
	d := newDemo(t)
	stop := d.start()
	b := open(t, d.home, desktop)
	b.waitText("device", "demo")
	b.waitText("link", "Live")
	b.until("the picture of the bird", `document.getElementById("blank").hidden && document.getElementById("answers").textContent.includes("peacock")`)
	for _, id := range []string{"f-captured", "f-predicted", "produced", "account", "models", "host"} {
		b.changes(id)
	}
	b.waitText("broker-state", "connected")
	b.waitText("sum", "Adds up to what was produced.")
	b.until("predictions of both cameras", `["bird", "street"].every(c => document.getElementById("list").textContent.includes(c))`)
	b.until("lines in the charts", `[...document.querySelectorAll("#charts path.first")].every(p => p.getAttribute("d").includes("L"))`)

	b.asks("classifier", "samples/classify/peacock.png", "peacock")
	b.asks("detector", "samples/detect/example.jpg", "person")
	b.click("#tabs button:nth-child(2)")
	b.until("what is in the street", `document.getElementById("picture").ariaLabel.includes("street: person")`)
	b.shoot("agent-desktop")
	b.shoot("agent-desktop-whole")

	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		about := b.text("about")
		start := about[strings.LastIndex(about, "·"):]
		stop(signal)
		b.waitText("link", "Disconnected")
		stop = d.start()
		b.waitText("link", "Live")
		b.until("another start", fmt.Sprintf(`!document.getElementById("about").textContent.endsWith(%q)`, start))
		b.until("the picture", `document.getElementById("blank").hidden`)
		b.changes("f-captured")
	}
	b.clean()
}

// asks gives a file of the repository to a model.
func (b *tab) asks(model, file, want string) {
	b.t.Helper()
	path, err := filepath.Abs(filepath.Join(root, file))
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("model "+model, fmt.Sprintf(`[...document.getElementById("drop-model").options].some(o => o.value === %[1]q) && (document.getElementById("drop-model").value = %[1]q)`, model))
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path}))
	b.waitText("drop-bars", want)
}

func TestPhoneOfTheAgent(t *testing.T) {
	d := newDemo(t)
	d.start()
	b := open(t, d.home, phone)
	b.until("the picture of the bird", `document.getElementById("blank").hidden && document.getElementById("answers").textContent.includes("peacock")`)
	b.until("predictions", `document.querySelectorAll("#list tr").length > 5`)
	b.shoot("agent-phone")
	b.shoot("agent-phone-whole")
	b.clean()
}
