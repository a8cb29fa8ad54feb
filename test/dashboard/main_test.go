// Package dashboard drives the dashboard in a real browser, headless Chromium:
// against the built program, and against a device of our own for what a real
// one seldom shows.
package dashboard

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/egret-edge/egret/internal/slowdown"
)

// patience bounds every wait in these tests: it is no expectation of speed,
// only the point at which a broken page is given up.
var patience = slowdown.Of(60 * time.Second)

// chromium is the browser's program; DASHBOARD_CHROMIUM names another one.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("DASHBOARD_CHROMIUM"), "chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium to drive the dashboard with: run DEPS_TEST=1 build/deps.sh packages, or name one by DASHBOARD_CHROMIUM")
	return ""
}

// tab is a page of a browser of its own.
type tab struct {
	t    *testing.T
	ctx  context.Context
	dir  string // for downloads
	home string // the dashboard's address

	mu       sync.Mutex
	problems []string // what a browser's console shows in red, but for failed requests
	foreign  []string // requests to other hosts
	asked    []string // paths of requests
}

// look is how the page is shown.
type look struct {
	width, height int64
	scale         float64
	dark, phone   bool
}

var (
	desktop = look{width: 1440, height: 900, scale: 1, dark: true}
	light   = look{width: 1440, height: 900, scale: 1}
	phone   = look{width: 390, height: 844, scale: 2, dark: true, phone: true}
)

// open starts a browser and opens the dashboard at home.
func open(t *testing.T, home string, l look) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(int(l.width), int(l.height)), chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses its sandbox to root
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(end)
	ctx, _ = chromedp.NewContext(ctx)
	b := &tab{t: t, ctx: ctx, dir: t.TempDir(), home: home}
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	if err := chromedp.Listen(ctx, b.listen); err != nil { // starts the browser
		t.Fatalf("start Chromium: %v", err)
	}
	scheme := map[bool]string{true: "dark", false: "light"}[l.dark]
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: l.scale, Mobile: l.phone})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if _, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: b.dir}); err != nil {
		t.Fatalf("browser: %v", err)
	}
	b.do(chromedp.Navigate(home))
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, string(marshal(e.ExceptionDetails)))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			b.problems = append(b.problems, fmt.Sprintf("console.%s %s", e.Type, e.Args[0].Value))
		}
	case *log.EventEntryAdded:
		// A request that fails while the agent is away is the browser's to log.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			b.problems = append(b.problems, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err == nil && u.Scheme != "blob" && u.Scheme != "data" && !strings.HasPrefix(e.Request.URL, b.home) {
			b.foreign = append(b.foreign, e.Request.URL)
		}
		if err == nil {
			b.asked = append(b.asked, u.Path)
		}
	}
}

// clean fails the test when the page logged an error or asked another host.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.problems) > 0 {
		b.t.Errorf("the page logged errors: %q", b.problems)
	}
	if len(b.foreign) > 0 {
		b.t.Errorf("the page asked other hosts: %q", b.foreign)
	}
	if len(b.asked) == 0 {
		b.t.Error("no request was seen: this test looks at the wrong thing")
	}
}

// call runs a command of the browser's protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("browser: %s: %v", command.Method, err)
	}
	return r
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// eval gives an expression's value; a promise is waited for.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("browser: %s: %v", expression, err)
	}
	return v
}

// until waits for an expression to become true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	poll := chromedp.Poll[bool]("Boolean("+expression+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(0))
	if _, err := chromedp.Run(ctx, poll); err != nil {
		b.shoot("failed-" + b.t.Name())
		b.t.Fatalf("%s never came: %v; the page says: %s", what, err, eval[string](b, "document.body.innerText.slice(0, 1500)"))
	}
}

func (b *tab) text(id string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.getElementById(%q).textContent", id))
}

// waitText waits until the element's text contains part.
func (b *tab) waitText(id, part string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%q in %s", part, id), fmt.Sprintf("document.getElementById(%q).textContent.includes(%q)", id, part))
}

// changes waits until the element's text is another.
func (b *tab) changes(id string) {
	b.t.Helper()
	b.until("a new value of "+id, fmt.Sprintf("document.getElementById(%q).textContent !== %q", id, b.text(id)))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// shoot saves a picture of the page into the folder that DASHBOARD_SHOTS
// names; without it, it does nothing.
func (b *tab) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("DASHBOARD_SHOTS")
	if dir == "" {
		return
	}
	beyond := strings.Contains(name, "-whole")
	png := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &beyond}).Data
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
