package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// writePatience is how long a write may stand still; slowest is the rate in
	// bytes per second that answers and bodies must reach beyond their
	// patience: a poor mobile link's.
	writePatience = 30 * time.Second
	slowest       = 16 << 10
)

// bodyPatience is how long a request's body may stand still. Only tests change
// it.
var bodyPatience = 10 * time.Second

// answer is a ResponseWriter that knows what it was told, and gives up on
// readers that stall.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	route   *routeTraffic // nil until the route is known
	body    *body         // nil without one
	status  int           // 0 before the header
	began   time.Time
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
		a.body.leave()
	}
	a.patience(writePatience)
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
		a.body.leave()
	}
	a.patience(writePatience + time.Duration(len(p))*time.Second/slowest)
	return a.ResponseWriter.Write(p)
}

// patience bounds the next write. A writer that knows no deadlines, as in
// tests, has none.
func (a *answer) patience(d time.Duration) {
	_ = a.control.SetWriteDeadline(time.Now().Add(d))
}

// body is a request's body that must keep coming: a client that sends a byte a
// second holds a connection for ten of them. Only waiting for it counts, not
// what its handler does in between.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	conn    *connection // nil in tests without one
	read    int64
	waited  time.Duration
	whole   bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.conn != nil {
		b.conn.read(true)
		defer b.conn.read(false)
	}
	began := time.Now()
	_ = b.control.SetReadDeadline(began.Add(bodyPatience + time.Duration(b.read)*time.Second/slowest - b.waited))
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(began)
	b.read += int64(n)
	if errors.Is(err, io.EOF) {
		b.whole = true
		_ = b.control.SetReadDeadline(time.Time{}) // the wait for the answer is not the client's
	}
	return n, err
}

// leave bounds what net/http reads of a body that its handler did not want: it
// does so before it sends the answer's header, and at the end, and would wait
// for ever.
func (b *body) leave() {
	if b == nil || b.whole {
		return
	}
	if b.conn != nil {
		b.conn.read(true)
	}
	_ = b.control.SetReadDeadline(time.Now().Add(bodyPatience))
}

// left tells that the header is sent and the answer goes on: what ends the wait
// for a body would end the answer.
func (b *body) left() {
	if b == nil {
		return
	}
	if b.conn != nil {
		b.conn.read(false)
	}
	_ = b.control.SetReadDeadline(time.Time{})
}

// problem is an answer that says what is wrong, in one line.
type problem struct {
	status int
	text   string
	retry  int // seconds for Retry-After; 0: none
}

func (p *problem) Error() string { return p.text }

// wrong makes a problem.
func wrong(status int, format string, args ...any) *problem {
	return &problem{status: status, text: fmt.Sprintf(format, args...)}
}

// later makes a problem that may be gone after some seconds.
func later(status, seconds int, format string, args ...any) *problem {
	p := wrong(status, format, args...)
	p.retry = seconds
	return p
}

// fail answers with an error's line.
func fail(w http.ResponseWriter, p *problem) {
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	w.Header().Del("Content-Length")
	w.Header().Del("ETag")
	w.Header().Set("Cache-Control", "no-store")
	reply(w, p.status, struct {
		Error string `json:"error"`
	}{oneLine(p.text)})
}

// reply answers with a value as JSON.
func reply(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON: please report this"}`)
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // who asked has gone: nobody is left to tell
}

// oneLine is text without what could break a line or a terminal, at most 300
// bytes of it.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}
