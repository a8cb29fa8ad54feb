package api

import (
	"errors"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/sensors/pixel"
)

// route is a path and what answers there.
type route struct {
	path    string // as http.ServeMux has them, without a method
	methods []string
	open    bool // without a token
	stream  bool // may take hours
	// answer does it; what it returns is answered as an error.
	answer func(http.ResponseWriter, *http.Request) error
}

var (
	get  = []string{http.MethodGet, http.MethodHead}
	live = []string{http.MethodGet} // costs a picture, or does not end: no HEAD
	post = []string{http.MethodPost}
)

// routes are all of the server's, but for the dashboard's files, TensorFlow
// Serving's and profiles.
func (s *Server) routes() []route {
	return []route{
		{path: "/api/status", methods: get, answer: s.status},
		{path: "/api/cameras", methods: get, answer: s.cameras},
		{path: "/api/cameras/{camera}/snapshot.jpg", methods: live, answer: s.snapshot},
		{path: "/api/cameras/{camera}/stream.mjpeg", methods: live, stream: true, answer: s.stream},
		{path: "/api/predictions", methods: get, answer: s.predictions},
		{path: "/api/events", methods: live, stream: true, answer: s.events},
		{path: "/api/models", methods: get, answer: s.models},
		{path: "/api/models/{model}/predict", methods: post, answer: s.predict},
		{path: "/api/outbox", methods: get, answer: s.outbox},
		{path: "/api/updates", methods: get, answer: s.updates},
		{path: "/api/commands/{name}", methods: post, answer: s.command},
		{path: "/api/openapi.json", methods: get, answer: s.description},
		{path: "/metrics", methods: get, answer: s.metrics},
		{path: "/healthz", methods: get, open: true, answer: s.healthz},
		{path: "/readyz", methods: get, answer: s.readyz},
	}
}

// The names in metrics of what is no route of its own.
const (
	routeServing = "/v1/models/"
	routePprof   = "/debug/pprof/"
	routeStatic  = "/"
	routeNone    = "none"
)

// servingPaths is where TensorFlow Serving's clients look; they expect its words
// for paths that are wrong, too.
const servingPaths = "/v1/"

// route makes the handler.
func (s *Server) route() {
	mux := http.NewServeMux()
	names := []string{routeServing, routePprof, routeStatic, routeNone}
	for _, rt := range s.routes() {
		names = append(names, rt.path)
		mux.Handle(rt.path, s.guarded(rt))
	}
	s.traffic = newTraffic(names)
	if s.o.Pprof && s.o.Loopback {
		mux.Handle(routePprof, s.guarded(route{path: routePprof, methods: live, answer: profile}))
	}
	mux.Handle(routeStatic, s.guarded(route{path: routeStatic, open: true, answer: s.files}))
	s.handler = s.outermost(mux)
}

// outermost is around everything: it bounds bodies and time, sets the headers
// that all answers have, counts, and survives a handler's panic.
func (s *Server) outermost(mux *http.ServeMux) http.Handler {
	serving := s.guarded(route{path: routeServing, answer: func(w http.ResponseWriter, r *http.Request) error {
		s.o.Serving.ServeHTTP(w, r)
		return nil
	}})
	none := s.guarded(route{path: routeNone, open: true, answer: nothing})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, control: http.NewResponseController(w), began: time.Now()}
		defer s.finish(a, r)
		secure(w.Header())
		s.bound(a, r)
		switch {
		case strings.HasPrefix(r.URL.Path, servingPaths) && s.o.Serving != nil:
			serving.ServeHTTP(a, r) // which paths are right is its handler's to judge
		case !clean(r):
			none.ServeHTTP(a, r)
		default:
			mux.ServeHTTP(a, r)
		}
	})
}

// bound limits the size of a request's body, and the time that it may take.
func (s *Server) bound(a *answer, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	k, _ := r.Context().Value(connectionKey{}).(*connection)
	a.body = &body{ReadCloser: r.Body, control: a.control, conn: k}
	r.Body = http.MaxBytesReader(a.ResponseWriter, a.body, s.o.MaxBody)
}

// finish ends a request: it answers for a handler that panicked, once with the
// stack in the log, and counts.
func (s *Server) finish(a *answer, r *http.Request) {
	v := recover()
	gone := v != nil && v == any(http.ErrAbortHandler)
	if v != nil && !gone {
		s.log.Error("a request's handler panicked", "method", r.Method, "path", oneLine(r.URL.Path), "panic", v, "stack", string(debug.Stack()))
		if a.status == 0 {
			fail(a, wrong(http.StatusInternalServerError, "the agent failed at this request: see its log"))
		} else {
			gone = true
		}
	}
	if a.route == nil {
		a.route = s.traffic.route(routeNone)
	}
	a.route.count(a.status, time.Since(a.began))
	a.body.leave()
	a.patience(writePatience) // for what is still in the buffer
	if gone {
		panic(http.ErrAbortHandler) // the client must see that it is not whole
	}
}

// guarded is a route behind the guard.
func (s *Server) guarded(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := w.(*answer); ok {
			a.route = s.traffic.route(rt.path)
		}
		if rt.path != routeStatic {
			w.Header().Set("Cache-Control", "no-store")
		}
		if s.guard.share(w, r) {
			return
		}
		if p := s.guard.check(r, rt.open); p != nil {
			if p.status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="egret"`)
			}
			fail(w, p)
			return
		}
		if rt.methods != nil && !slices.Contains(rt.methods, r.Method) {
			w.Header().Set("Allow", strings.Join(rt.methods, ", "))
			fail(w, wrong(http.StatusMethodNotAllowed, "%s is not for this path: use %s", oneLine(r.Method), strings.Join(rt.methods, " or ")))
			return
		}
		s.serve(rt, w, r)
	})
}

// serve answers, and answers with what was wrong. An error after the answer has
// begun means that the client is gone.
func (s *Server) serve(rt route, w http.ResponseWriter, r *http.Request) {
	if rt.stream {
		if !s.streams.try() {
			fail(w, later(http.StatusServiceUnavailable, 5, "%d live pictures and event streams are open already: close one, or raise api.max_streams", s.o.MaxStreams))
			return
		}
		defer s.streams.leave()
	}
	err := rt.answer(w, r)
	if a, ok := w.(*answer); err == nil || ok && a.status != 0 {
		return
	}
	fail(w, s.problem(r, err))
}

// problem is what an error means to a client.
func (s *Server) problem(r *http.Request, err error) *problem {
	var p *problem
	var large *http.MaxBytesError
	var unreadable *pixel.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large):
		return wrong(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", large.Limit)
	case errors.Is(err, ErrNoCamera):
		return wrong(http.StatusNotFound, "%v: GET /api/cameras lists them", ErrNoCamera)
	case errors.Is(err, ErrNoModel):
		return wrong(http.StatusNotFound, "%v: GET /api/models lists them", ErrNoModel)
	case errors.Is(err, serving.ErrFull):
		return later(http.StatusTooManyRequests, 1, "%v: try again in a second", serving.ErrFull)
	case errors.As(err, &unreadable):
		return wrong(http.StatusBadRequest, "the picture cannot be read: %v", unreadable)
	case errors.Is(err, ErrNoPage):
		return wrong(http.StatusBadRequest, "%v: take before from the next of a page", ErrNoPage)
	case errors.Is(err, ErrBusy):
		return later(http.StatusServiceUnavailable, 1, "%v: try again in a second", ErrBusy)
	case r.Context().Err() != nil: // nobody may be left to read it
		return later(http.StatusServiceUnavailable, 1, "the request ended before its answer")
	}
	return later(http.StatusServiceUnavailable, 5, "%v", err)
}

// secure sets what browsers shall keep to. Nothing of the page comes from
// elsewhere, and nothing of it may be shown elsewhere.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "+
		"font-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), usb=(), payment=()")
}

// clean tells whether a path means what it says: no path of ours needs escapes,
// dots or doubled slashes, and what needs none cannot be used for tricks.
func clean(r *http.Request) bool {
	p := r.URL.Path
	if strings.HasPrefix(p, routePprof) && len(p) > len(routePprof) {
		p = strings.TrimSuffix(p, "/")
	}
	return r.URL.RawPath == "" && (path.Clean(p) == p && p+"/" != routePprof || p == routePprof)
}

func nothing(_ http.ResponseWriter, r *http.Request) error {
	return wrong(http.StatusNotFound, "there is nothing at %.80q: GET /api/openapi.json lists what there is", r.URL.Path)
}
