package localapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The attacks. Each returns when it has done its worst; what it has opened stays
// open until all are sent away.

// slowLoris begins requests on more connections than there is room for, and
// goes on by a byte at a time.
func (s *siege) slowLoris() {
	var conns []net.Conn
	for i := range 600 {
		addr := s.listen
		if i%3 == 2 {
			addr = s.grpcAt
		}
		if c := s.send(addr, "POST /v1/models/m:predict HTTP/1.1\r\nHost: localhost\r\nX: "); c != nil {
			conns = append(conns, c)
		}
	}
	for range 5 {
		for _, c := range conns {
			_, _ = c.Write([]byte("x")) // it may have hung up
		}
	}
}

// connections opens as many as it may, and says nothing on most.
func (s *siege) connections() {
	opened := 0
	for i := range s.wide {
		addr, text := s.listen, ""
		if i%4 == 3 {
			addr = s.grpcAt
		}
		if i%10 == 0 {
			text = "GET /api/status HTTP/1.1\r\nHost: localhost\r\n"
		}
		if s.send(addr, text) != nil {
			opened++
		}
	}
	if opened < s.wide/2 {
		s.t.Errorf("%d of %d connections were opened: this test looks at the wrong thing", opened, s.wide)
	}
}

// gigabyte is a body without an end in sight.
type gigabyte struct{ left, taken *atomic.Int64 }

func (g gigabyte) Read(p []byte) (int, error) {
	n := min(int64(len(p)), g.left.Load())
	if n <= 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		p[i] = ' '
	}
	g.left.Add(-n)
	g.taken.Add(n)
	return int(n), nil
}

// bodies sends 1 GiB to all that take a body, with its length and without.
func (s *siege) bodies() {
	var all sync.WaitGroup
	for i, path := range []string{
		"/v1/models/m:predict", "/v1/models/m:classify", "/v1/models/m:predict", "/api/commands/set", "/api/commands/diagnose", "/api/status",
	} {
		for _, length := range []int64{-1, 1 << 30} {
			all.Go(func() {
				var left, taken atomic.Int64
				left.Store(1 << 30)
				req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.url+path, io.MultiReader(strings.NewReader(`{"instances": [`), gigabyte{&left, &taken}))
				if err != nil {
					s.t.Error(err)
					return
				}
				if req.ContentLength = length; i%2 == 0 {
					req.Header.Set("Content-Type", "application/json")
				}
				res, err := s.client.Do(req)
				if err == nil { // else it was cut off
					res.Body.Close()
					if res.StatusCode < 400 || res.StatusCode == 500 {
						s.t.Errorf("%s with 1 GiB: %d", path, res.StatusCode)
					}
				}
				if taken.Load() > 64<<20 {
					s.t.Errorf("%s took %d MiB of 1 GiB", path, taken.Load()>>20)
				}
			})
		}
	}
	all.Wait()
}

// badBodies are what no model takes.
var badBodies = map[string]string{
	"deep lists":   `{"instances": ` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + `}`,
	"deep objects": strings.Repeat(`{"a":`, 500_000) + "1" + strings.Repeat("}", 500_000),
	"NaN":          `{"instances": [NaN, -Infinity, Infinity]}`,
	"a NaN":        `{"instances": [` + rows(32, 32, "NaN") + `]}`,
	"wrong shape":  `{"instances": [` + rows(31, 32, "1") + `]}`,
	"ragged":       `{"instances": [[[[1,2,3],[1]],[[1,2,3]]]]}`,
	"wrong types":  `{"instances": ["a", {"b": null}, true, [[["x"]]]]}`,
	"huge numbers": `{"instances": [` + rows(32, 32, "1e308") + `]}`,
	"long number":  `{"instances": [` + strings.Repeat("9", 1_000_000) + `]}`,
	"no picture":   `{"instances": [{"b64": "` + strings.Repeat("AAAA", 100_000) + `"}]}`,
	"no base64":    `{"instances": [{"b64": "` + strings.Repeat("\\u0000", 100_000) + `"}]}`,
	"many":         `{"instances": [` + strings.Repeat("1,", 1_000_000) + `1]}`,
	"no end":       `{"instances": [`,
	"text":         strings.Repeat("\xff\x00", 1000),
}

// rows are lists for an example of a model for pictures.
func rows(h, w int, value string) string {
	pixel := "[" + value + "," + value + "," + value + "]"
	row := "[" + strings.TrimSuffix(strings.Repeat(pixel+",", w), ",") + "]"
	return "[" + strings.TrimSuffix(strings.Repeat(row+",", h), ",") + "]"
}

// badLines are requests for what is not there, by tricks.
var badLines = []string{
	"GET /%2e%2e/%2e%2e/etc/passwd", "GET //etc/passwd", "GET /../../etc/passwd", "GET /%00", "GET /api/status%00",
	"GET /v1/models/%2e%2e%2fm", "GET /v1/models/../../m", "GET /v1//models/m", "GET /v1/models/m%00:predict",
	"GET /api/cameras/%2e%2e/snapshot.jpg", "GET /api/cameras/..%2f..%2f/snapshot.jpg", "GET /api//status",
	"GET /" + strings.Repeat("a", 12<<10), "GET /v1/models/" + strings.Repeat("m", 12<<10), "GET /" + strings.Repeat("../", 4000),
	"GET /" + strings.Repeat("x", 1<<20), "DELETE /v1/models/m", "PUT /api/commands/set", "GET /v1/models/m/versions/99999999999999999999",
}

// badRequests sends what is wrong in every way; each is refused in one line.
func (s *siege) badRequests() {
	refused := 0
	for name, body := range badBodies {
		for _, verb := range []string{"predict", "classify", "regress"} {
			res, answer, err := s.post("/v1/models/m:"+verb, "application/json", []byte(body))
			if err != nil {
				continue // cut off for somebody else
			}
			refused++
			if c := res.StatusCode; c < 400 || c == 500 || len(answer) > 4<<10 {
				s.t.Errorf("%s to %s: %d %.200s", name, verb, res.StatusCode, answer)
			}
		}
		if res, answer, err := s.post("/api/commands/set", "application/json", []byte(body)); err == nil && (res.StatusCode < 400 || res.StatusCode == 500) {
			s.t.Errorf("%s as a command: %d %.200s", name, res.StatusCode, answer)
		}
	}
	for _, line := range badLines {
		s.refuses(line+" HTTP/1.1\r\nHost: localhost\r\n\r\n", line)
	}
	for i := range 10 {
		s.refuses("GET /api/status HTTP/1.1\r\nHost: localhost\r\n"+strings.Repeat(fmt.Sprintf("X-%d: %s\r\n", i, strings.Repeat("y", 1000)), 200)+"\r\n", "huge headers")
	}
	if refused == 0 {
		s.t.Error("no bad request was answered: this test looks at the wrong thing")
	}
}

// refuses sends a request as it stands.
func (s *siege) refuses(request, name string) {
	c := s.send(s.listen, request)
	if c == nil {
		return
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(goodTime))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode < 300 || res.StatusCode == 500 || bytes.Contains(body, []byte("root:")) {
		s.t.Errorf("%.60s: %d %.200s", name, res.StatusCode, body)
	}
}

// stalledReaders ask for more streams than there are, and read none.
func (s *siege) stalledReaders() {
	for i := range 60 {
		path := []string{"/api/events", "/api/cameras/c/stream.mjpeg?fps=30", "/api/cameras/c/stream.mjpeg?overlay=1", "/api/cameras/c/snapshot.jpg"}[i%4]
		c := s.dial(s.listen)
		if c == nil {
			continue
		}
		_ = c.(*net.TCPConn).SetReadBuffer(1 << 10)
		_, _ = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	}
}

// prefaces speak HTTP/2, TLS and nonsense to the HTTP port, and nonsense to
// gRPC's.
func (s *siege) prefaces() {
	for range 20 {
		s.send(s.listen, http2.ClientPreface+strings.Repeat("\x00\x00\x00\x04\x00\x00\x00\x00\x00", 100))
		s.send(s.listen, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
		s.send(s.grpcAt, "GET / HTTP/1.1\r\n\r\n")
		s.send(s.grpcAt, http2.ClientPreface+strings.Repeat("\xff", 1<<16))
	}
}

// resets begin calls by the thousand and take each back at once.
func (s *siege) resets() {
	var header bytes.Buffer
	encoder := hpack.NewEncoder(&header)
	encoder.SetMaxDynamicTableSize(0) // the block is sent again and again
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", "/tensorflow.serving.PredictionService/Predict"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			s.t.Error(err)
			return
		}
	}
	var all sync.WaitGroup
	sent := atomic.Int64{}
	for range 4 {
		all.Go(func() {
			for range 5 {
				sent.Add(s.reset(header.Bytes(), 2000))
			}
		})
	}
	all.Wait()
	if sent.Load() < 100 {
		s.t.Errorf("%d calls were begun: this test looks at the wrong thing", sent.Load())
	}
}

// reset does so n times on one connection, and tells how often until it was
// closed.
func (s *siege) reset(header []byte, n int) (sent int64) {
	c := s.send(s.grpcAt, http2.ClientPreface)
	if c == nil {
		return 0
	}
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	_ = c.SetWriteDeadline(time.Now().Add(goodTime))
	framer := http2.NewFramer(c, nil)
	if framer.WriteSettings() != nil {
		return 0
	}
	for i := range n {
		id := uint32(2*i + 1)
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: header, EndHeaders: true}) != nil ||
			framer.WriteData(id, false, []byte{0, 0, 0xff, 0, 0}) != nil || // begins a message of 16 MB
			framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
		sent++
	}
	return sent
}
