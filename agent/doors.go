package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/servinggrpc"
	"github.com/egret-edge/egret/agent/web"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/internal/backoff"
)

// door is a way by which others on the network, or on this machine, ask the
// agent something.
type door struct {
	name, addr string
	tls        *tls.Config    // of the listener; nil: plain, or the server's own
	clients    *x509.CertPool // whose certificates callers must have; nil: none
	serve      func(context.Context, net.Listener) error
}

// doorBound is more than the servers take for what is under way.
const doorBound = 3 * time.Second

// openDoors prepares what cfg asks for; nothing listens yet.
func (a *Agent) openDoors(cfg configs.API) (doors []door, err error) {
	token, err := apiToken(cfg)
	if err != nil {
		return nil, err
	}
	secure, err := serverTLS(cfg.TLS, a.log)
	if err != nil {
		return nil, err
	}
	if cfg.Enabled {
		server, err := a.newAPI(cfg, token)
		if err != nil {
			return nil, err
		}
		d := door{name: "API", addr: cfg.Listen, serve: server.Run}
		if secure != nil {
			d.tls = secure.Clone()
			d.tls.NextProtos = []string{"http/1.1"} // the server's deadlines are those of connections
		}
		doors = append(doors, d)
	}
	if cfg.GRPC.Enabled {
		if _, err := a.newGRPC(cfg, token, secure); err != nil {
			return nil, err
		}
		doors = append(doors, door{name: "gRPC", addr: cfg.GRPC.Listen, serve: func(ctx context.Context, ln net.Listener) error {
			server, err := a.newGRPC(cfg, token, secure) // one that has ended does not begin again
			if err != nil {
				return errors.Join(err, ln.Close())
			}
			return server.Run(ctx, ln)
		}})
	}
	for i, d := range doors {
		if secure != nil {
			doors[i].clients = secure.ClientCAs
		}
		if token != nil && secure == nil && !loopback(d.addr) {
			a.log.Warn("the token crosses the network in the clear: give api.tls, or a reverse proxy", "door", d.name, "listen", d.addr)
		}
	}
	return doors, nil
}

// CheckAPI tells what is wrong with the files that the local interface needs.
func CheckAPI(cfg configs.API) error {
	_, err := apiToken(cfg)
	if err == nil {
		_, err = serverTLS(cfg.TLS, slog.New(slog.DiscardHandler))
	}
	return err
}

// apiToken reads the token that callers must show; nil when they need none.
func apiToken(cfg configs.API) (func() ([]byte, error), error) {
	read, err := secretSource("the API's token", "api.token_credential", cfg.TokenFile, cfg.TokenCredential)
	if err != nil || read == nil {
		return nil, err
	}
	token := func() ([]byte, error) {
		s, err := read()
		return []byte(strings.TrimSpace(s)), err
	}
	if t, err := token(); err != nil {
		return nil, err
	} else if len(t) < api.MinTokenBytes {
		return nil, fmt.Errorf("the API's token has %d bytes: make one of %d at least, such as by `openssl rand -hex 32`", len(t), api.MinTokenBytes)
	}
	return token, nil
}

func (a *Agent) newAPI(cfg configs.API, token func() ([]byte, error)) (*api.Server, error) {
	o := api.Options{
		Device: local{a}, Token: token, Hosts: cfg.AllowedHosts, Origins: cfg.AllowedOrigins,
		Serving:  serving.NewREST(serving.RESTOptions{Models: &a.servables, MaxBody: int64(cfg.MaxBody), MaxInstances: cfg.Requests.Queue, Decoder: a.decoder}),
		Loopback: loopback(cfg.Listen), ClientCerts: cfg.TLS.ClientCAFile != "",
		MaxBody: int64(cfg.MaxBody), MaxStreams: cfg.MaxStreams, MaxConnections: cfg.MaxConnections,
		Pprof: cfg.Pprof, Version: a.opts.Version, Log: a.log.With("door", "API"),
	}
	if cfg.Dashboard {
		o.Web = web.Files
	}
	return api.New(o)
}

func (a *Agent) newGRPC(cfg configs.API, token func() ([]byte, error), secure *tls.Config) (*servinggrpc.Server, error) {
	o := servinggrpc.Options{
		Models: &a.servables, TLS: secure, MaxMessage: int(cfg.MaxBody), MaxConnections: cfg.MaxConnections,
		MaxExamples: cfg.Requests.Queue, Decoder: a.decoder, Log: a.log.With("door", "gRPC"),
	}
	if token != nil {
		o.Auth = func(shown string) bool {
			t, err := token()
			return err == nil && len(t) >= api.MinTokenBytes && api.SameToken(shown, t)
		}
	}
	return servinggrpc.New(o)
}

// loopback tells whether an address that configs has checked is reached from
// this machine alone.
func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// startDoors has the doors open, each in a task of its own.
func (a *Agent) startDoors(doors []door) {
	a.doors, a.doorTasks = doors, nil
	for _, d := range doors {
		log := a.log.With("door", d.name, "listen", d.addr)
		a.doorTasks = append(a.doorTasks, a.tasks.start(d.name, doorBound, func(ctx context.Context) error { return d.run(ctx, log) }))
	}
}

// sameClients tells whether doors of the same configuration let the same callers
// in: the file with their authorities may be another one now.
func sameClients(a, b []door) bool {
	return slices.EqualFunc(a, b, func(a, b door) bool { return a.clients.Equal(b.clients) })
}

// run answers until ctx is done. A port that somebody else has is tried again
// for ever: nothing that looks at the device may keep it from its work.
func (d door) run(ctx context.Context, log *slog.Logger) error {
	retry := backoff.Backoff{Min: time.Second, Max: 30 * time.Second}
	said := ""
	for ctx.Err() == nil {
		began := time.Now()
		err := d.open(ctx, log)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New("it ended without a reason")
		}
		retry.Lasted(time.Since(began))
		if text := oneLine(err.Error()); text != said {
			said = text
			log.Error("nobody can ask here for now, trying again: is the port another program's?", "error", text)
		}
		if retry.Wait(ctx) != nil {
			return nil
		}
	}
	return nil
}

// open listens and answers.
func (d door) open(ctx context.Context, log *slog.Logger) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", d.addr)
	if err != nil {
		return err
	}
	scheme := "http"
	if d.tls != nil {
		ln, scheme = tls.NewListener(ln, d.tls), "https"
	}
	if d.name == "API" {
		log.Info("dashboard and API", "url", scheme+"://"+ln.Addr().String()+"/")
	} else {
		log.Info("answering", "address", ln.Addr().String())
	}
	return d.serve(ctx, ln)
}

// serverTLS is how the doors speak TLS; nil when they do not. The certificate is
// read anew when its file changes, as renewed ones are.
func serverTLS(cfg configs.APITLS, log *slog.Logger) (*tls.Config, error) {
	if cfg.CertFile == "" {
		return nil, nil
	}
	c := &certificate{cert: cfg.CertFile, key: cfg.KeyFile, log: log}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	if cfg.ClientCAFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(cfg.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("api.tls.client_ca_file: %w", err)
	}
	conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("api.tls.client_ca_file: %s holds no certificate in PEM form", cfg.ClientCAFile)
	}
	return conf, nil
}

// certificate is the server's, as its files are now. One that cannot be read
// leaves the last one in use.
type certificate struct {
	cert, key string // paths

	log *slog.Logger

	mu      sync.Mutex // guards all following fields
	loaded  *tls.Certificate
	changed time.Time // of the file that is loaded
	refused time.Time // of one that could not be
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && (c.loaded == nil || !info.ModTime().Equal(c.changed)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.loaded, c.changed, c.refused = &pair, info.ModTime(), time.Time{}
		} else if c.loaded != nil && !info.ModTime().Equal(c.refused) { // the key may come a moment later
			c.refused = info.ModTime()
			c.log.Warn("the renewed certificate cannot be used, going on with the old one", "file", c.cert, "error", err)
		}
	}
	if c.loaded == nil {
		return nil, fmt.Errorf("api.tls: %w", err)
	}
	return c.loaded, nil
}
