package mqtt

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// maxInFlight: Mosquitto's default window is 20 and paho has been seen to lose
// its way with more than a few dozen.
const maxInFlight = 32

// maxPayload bounds one predictions message: what hosted brokers commonly
// allow (128 KiB), less the packet's own bytes.
const maxPayload = 128<<10 - 1<<10

// Options configure a Client. Broker and Topics are required.
type Options struct {
	// Broker is scheme://host[:port]; the scheme is tcp or mqtt (port 1883),
	// ssl, tls or mqtts (8883), ws (80) or wss (443). User and password in it
	// are used when Username is empty, and never logged.
	Broker string
	// ClientID must be unique at the broker. Empty means egret-<device>.
	ClientID string
	Username string
	// Password is asked at every attempt, so that a file may be rotated. Nil
	// means none.
	Password func() (string, error)
	// TLS is for the encrypted schemes; nil trusts the system's authorities.
	TLS *tls.Config
	// Topics name the device.
	Topics  payload.Topics
	Boot    uint64
	Version string

	KeepAlive      time.Duration // zero means 30 s
	ConnectTimeout time.Duration // zero means 15 s
	// AckTimeout is how long the next PUBACK may take before the connection
	// counts as broken. Zero means 20 s.
	AckTimeout time.Duration
	// DrainTimeout is how long Run goes on sending when its context has
	// ended. Zero means 2 s.
	DrainTimeout time.Duration
	// RetryMin and RetryMax bound the back-off between attempts. Zero means
	// 1 s and 120 s.
	RetryMin, RetryMax time.Duration

	BatchRecords int // per message; zero means 64
	BatchBytes   int // per message; zero means 64 KiB, at most 127 KiB
	MaxInFlight  int // unacknowledged messages; zero means 16, at most 32

	// Announce is asked after each connect for what is to be published before
	// anything but the status, in order and at QoS 1; Announced is called when
	// the broker has acknowledged all of it. Run's goroutine calls both. Nil
	// means nothing.
	Announce  func() []Message
	Announced func()
	// Inbox gets the commands for this device. Nil: none are subscribed to.
	Inbox *Inbox
	// Documents gets what others wrote for this device. Nil: nothing is
	// subscribed to.
	Documents *Documents
	// Rewrite may change a prediction just before it is sent, into one of about
	// the same size; it must not write to rec, which stays in the queue as it
	// was. Nil changes nothing.
	Rewrite func(rec []byte) []byte

	// Logs is published as it comes. Nil: nothing of the log is.
	Logs *LogQueue

	// Logger may be nil.
	Logger *slog.Logger
	// LocalLogger gets what is said of the connection itself, which must not end
	// up in Logs: each failure to publish would be one more thing to publish.
	// Nil means Logger.
	LocalLogger *slog.Logger
}

func (o Options) withDefaults() (Options, *url.URL, error) {
	broker, err := parseBroker(o.Broker)
	if err != nil {
		return o, nil, err
	}
	if !payload.ValidID(o.Topics.Fleet) || !payload.ValidID(o.Topics.Device) {
		return o, nil, fmt.Errorf("mqtt: fleet %q and device %q must be 1 to 64 of A-Z a-z 0-9 _ -", o.Topics.Fleet, o.Topics.Device)
	}
	if o.ClientID == "" {
		o.ClientID = "egret-" + o.Topics.Device
	}
	o.KeepAlive = orDefault(o.KeepAlive, 30*time.Second)
	o.ConnectTimeout = orDefault(o.ConnectTimeout, 15*time.Second)
	o.AckTimeout = orDefault(o.AckTimeout, 20*time.Second)
	o.DrainTimeout = orDefault(o.DrainTimeout, 2*time.Second)
	o.RetryMin = orDefault(o.RetryMin, time.Second)
	o.RetryMax = max(orDefault(o.RetryMax, 120*time.Second), o.RetryMin)
	o.BatchRecords = orDefault(o.BatchRecords, 64)
	o.BatchBytes = min(orDefault(o.BatchBytes, 64<<10), maxPayload)
	o.MaxInFlight = min(orDefault(o.MaxInFlight, 16), maxInFlight)
	if o.Rewrite == nil {
		o.Rewrite = func(rec []byte) []byte { return rec }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LocalLogger == nil {
		o.LocalLogger = o.Logger
	}
	return o, broker, nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// defaultPorts are the schemes that are known, with IANA's ports.
var defaultPorts = map[string]string{
	"tcp": "1883", "mqtt": "1883", "ssl": "8883", "tls": "8883", "mqtts": "8883", "ws": "80", "wss": "443",
}

func encrypted(scheme string) bool {
	return scheme != "ws" && defaultPorts[scheme] != "1883"
}

// parseBroker reads a broker's address and adds the scheme's port. Its errors
// never repeat the address: there may be a password in it.
func parseBroker(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("mqtt: no broker given; try tcp://127.0.0.1:1883")
	}
	if len(s) > 2048 {
		return nil, errors.New("mqtt: the broker's address is longer than 2048 bytes")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("mqtt: the broker's address is not a URL; write it as tcp://host:1883")
	}
	port, known := defaultPorts[u.Scheme]
	if !known {
		return nil, fmt.Errorf("mqtt: the broker's address must begin with tcp://, mqtt://, tls://, ssl://, mqtts://, ws:// or wss://, not %q", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("mqtt: the broker's address names no host; write it as tcp://host:1883")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// redacted is how a broker is named in logs and errors.
func redacted(u *url.URL) string {
	c := *u
	c.User, c.RawQuery, c.Fragment = nil, "", ""
	return c.String()
}
