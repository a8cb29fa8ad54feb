package api

import (
	"net/http"
	"net/http/pprof"
	"strings"
)

// profile answers with Go's profiles.
func profile(w http.ResponseWriter, r *http.Request) error {
	switch strings.TrimPrefix(r.URL.Path, routePprof) {
	case "cmdline": // may hold what is nobody's business
		return nothing(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
	return nil
}
