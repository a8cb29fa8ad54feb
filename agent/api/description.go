package api

import (
	_ "embed"
	"net/http"
	"strconv"
)

// openapi describes all calls, in OpenAPI 3.0.
//
//go:embed openapi.json
var openapi []byte

func (s *Server) description(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(openapi)))
	_, _ = w.Write(openapi)
	return nil
}
