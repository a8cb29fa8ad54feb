package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/apitest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "0123456789abcdef0123"

func withToken(o *api.Options) { o.Token = func() ([]byte, error) { return []byte(token + "\n"), nil } }

// options are those of a server on loopback with a dashboard.
func options() api.Options {
	return api.Options{
		Device: &apitest.Fake{}, Loopback: true, Version: "1.2.3",
		Web: fstest.MapFS{
			"index.html": {Data: []byte("<!doctype html><title>egret</title>" + strings.Repeat("<p>egret</p>", 50))},
			"app.js":     {Data: []byte("export {}")},
		},
		Serving: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
				return
			}
			io.WriteString(w, "serving "+r.URL.Path)
		}),
	}
}

// site is a server that runs on loopback.
type site struct {
	*http.Client
	url, addr string
	server    *api.Server
	stop      func() // ends it and waits
}

// serve runs a server until the test ends.
func serve(t *testing.T, change ...func(*api.Options)) *site {
	t.Helper()
	o := options()
	for _, c := range change {
		c(&o)
	}
	server, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, ln) }()
	transport := &http.Transport{}
	s := &site{
		Client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		url:    "http://" + ln.Addr().String(), addr: ln.Addr().String(), server: server,
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		transport.CloseIdleConnections()
	})
	t.Cleanup(s.stop)
	return s
}

// do sends a request; headers are name: value.
func (s *site) do(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	res, err := s.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return res, string(data)
}

const nothingThere = "there is nothing at"

const asJSON = "Content-Type: application/json"

// jpegBody is the fake camera's picture.
var jpegBody = string(apitest.Picture("bird").JPEG)

// callCases are requests and what must be in the answer.
var callCases = []struct {
	name, method, path, body string
	headers                  []string
	status                   int
	want                     string
}{
	{"status", "GET", "/api/status", "", nil, 200, `"device":"cam-7"`},
	{"status by HEAD", "HEAD", "/api/status", "", nil, 200, ""},
	{"cameras", "GET", "/api/cameras", "", nil, 200, `[{"name":"bird"`},
	{"models", "GET", "/api/models", "", nil, 200, `[{"name":"classifier"`},
	{"a picture for a classifier", "POST", "/api/models/classifier/predict", jpegBody, []string{"Content-Type: image/jpeg"}, 200, `"label":"peacock"`},
	{"a picture for a detector", "POST", "/api/models/detector/predict", jpegBody, []string{"Content-Type: image/jpeg"}, 200, `"box":[`},
	{"a picture for no model", "POST", "/api/models/clasifier/predict", jpegBody, []string{"Content-Type: image/jpeg"}, 404, `there is no such model`},
	{"no picture for a model", "POST", "/api/models/classifier/predict", "{}", []string{"Content-Type: image/jpeg"}, 400, `the picture cannot be read`},
	{"JSON where a picture belongs", "POST", "/api/models/classifier/predict", "{}", []string{asJSON}, 415, `Content-Type: image/jpeg`},
	{"a picture with a parameter", "POST", "/api/models/classifier/predict?top_k=3", jpegBody, []string{"Content-Type: image/jpeg"}, 400, `top_k`},
	{"outbox", "GET", "/api/outbox", "", nil, 200, `{"delivery":{"produced":90`},
	{"updates", "GET", "/api/updates", "", nil, 200, `{"update":{"device":"cam-7"`},
	{"health", "GET", "/healthz", "", nil, 200, "ok\n"},
	{"ready", "GET", "/readyz", "", nil, 200, `{"ready":true,"reasons":[]}`},
	{"ready as text", "GET", "/readyz", "", []string{"Accept: text/plain"}, 200, "ready\n"},
	{"serving", "POST", "/v1/models/classifier:predict", "{}", nil, 200, "serving /v1/models/classifier:predict"},
	{"serving judges paths", "GET", "/v1/models/a//b", "", nil, 200, "serving /v1/models/a//b"},
	{"dashboard", "GET", "/", "", nil, 200, "<title>egret"},
	{"dashboard's script", "GET", "/app.js?v=1", "", nil, 200, "export"},

	{"predictions", "GET", "/api/predictions?limit=2", "", nil, 200, `"next":"seq-119"`},
	{"predictions of a camera", "GET", "/api/predictions?camera=street&limit=1", "", nil, 200, `"camera":"street"`},
	{"predictions of nothing", "GET", "/api/predictions?label=unicorn", "", nil, 200, `{"predictions":[]}`},
	{"predictions in time", "GET", "/api/predictions?from=2026-11-20T10:00:00Z&to=2026-11-20T10:00:02Z&min_score=0.5", "", nil, 200, `"seq":1,`},
	{"page that is none", "GET", "/api/predictions?before=x", "", nil, 400, "there is no such page"},
	{"unknown parameter", "GET", "/api/predictions?limt=2", "", nil, 400, `there is no parameter \"limt\": this call knows camera`},
	{"parameter where none is", "GET", "/api/status?x=1", "", nil, 400, "takes none"},
	{"parameter twice", "GET", "/api/predictions?limit=2&limit=3", "", nil, 400, "give it once"},
	{"limit too large", "GET", "/api/predictions?limit=501", "", nil, 400, "limit must be a whole number from 1 to 500"},
	{"limit of zero", "GET", "/api/predictions?limit=0", "", nil, 400, "limit must be"},
	{"score that is no number", "GET", "/api/predictions?min_score=NaN", "", nil, 400, "min_score must be a number"},
	{"time that is none", "GET", "/api/predictions?from=yesterday", "", nil, 400, "from must be a time such as"},
	{"label that is no text", "GET", "/api/predictions?label=%ff", "", nil, 400, "label must be text"},
	{"camera that is no name", "GET", "/api/predictions?camera=a/b", "", nil, 400, "camera must be"},
	{"query that is none", "GET", "/api/predictions?a;b", "", nil, 400, "the query cannot be read"},

	{"command", "POST", "/api/commands/restart-camera", `{"camera":"bird","id":"a1"}`, []string{asJSON}, 200, `{"id":"a1","command":"restart-camera","ok":true`},
	{"command without a body", "POST", "/api/commands/diagnose", "", []string{asJSON + "; charset=utf-8"}, 200, `"ok":true`},
	{"snapshot command", "POST", "/api/commands/snapshot", `{"camera":"bird"}`, []string{asJSON}, 200, `"ok":true`},
	{"command that fails", "POST", "/api/commands/restart-camera", `{"camera":"brid"}`, []string{asJSON}, 409, `there is no camera \"brid\"`},
	{"command that is none", "POST", "/api/commands/reboot", "{}", []string{asJSON}, 404, `there is no command \"reboot\": try`},
	{"command with a wrong argument", "POST", "/api/commands/set", `{"max_fps":-1}`, []string{asJSON}, 400, "max_fps must be"},
	{"command of a form", "POST", "/api/commands/diagnose", "a=b", []string{"Content-Type: application/x-www-form-urlencoded"}, 415, "Content-Type: application/json"},
	{"command without a type", "POST", "/api/commands/diagnose", "{}", nil, 415, "Content-Type: application/json"},
	{"command too large", "POST", "/api/commands/diagnose", strings.Repeat(" ", 65<<10), []string{asJSON}, 413, "larger than 65536 bytes"},
	{"command nested deep", "POST", "/api/commands/set", `{"camera":` + strings.Repeat("[", 60000), []string{asJSON}, 400, "not a JSON object"},

	{"snapshot", "GET", "/api/cameras/bird/snapshot.jpg", "", nil, 200, "\xff\xd8"},
	{"snapshot with overlay", "GET", "/api/cameras/street/snapshot.jpg?overlay=1", "", nil, 200, "\xff\xd8"},
	{"snapshot of no camera", "GET", "/api/cameras/brid/snapshot.jpg", "", nil, 404, "there is no such camera"},
	{"stream of no camera", "GET", "/api/cameras/brid/stream.mjpeg", "", nil, 404, "there is no such camera"},
	{"stream too fast", "GET", "/api/cameras/bird/stream.mjpeg?fps=1e9", "", nil, 400, "fps must be a number from"},
	{"overlay that is none", "GET", "/api/cameras/bird/snapshot.jpg?overlay=yes", "", nil, 400, "overlay must be 0 or 1"},
	{"events that are none", "GET", "/api/events?types=prediction,nonsense", "", nil, 400, `types has \"nonsense\"`},

	{"wrong method", "DELETE", "/api/status", "", nil, 405, "DELETE is not for this path: use GET or HEAD"},
	{"command by GET", "GET", "/api/commands/diagnose", "", nil, 405, "use POST"},
	{"dashboard by POST", "POST", "/", "", nil, 405, "use GET"},
	{"stream by HEAD", "HEAD", "/api/cameras/bird/stream.mjpeg", "", nil, 405, ""},
	{"options", "OPTIONS", "/api/status", "", nil, 405, "OPTIONS is not for"},
	{"nothing there", "GET", "/api/nothing", "", nil, 404, `there is nothing at \"/api/nothing\"`},
	{"slash too many", "GET", "/api/status/", "", nil, 404, nothingThere},
	{"doubled slash", "GET", "//api/status", "", nil, 404, nothingThere},
	{"dots", "GET", "/api/../api/status", "", nil, 404, nothingThere},
	{"escaped dots", "GET", "/%2e%2e/%2e%2e/etc/passwd", "", nil, 404, nothingThere},
	{"escaped slash", "GET", "/api%2fstatus", "", nil, 404, nothingThere},
	{"escaped nothing", "GET", "/app.js%00.html", "", nil, 404, nothingThere},
	{"profiles", "GET", "/debug/pprof/", "", nil, 404, nothingThere},

	{"name of a stranger", "GET", "/api/status", "", []string{"Host: evil.example.com"}, 403, `not known as \"evil.example.com\"`},
	{"name of a stranger for the dashboard", "GET", "/", "", []string{"Host: evil.example.com:80"}, 403, "api.allowed_hosts"},
	{"name that begins as ours", "GET", "/healthz", "", []string{"Host: localhost.example.com"}, 403, "not known as"},
	{"address of a stranger", "GET", "/healthz", "", []string{"Host: 10.0.0.1"}, 403, "not known as"},
	{"localhost", "GET", "/healthz", "", []string{"Host: LOCALHOST.:99"}, 200, "ok"},
	{"IPv6", "GET", "/healthz", "", []string{"Host: [::1]:8080"}, 200, "ok"},
	{"allowed name", "GET", "/healthz", "", []string{"Host: panel.local"}, 200, "ok"},

	{"foreign page's picture", "GET", "/api/cameras/bird/snapshot.jpg", "", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, 403, "a page of another origin"},
	{"foreign page's link", "GET", "/", "", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 200, "egret"},
	{"foreign page's command", "POST", "/api/commands/diagnose", "{}", []string{asJSON, "Sec-Fetch-Site: cross-site"}, 403, "a page of another origin"},
	{"foreign page's command, old browser", "POST", "/api/commands/diagnose", "{}", []string{asJSON, "Origin: https://evil.example.com"}, 403, "a page of another origin"},
	{"foreign page's prediction", "POST", "/v1/models/a:predict", "{}", []string{"Sec-Fetch-Site: same-site"}, 403, "a page of another origin"},
	{"our page's command", "POST", "/api/commands/diagnose", "{}", []string{asJSON, "Sec-Fetch-Site: same-origin"}, 200, `"ok":true`},
	{"allowed page's command", "POST", "/api/commands/diagnose", "{}", []string{asJSON, "Sec-Fetch-Site: cross-site", "Origin: https://panel.example.com"}, 200, `"ok":true`},
}

func TestCalls(t *testing.T) {
	s := serve(t, func(o *api.Options) {
		o.Hosts, o.Origins = []string{"Panel.local"}, []string{"https://panel.example.com"}
	})
	for _, c := range callCases {
		t.Run(c.name, func(t *testing.T) {
			res, body := s.do(t, c.method, c.path, c.body, c.headers...)
			if res.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%d %s, want %d with %s", res.StatusCode, body, c.status, c.want)
			}
			checkAnswer(t, res, body)
		})
	}
}

// checkAnswer holds what every answer keeps to.
func checkAnswer(t *testing.T, res *http.Response, body string) {
	t.Helper()
	if res.StatusCode >= 400 && res.Request.Method != http.MethodHead {
		var problem struct{ Error string }
		if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Error == "" || strings.ContainsAny(problem.Error, "\n\r") {
			t.Errorf("error %q is not one line in JSON: %v", body, err)
		}
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'", "X-Content-Type-Options": "nosniff",
		"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if !strings.Contains(res.Header.Get(name), want) {
			t.Errorf("%s is %q", name, res.Header.Get(name))
		}
	}
	if strings.HasPrefix(res.Request.URL.Path, "/api/") && res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", res.Header.Get("Cache-Control"))
	}
	if res.StatusCode == http.StatusMethodNotAllowed && res.Header.Get("Allow") == "" {
		t.Error("no Allow")
	}
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// TestNewRefuses: a server that would answer strangers, or that cannot work, is
// not made.
func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*api.Options){
		"no device":         func(o *api.Options) { o.Device = nil },
		"strangers":         func(o *api.Options) { o.Loopback = false },
		"origin":            func(o *api.Options) { o.Origins = []string{"panel"} },
		"no page":           func(o *api.Options) { o.Web = fstest.MapFS{} },
		"file of what kind": func(o *api.Options) { o.Web = fstest.MapFS{"index.html": {}, "a.exe": {}} },
	} {
		o := options()
		change(&o)
		if _, err := api.New(o); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line", name, err)
		}
	}
}

// TestPanic: a handler's panic is one request's, and is logged once.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	s := serve(t, func(o *api.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Serving = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("late") {
				w.Write([]byte("begun"))
			}
			panic("what a day")
		})
	})
	if res, body := s.do(t, "GET", "/v1/models/a", ""); res.StatusCode != 500 || !strings.Contains(body, "see its log") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	res, err := s.Post(s.url+"/v1/models/a?late", "", nil) // a GET would be sent again
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("an answer that broke off looked whole")
	}
	s.do(t, "GET", "/healthz", "")
	s.stop()
	if n := strings.Count(log.String(), "what a day"); n != 2 || !strings.Contains(log.String(), "stack=") {
		t.Errorf("%d lines for two panics:\n%s", n, &log)
	}
}

// TestEnd: the end closes streams, and frees the port.
func TestEnd(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/api/events?types=release", "/api/cameras/bird/stream.mjpeg"} {
		res, err := s.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the end took %v", took)
	}
	if _, err := s.Get(s.url + "/healthz"); err == nil {
		t.Error("it answers after its end")
	}
}
