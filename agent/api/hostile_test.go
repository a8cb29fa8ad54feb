package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/apitest"
)

// dial opens a connection and sends what is given.
func dial(t *testing.T, s *site, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Logf("the server hung up: %v", err)
	}
	return c
}

// answersGood holds that a client that behaves is answered.
func answersGood(t *testing.T, s *site) {
	t.Helper()
	fresh := &site{Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url: s.url}
	if res, body := fresh.do(t, "GET", "/api/status", ""); res.StatusCode != 200 {
		t.Errorf("a client that behaves gets %d %s", res.StatusCode, body)
	}
}

// heap is what the process holds, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSlowHeaders: more connections than there is room for that begin a header
// and do not go on, or say nothing at all, keep nobody out.
func TestSlowHeaders(t *testing.T) {
	s := serve(t, func(o *api.Options) { o.MaxConnections = 20 })
	for i := range 100 {
		dial(t, s, []string{"", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nX: "}[i%3])
	}
	answersGood(t, s)
	if n := s.server.Open(); n > 20 {
		t.Errorf("%d connections are open", n)
	}
}

// TestSlowBodies: bodies that do not come keep nobody out either.
func TestSlowBodies(t *testing.T) {
	s := serve(t, func(o *api.Options) { o.MaxConnections = 10 })
	for range 30 {
		dial(t, s, "POST /v1/models/a:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
	}
	answersGood(t, s)
}

// unwanted asks for a long answer, with a body that does not come.
const unwanted = "GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"

// TestUnwantedBodies: a body that no handler wants, and that does not come,
// keeps nobody out, though the answer is too large to be sent before it.
func TestUnwantedBodies(t *testing.T) {
	s := serve(t, func(o *api.Options) { o.MaxConnections = 10 })
	for range 30 {
		dial(t, s, unwanted)
	}
	answersGood(t, s)
}

// TestUnwantedBodyIsNotWaitedFor: who sent it all but a body that nobody wants
// has its answer.
func TestUnwantedBodyIsNotWaitedFor(t *testing.T) {
	api.HurryBodies(t)
	s := serve(t)
	res, err := http.ReadResponse(bufio.NewReader(dial(t, s, unwanted)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 {
		t.Errorf("the answer is %s", res.Status)
	}
}

// TestStreamAfterUnwantedBody: a stream whose request had a body does not make
// room for who comes later, nor end when the patience for bodies does.
func TestStreamAfterUnwantedBody(t *testing.T) {
	api.HurryBodies(t)
	s := serve(t, func(o *api.Options) { o.MaxConnections = 1 })
	c := dial(t, s, "GET /api/events?types=state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
	lines := bufio.NewScanner(c)
	for states := 0; states < 3; {
		if !lines.Scan() {
			t.Fatalf("the stream ended after %d states: %v", states, lines.Err())
		}
		if lines.Text() == "event: state" {
			states++
			dial(t, s, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
	}
}

// TestManyConnections opens as many as the process may and shows that goroutines
// and memory do not grow with them.
func TestManyConnections(t *testing.T) {
	const most, hostile = 64, 3000
	s := serve(t, func(o *api.Options) { o.MaxConnections = most })
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range hostile {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /api/status HTTP/1.1\r\n")
		if i%1000 == 999 {
			answersGood(t, s)
		}
	}
	// The client's ends are in this process too: some hundred bytes each.
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if grown := runtime.NumGoroutine() - goroutines; grown > 3*most {
		t.Errorf("%d more goroutines for %d connections at a time", grown, most)
	}
	answersGood(t, s)
}

// TestEndlessBody: a gigabyte in chunks is cut off at the limit.
func TestEndlessBody(t *testing.T) {
	s := serve(t, func(o *api.Options) { o.MaxBody = 1 << 20 })
	before := heap()
	for _, path := range []string{"/v1/models/a:predict", "/api/commands/set", "/api/status", "/nothing"} {
		sent := &endless{}
		sent.left.Store(1 << 30)
		res, err := s.Post(s.url+path, "application/json", sent)
		if err == nil {
			if res.StatusCode < 400 {
				t.Errorf("%s: %d", path, res.StatusCode)
			}
			res.Body.Close()
		}
		if took := 1<<30 - sent.left.Load(); took > 16<<20 {
			t.Errorf("%s took %d bytes", path, took)
		}
	}
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	answersGood(t, s)
}

// endless is a body of spaces. It has no length, so it is sent in chunks.
type endless struct{ left atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	if e.left.Add(-int64(len(p))) < 0 {
		return 0, io.EOF
	}
	return len(p), nil
}

// TestStalledBody: a body that stops coming ends its request.
func TestStalledBody(t *testing.T) {
	api.HurryBodies(t)
	s := serve(t)
	for _, path := range []string{"/v1/models/a:predict", "/api/commands/set", "/nothing"} {
		c := dial(t, s, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if res.Body.Close(); res.StatusCode < 400 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	eventually(t, "the end of the connections", func() bool { return s.server.Open() == 0 })
}

// rawCases are requests that no client of good will sends, and the status of
// the answer; 0: any, or none.
var rawCases = []struct {
	name, request string
	status        int
}{
	{"huge header", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431},
	{"many headers", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: y\r\n", 20000) + "\r\n", 431},
	{"huge path", "GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 431},
	{"long path", "GET /" + strings.Repeat("x", 8<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
	{"no host", "GET /healthz HTTP/1.1\r\n\r\n", 400},
	{"two hosts", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400},
	{"empty host", "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 403},
	{"old, without a host", "GET /healthz HTTP/1.0\r\n\r\n", 403},
	{"host in the line", "GET http://evil.example.com/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 403},
	{"tunnel", "CONNECT evil.example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
	{"star", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
	{"dots", "GET /../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
	{"backslashes", `GET /..\..\etc\passwd HTTP/1.1` + "\r\nHost: localhost\r\n\r\n", 404},
	{"two lengths", "POST /api/commands/diagnose HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
	{"length and chunks", "POST /api/commands/diagnose HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	{"length below none", "POST /api/commands/diagnose HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400},
	{"length beyond all", "POST /api/commands/diagnose HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
	{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0},
	{"upgrade", "GET /api/events HTTP/1.1\r\nHost: evil\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 403},
	{"line break in the path", "GET /api/status%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
}

func TestRawRequests(t *testing.T) {
	s := serve(t)
	for _, c := range rawCases {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, s, c.request)
			conn.(*net.TCPConn).CloseWrite()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				defer res.Body.Close()
			}
			if c.status != 0 && (err != nil || res.StatusCode != c.status) {
				t.Fatalf("%v %v, want %d", res, err, c.status)
			}
			if err == nil && (res.Header.Get("X-Evil") != "" || res.StatusCode == 200 && c.status == 0) {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
		})
	}
	answersGood(t, s)
}

// TestStalledReader: who does not read a stream is dropped, and its place is
// free again.
func TestStalledReader(t *testing.T) {
	api.StallAfter(t, 1)
	pic := apitest.Picture("bird")
	pic.JPEG = append(pic.JPEG, make([]byte, 4<<20)...)
	device := &apitest.Fake{WatchFunc: func(ctx context.Context, _ string, _ float64, each func(api.Picture) error) error {
		for ctx.Err() == nil {
			if err := each(pic); err != nil {
				return err
			}
		}
		return nil
	}}
	s := serve(t, func(o *api.Options) { o.Device, o.MaxStreams = device, 1 })
	dial(t, s, "GET /api/cameras/bird/stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
	eventually(t, "the stalled reader's stream", func() bool { return s.server.Streams() == 1 })
	eventually(t, "its end", func() bool { return s.server.Streams() == 0 })
	answersGood(t, s)
}

// FuzzHost: whatever a client says that the server is called, only its own names
// pass.
func FuzzHost(f *testing.F) {
	for _, h := range []string{"localhost", "127.0.0.1:80", "[::1]", "[::1]:8080", "evil.example.com", "", ":", "[", "]:1", "localhost.", "127.1", "0x7f.1", "::ffff:127.0.0.1", "localhost:x:y", "LOCALHOST\x00"} {
		f.Add(h)
	}
	server, err := api.New(options())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !api.Knows(server, host) {
			return
		}
		name := strings.ToLower(strings.Trim(host, "[]"))
		if h, _, err := net.SplitHostPort(host); err == nil {
			name = strings.ToLower(strings.Trim(h, "[]"))
		}
		name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
		if addr, err := netip.ParseAddr(name); name != "localhost" && (err != nil || !addr.IsLoopback()) {
			t.Errorf("%q passes", host)
		}
	})
}

// FuzzQuery: no query makes the server panic, and each error is one line.
func FuzzQuery(f *testing.F) {
	for _, c := range callCases {
		if _, query, ok := strings.Cut(c.path, "?"); ok {
			f.Add(query)
		}
	}
	f.Fuzz(func(t *testing.T, query string) {
		if err := api.ReadQuery(query); err != nil && (strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 2000) {
			t.Errorf("%q", err)
		}
	})
}
