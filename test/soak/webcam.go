package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// webcam is an HTTP camera that streams MJPEG and fails as such cameras do.
type webcam struct {
	addr   string
	frames [][]byte // of one picture in several sizes; the first is the usual one
	wg     sync.WaitGroup

	mu     sync.Mutex // guards all following fields
	server *http.Server
	mode   mode
}

// mode is what the webcam does instead of sending whole pictures of one size.
type mode int

const (
	wellBehaved mode = iota
	hanging          // sends nothing and keeps the connection
	closing          // ends each response after one picture
	truncating       // sends pictures without their end
	resizing         // sends pictures of changing sizes
	lying            // answers with an error page
)

// webcamRate is that of most cameras.
const webcamRate = 30

func newWebcam(frames [][]byte) (*webcam, error) {
	w := &webcam{addr: "127.0.0.1:0", frames: frames}
	return w, w.listen()
}

// listen begins to take connections, on the same port as before.
func (w *webcam) listen() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	ln, err := net.Listen("tcp", w.addr)
	if err != nil {
		return fmt.Errorf("webcam: %w", err)
	}
	w.addr = ln.Addr().String()
	server := &http.Server{Handler: w, ReadHeaderTimeout: time.Minute}
	w.server = server
	w.wg.Go(func() { _ = server.Serve(ln) }) // it ends by refuse, which is its error
	return nil
}

// refuse closes all connections and takes no more.
func (w *webcam) refuse() {
	w.mu.Lock()
	server := w.server
	w.mu.Unlock()
	_ = server.Close()
	w.wg.Wait()
}

func (w *webcam) set(m mode) {
	w.mu.Lock()
	w.mode = m
	w.mu.Unlock()
}

func (w *webcam) does() mode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mode
}

func (w *webcam) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if w.does() == lying {
		http.Error(rw, "the camera is busy", http.StatusServiceUnavailable)
		return
	}
	rw.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	tick := time.NewTicker(time.Second / webcamRate)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		if !w.send(rw, n) {
			return
		}
	}
}

// send writes one part; false ends the response.
func (w *webcam) send(rw http.ResponseWriter, n int) bool {
	frame, m := w.frames[0], w.does()
	switch m {
	case hanging:
		return true
	case resizing:
		frame = w.frames[n%len(w.frames)]
	case truncating:
		frame = frame[:len(frame)/2]
	}
	_, err := fmt.Fprintf(rw, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(frame), frame)
	if err == nil {
		err = http.NewResponseController(rw).Flush()
	}
	return err == nil && m != closing
}
