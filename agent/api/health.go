package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// healthz answers as long as the process does, and tells nothing else: it needs
// no token.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
	return nil
}

// readiness is what /readyz answers.
type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"` // why not
}

// readyz tells whether the device does what it is there for: as text to who
// asks for that alone, else as JSON.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	reasons := s.state().NotReady
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "5")
	}
	accept := r.Header.Get("Accept")
	if !strings.Contains(accept, "text/plain") || strings.Contains(accept, "json") {
		reply(w, status, readiness{len(reasons) == 0, reasons})
		return nil
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if len(reasons) == 0 {
		_, _ = io.WriteString(w, "ready\n")
	}
	for _, reason := range reasons {
		_, _ = fmt.Fprintf(w, "not ready: %s\n", oneLine(reason))
	}
	return nil
}
