// Package broker is a small MQTT broker inside the agent, so that one box
// alone is complete: a person can subscribe to it without installing another.
//
// It listens on loopback only, since it knows no passwords, and keeps nothing
// over a restart. It is not for more than one machine: use Mosquitto there.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Limits that no honest client on one box reaches; they bound the memory.
const (
	maxClients    = 64
	maxPacket     = 1 << 20
	maxPending    = 1024 // messages waiting for one slow client
	maxInflight   = 1024
	sessionExpiry = 60 * 60 // seconds
)

// Options configure a Broker.
type Options struct {
	// Listen is "host:port" on loopback. Empty means 127.0.0.1:1883; port 0
	// lets the system pick.
	Listen string
	// Logger may be nil.
	Logger *slog.Logger
}

// Broker is an embedded broker. Use it once: New, Listen, Run.
type Broker struct {
	opts   Options
	server *mochi.Server
	ln     net.Listener
}

// New checks the options and starts nothing. An address that other machines
// can reach is refused.
func New(opts Options) (*Broker, error) {
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:1883"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := checkLoopback(opts.Listen); err != nil {
		return nil, err
	}
	return &Broker{opts: opts}, nil
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("embedded broker: %q is not host:port: %w", addr, err)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("embedded broker: %q is not on loopback: it has no passwords, so use 127.0.0.1, or an external broker for other machines", addr)
}

// Listen binds the address, so that a failure is known before Run. Run calls
// it if nobody has.
func (b *Broker) Listen() error {
	if b.ln != nil {
		return nil
	}
	ln, err := net.Listen("tcp", b.opts.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("embedded broker: %s is in use: stop the other broker (is Mosquitto running?), use it by setting mqtt.embedded to false, or choose another port: %w", b.opts.Listen, err)
	}
	if err != nil {
		return fmt.Errorf("embedded broker: listen on %s: %w", b.opts.Listen, err)
	}
	b.ln = ln
	return nil
}

// Addr is the bound "host:port", or "" before Listen.
func (b *Broker) Addr() string {
	if b.ln == nil {
		return ""
	}
	return b.ln.Addr().String()
}

// Run serves until ctx ends; then it tells its clients and closes. What was
// retained is forgotten.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.Listen(); err != nil {
		return err
	}
	b.server = newServer(b.opts.Logger)
	if err := b.server.AddHook(new(allow), nil); err != nil {
		return errors.Join(fmt.Errorf("embedded broker: %w", err), b.ln.Close())
	}
	tcp := &clients{Listener: listeners.NewNet("egret", b.ln)}
	if err := b.server.AddListener(tcp); err != nil {
		return errors.Join(fmt.Errorf("embedded broker: %w", err), b.ln.Close())
	}
	if err := b.server.Serve(); err != nil {
		return errors.Join(fmt.Errorf("embedded broker: %w", err), b.server.Close())
	}
	b.opts.Logger.Info("embedded broker listens", "address", b.Addr())
	<-ctx.Done()
	if err := b.server.Close(); err != nil {
		return fmt.Errorf("embedded broker: close: %w", err)
	}
	return nil
}

func newServer(log *slog.Logger) *mochi.Server {
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumClients = maxClients
	caps.MaximumPacketSize = maxPacket
	caps.MaximumClientWritesPending = maxPending
	caps.MaximumInflight = maxInflight
	caps.MaximumSessionExpiryInterval = sessionExpiry
	// What is retained stays: mochi measures a message's age by the wall clock,
	// and would drop all of them when that is set, and a quiet device's status
	// after a day.
	caps.MaximumMessageExpiryInterval = 0
	return mochi.New(&mochi.Options{
		Capabilities: caps,
		Logger:       slog.New(quiet{log.Handler()}),
	})
}

// clients is mochi's listener with its own end of a connection not reported as
// an error: every lost client would be one.
type clients struct{ listeners.Listener }

// Serve hands each connection to the server.
func (c *clients) Serve(establish listeners.EstablishFn) {
	c.Listener.Serve(func(id string, conn net.Conn) error {
		if err := establish(id, conn); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	})
}

// quiet passes on mochi's warnings and errors only; its information is about
// its own starting and stopping.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// allow lets everyone in: only this machine can reach the listener.
type allow struct{ mochi.HookBase }

// ID implements mochi.Hook.
func (*allow) ID() string { return "allow" }

// Provides implements mochi.Hook.
func (*allow) Provides(b byte) bool { return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck }

// OnConnectAuthenticate implements mochi.Hook.
func (*allow) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

// OnACLCheck implements mochi.Hook.
func (*allow) OnACLCheck(*mochi.Client, string, bool) bool { return true }
