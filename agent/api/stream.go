package api

import (
	"context"
	"net/http"
	"time"
)

// stallPatience is how long a reader of a stream may take over one piece. Who
// is slow gets fewer pieces; who stands still is dropped. Only tests change it.
var stallPatience = 10 * time.Second

// streaming is the context of a request that does not end by itself: it ends
// with the client, or with the server.
func streaming(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	server, ok := ctx.Value(endKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(server, cancel)
	return ctx, func() { stop(); cancel() }
}

// streamWriter writes a stream's pieces, each flushed and bounded in time. One
// goroutine at a time may use it.
type streamWriter struct {
	to      http.ResponseWriter // past answer, whose bound is another
	control *http.ResponseController
	begun   bool
}

func newStreamWriter(w http.ResponseWriter) *streamWriter {
	return &streamWriter{to: w, control: http.NewResponseController(w)}
}

func (s *streamWriter) write(piece []byte) error {
	if !s.begun {
		s.begun = true
		s.to.WriteHeader(http.StatusOK)
		if a, ok := s.to.(*answer); ok {
			s.to = a.ResponseWriter
			defer a.body.left()
		}
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(stallPatience))
	if _, err := s.to.Write(piece); err != nil {
		return err
	}
	return s.control.Flush()
}
