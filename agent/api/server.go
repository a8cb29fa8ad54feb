package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// headerPatience is how long a client may take over a request's header, and
	// over the handshake of TLS before it.
	headerPatience = 10 * time.Second
	maxHeaderBytes = 16 << 10
	// idlePatience is how long a connection may wait for the next request: more
	// than the dashboard's pauses, less than a scrape interval of a minute.
	idlePatience = 45 * time.Second
	// endPatience bounds the end: what is not answered by then is cut off.
	endPatience = 2 * time.Second
)

// Options say what is served and to whom. Device is required; the zero value of
// each other field is the careful choice.
type Options struct {
	Device Device
	// Serving answers what is below /v1/models/; nil: nothing does.
	Serving http.Handler
	// Web is the dashboard, served at /; nil: there is none. It needs no token,
	// since it holds nothing secret: it asks its user for one.
	Web fs.FS
	// Token gives the bearer token that callers must show; nil: they need none.
	// It is called with each request that shows one, so that a token can be
	// changed while the agent runs. A token has MinTokenBytes at least.
	Token func() ([]byte, error)
	// Hosts are names besides localhost under which callers without a token may
	// reach the server.
	Hosts []string
	// Origins are those of other pages that browsers may let call it, as
	// https://panel.example.com.
	Origins []string
	// Loopback: the listener can be reached from this machine alone.
	Loopback bool
	// ClientCerts: the listener asks callers for certificates and checks them.
	ClientCerts bool
	MaxBody     int64 // bytes of a request; 0: 16 MiB
	MaxStreams  int   // live pictures and event streams at a time; 0: 16
	// MaxConnections bounds open connections; 0: 256. When all are taken, one
	// that only waits is closed for a new one.
	MaxConnections int
	Pprof          bool // Go's profiles; on loopback alone
	Version        string
	Log            *slog.Logger // nil: nothing is logged
}

// Server answers HTTP. Any goroutine may call its methods; Run only once.
type Server struct {
	o       Options
	log     *slog.Logger
	handler http.Handler
	guard   *guard
	streams *places // live pictures and events
	shots   *places // snapshots
	drawing *places // pictures that are drawn on
	asked   *places // pictures that models are asked about
	traffic *traffic
	conns   *connections
	static  *static
}

// New prepares a server; it starts nothing.
func New(o Options) (*Server, error) {
	if o.Device == nil {
		return nil, errors.New("api: no device to tell of")
	}
	if !o.Loopback && o.Token == nil && !o.ClientCerts {
		return nil, errors.New("api: it would answer everybody who reaches it: give a token or client certificates")
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 16 << 20
	}
	if o.MaxStreams <= 0 {
		o.MaxStreams = 16
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 256
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		o: o, log: o.Log,
		streams: newPlaces(o.MaxStreams), shots: newPlaces(maxShots), drawing: newPlaces(1), asked: newPlaces(maxAsked),
		conns: newConnections(o.MaxConnections),
	}
	var err error
	if s.guard, err = newGuard(o); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if o.Web != nil {
		if s.static, err = newStatic(o.Web); err != nil {
			return nil, fmt.Errorf("api: the dashboard's files: %w", err)
		}
	}
	s.route()
	return s, nil
}

// Handler is all that the server answers, without the bounds on connections and
// time that Run adds.
func (s *Server) Handler() http.Handler { return s.handler }

// endKey finds in a request's context the one that ends streams.
type endKey struct{}

// Run answers on ln until ctx is done, and closes it. Streams end at once then;
// other requests may be answered for two seconds more. A listener of TLS must
// have been made with crypto/tls, and offer HTTP/1.1 alone.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // deadlines are those of connections
	base := context.WithValue(context.WithoutCancel(ctx), endKey{}, ctx)
	srv := &http.Server{
		Handler:           s.handler,
		Protocols:         &protocols,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ReadHeaderTimeout: headerPatience,
		WriteTimeout:      writePatience, // answer.go sets it anew with each write
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeaderBytes,

		DisableGeneralOptionsHandler: true, // it would answer past the guard
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:                  func(net.Listener) context.Context { return base },
		ConnContext:                  s.conns.context,
		ConnState:                    s.conns.state,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(&limited{Listener: ln, conns: s.conns, end: ctx.Done()}) }()
	select {
	case err := <-served:
		srv.Close()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("answer HTTP on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	s.conns.closeWaiting()
	if srv.Shutdown(bound) != nil {
		srv.Close()
	}
	<-served
	return nil
}
