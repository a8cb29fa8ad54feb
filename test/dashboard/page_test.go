package dashboard

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sync/payload"
)

func serve(t *testing.T, d *device, token string) string {
	t.Helper()
	s := httptest.NewServer(handler(t, d, token))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// live opens the dashboard and waits until it shows a picture.
func live(t *testing.T, d *device, l look) *tab {
	t.Helper()
	b := open(t, serve(t, d, ""), l)
	b.waitText("link", "Live")
	b.until("the picture", `document.getElementById("blank").hidden`)
	return b
}

func TestPageShowsADevice(t *testing.T) {
	for name, l := range map[string]look{"desktop-dark": desktop, "desktop-light": light, "phone": phone} {
		t.Run(name, func(t *testing.T) {
			b := live(t, newDevice(), l)
			b.waitText("device", "cam-7")
			b.changes("f-captured")
			b.changes("produced")
			b.until("predictions", `document.querySelectorAll("#list tr").length > 8`)
			if n := eval[int](b, `document.querySelectorAll("#list b").length`); n > 0 {
				t.Error("a label became markup")
			}
			if bad := eval[[]string](b, script(t, "contrast.js")); len(bad) > 0 {
				t.Errorf("too little contrast: %q", bad)
			}
			b.shoot(name)
			b.shoot(name + "-whole")
			b.clean()
		})
	}
}

// script is a file of testdata.
func script(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestParsersTakePiecesOfEverySize(t *testing.T) {
	b := live(t, newDevice(), desktop)
	if wrong := eval[string](b, script(t, "parsers.js")); wrong != "" {
		t.Error(wrong)
	}
}

// TestNothingIsWiderThanTheWindow covers the smallest phones and a desktop at
// 200 %, with a reason and an error in long words.
func TestNothingIsWiderThanTheWindow(t *testing.T) {
	d := newDevice()
	d.set(trouble)
	b := live(t, d, desktop)
	for _, width := range []int64{1440, 1180, 1024, 760, 720, 390, 320} {
		call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 600, DeviceScaleFactor: 1})
		b.until(fmt.Sprintf("no more than %d pixels", width), fmt.Sprintf("innerWidth === %d && document.documentElement.scrollWidth <= %d", width, width))
	}
}

// trouble is a device on which everything went wrong at once.
func trouble(s *api.State) {
	hot, yes := 84.2, true
	s.NotReady = []string{"broker: not connected for 4m12s", "camera feeder: no frame for 31 s"}
	s.Clock = payload.ClockUnsynced
	s.Broker.Connected, s.Broker.Attempts = false, 17
	s.Broker.LastError = "dial tcp 192.0.2.7:8883: connect: connection refused; is the broker running at this address, and does a firewall let the port through?"
	for i := range s.Cameras {
		s.Cameras[i].State, s.Cameras[i].FPS, s.Cameras[i].Restarts = "waiting", 0, 12
		s.Cameras[i].LastError = "open /dev/video0: no such file or directory: is the camera plugged in? egret doctor lists the cameras"
	}
	s.Host.TemperatureC, s.Host.Throttled = &hot, &yes
	s.Delivery.Stored, s.Delivery.Dropped = s.Delivery.Produced/3, map[string]uint64{"outbox_full": s.Delivery.Produced / 5}
	s.Delivery.Held = 12
	s.Delivery.Acknowledged = s.Delivery.Produced - s.Delivery.Stored - s.Delivery.Held - s.Delivery.Dropped["outbox_full"]
	s.Update.State, s.Update.Progress = payload.RolledBack, nil
	s.Update.Reason = "7 of 120 frames failed in trial; more than 1 % may not"
}

func TestPageSaysWhatIsWrong(t *testing.T) {
	for name, l := range map[string]look{"trouble-desktop": light, "trouble-phone": phone} {
		t.Run(name, func(t *testing.T) {
			d := newDevice()
			d.set(trouble)
			b := live(t, d, l)
			for id, text := range map[string]string{
				"ready": "Not ready", "clock": "not set", "reasons": "no frame for 31 s", "broker-state": "away", "broker-error": "connection refused",
				"camera-state": "waiting", "camera-error": "is the camera plugged in", "release-state": "rolled back", "release-reason": "failed in trial",
				"host": "throttled", "account": "outbox full", "sum": "Adds up to what was produced.",
			} {
				b.waitText(id, text)
			}
			b.shoot(name + "-whole")
			b.clean()
		})
	}
}

func TestPageOfABareDevice(t *testing.T) {
	d := newDevice()
	d.quiet = true
	d.set(func(s *api.State) {
		*s = api.State{Device: "new", Fleet: "default", Version: "0.6.0", Boot: 1, Time: time.Now(), Clock: payload.ClockSynced}
	})
	b := open(t, serve(t, d, ""), desktop)
	b.waitText("blank", "No camera is configured")
	b.waitText("broker-state", "Broker off")
	b.waitText("list-note", "Nothing yet")
	b.shoot("bare-desktop")
	b.clean()
}

func TestPageAsksForAToken(t *testing.T) {
	b := open(t, serve(t, newDevice(), "a secret of sixteen"), desktop)
	b.until("the form", `document.getElementById("token").open && document.activeElement.id === "token-value"`)
	b.do(chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("wrong"+kb.Enter))
	b.until("a refusal", `!document.getElementById("token-error").hidden && document.getElementById("token").open`)
	b.shoot("token-desktop")
	b.do(chromedp.KeyEvent("a secret of sixteen" + kb.Enter))
	b.waitText("link", "Live")
	b.until("the picture", `document.getElementById("blank").hidden`)
	b.do(chromedp.Reload())
	b.waitText("link", "Live") // the tab remembers it
	b.clean()
}

// TestPageComesBack takes the agent away and starts it again at the same
// address.
func TestPageComesBack(t *testing.T) {
	d := newDevice()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	s := &http.Server{Handler: handler(t, d, "")}
	go func() { _ = s.Serve(l) }()
	b := open(t, "http://"+addr, desktop)
	b.waitText("link", "Live")
	s.Close()
	b.waitText("link", "Disconnected")
	b.waitText("notice", "The agent does not answer")
	b.shoot("away-desktop")

	d.restart()
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	s = &http.Server{Handler: handler(t, d, "")}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	b.waitText("link", "Live")
	b.waitText("about", "start 8")
	b.until("the picture", `document.getElementById("blank").hidden && document.getElementById("notice").hidden`)
	b.clean()
}

// TestPageComesBackFromADeadLink takes the link away without a word: a request
// that was sent into nothing is not waited for once the agent is back.
func TestPageComesBackFromADeadLink(t *testing.T) {
	var dead atomic.Bool
	h := handler(t, newDevice(), "")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if dead.CompareAndSwap(true, false) { // the first one; then the agent is back
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	defer s.CloseClientConnections()
	b := open(t, s.URL, desktop)
	b.waitText("link", "Live")
	b.click("#pause") // or the picture would be the first
	dead.Store(true)
	s.CloseClientConnections()
	b.waitText("link", "Disconnected")
	b.waitText("link", "Live")
	b.clean()
}

// TestNothingIsEncodedForNobody pauses the picture, then hides the page.
func TestNothingIsEncodedForNobody(t *testing.T) {
	d := newDevice()
	b := live(t, d, desktop)
	d.watched(t, 1)
	b.click("#pause")
	d.watched(t, 0)
	b.waitText("frame-note", "paused")
	b.click("#pause")
	d.watched(t, 1)
	hide := func(hidden bool) {
		eval[bool](b, fmt.Sprintf(`Object.defineProperty(document, "hidden", {value: %t, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`, hidden))
	}
	hide(true)
	d.watched(t, 0)
	b.waitText("link", "Asleep")
	d.listened(t, 0)
	hide(false)
	b.waitText("link", "Live")
	d.watched(t, 1)
	d.listened(t, 1)
	b.clean()
}

func TestSnapshotIsSaved(t *testing.T) {
	b := live(t, newDevice(), desktop)
	b.click("#snapshot")
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		found, _ := filepath.Glob(filepath.Join(b.dir, "yard-*.jpg"))
		if len(found) == 1 {
			if info, err := os.Stat(found[0]); err == nil && info.Size() > 1000 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no snapshot was saved: %v", found)
		}
	}
	b.clean()
}

// TestKeyboardAlone walks through the page without a pointer.
func TestKeyboardAlone(t *testing.T) {
	d := newDevice()
	b := live(t, d, desktop)
	focus := func(id string) {
		t.Helper()
		for range 40 {
			b.do(chromedp.KeyEvent(kb.Tab))
			if eval[bool](b, fmt.Sprintf(`document.activeElement.closest(%q) !== null`, "#"+id)) {
				if style := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); style == "none" {
					t.Errorf("focus in %s cannot be seen", id)
				}
				return
			}
		}
		t.Fatalf("the Tab key never reaches %s", id)
	}
	focus("theme")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("dark colours", `document.documentElement.dataset.theme === "dark"`)
	focus("tabs")
	b.do(chromedp.KeyEvent(kb.ArrowRight))
	b.until("the other camera", `document.activeElement.textContent === "feeder" && document.activeElement.ariaSelected === "true"`)
	b.until("its picture", `document.getElementById("answers").textContent.includes("great white egret")`)
	focus("pause")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.waitText("pause", "Resume")
	focus("choose")
	focus("charts")
	b.until("points of the chart", `document.activeElement.ariaValueMax > 2`)
	b.do(chromedp.KeyEvent(kb.ArrowLeft))
	b.until("a reading", `document.activeElement.ariaValueText.includes("s ago")`)
	focus("by-label")
	b.do(chromedp.KeyEvent("person"))
	b.until("the filter", `document.querySelectorAll("#list tr").length > 0 && [...document.querySelectorAll("#list .result")].every(c => c.textContent === "person")`)
	focus("hold")
	b.clean()
}

func TestOlderPredictionsByPages(t *testing.T) {
	d := newDevice()
	for n := range 120 {
		d.remember(d.picture("yard", n).Prediction)
	}
	b := live(t, d, desktop)
	b.until("a page that live ones have moved", `document.querySelectorAll("#list tr").length === 50 && document.querySelector("#list tr").dataset.key > "cam-7/7/123"`)
	b.click("#older")
	b.until("two pages", `document.querySelectorAll("#list tr").length === 100`)
	b.waitText("hold", "Resume")
	b.click("#older")
	b.until("all", `document.querySelectorAll("#list tr").length > 120 && document.getElementById("older").hidden`)
	b.until("each but once", `new Set([...document.querySelectorAll("#list tr")].map(r => r.dataset.key)).size === document.querySelectorAll("#list tr").length`)
	b.clean()
}

// TestDroppedPictures gives pictures to models.
func TestDroppedPictures(t *testing.T) {
	d := newDevice()
	b := live(t, d, desktop)
	give := func(path string) { b.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path})) }
	b.until("models", `document.getElementById("drop-model").options.length === 2`)
	give(filepath.Join("testdata", "parsers.js"))
	b.waitText("drop-note", "no picture")

	small := filepath.Join(t.TempDir(), "small.jpg")
	if err := os.WriteFile(small, d.picture("yard", 0).JPEG, 0o644); err != nil {
		t.Fatal(err)
	}
	give(small)
	b.waitText("drop-bars", "peacock")
	// The models here refuse what is wider than 640 pixels, as an agent with a
	// small limit does: the page makes it smaller and asks again.
	large := filepath.Join(t.TempDir(), "large.png")
	var buf bytes.Buffer
	if err := png.Encode(&buf, image.NewRGBA(image.Rect(0, 0, 2000, 1000))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	give(large)
	b.until("the other picture", `document.getElementById("drop-picture").height === 360`)
	b.waitText("drop-bars", "peacock")

	eval[string](b, `const s = document.getElementById("drop-model"); s.value = "detector"; s.value`)
	give(small)
	b.waitText("drop-bars", "person")
	if said := b.text("drop-note"); !strings.HasSuffix(said, " ms.") {
		t.Errorf("beside its labels, the page says %q", said)
	}
	b.shoot("drop-desktop")
	b.clean()
}
