package mqtt

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// dial opens the connection under MQTT. Paho could do it, but would neither
// stop when ctx ends nor let us cut a connection that hangs.
func dial(ctx context.Context, u *url.URL, cfg *tls.Config, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if encrypted(u.Scheme) {
		cfg = tlsFor(u, cfg)
	}
	switch u.Scheme {
	case "ws", "wss":
		plain := *u
		plain.User = nil // gorilla/websocket refuses it
		conn, err := paho.NewWebsocket(plain.String(), cfg, timeout, nil, nil)
		if err != nil && u.Scheme == "wss" {
			err = plainTLS(err, cfg, time.Now())
		}
		return conn, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil || !encrypted(u.Scheme) {
		return conn, err
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error says more
		return nil, plainTLS(err, cfg, time.Now())
	}
	return secure, nil
}

func tlsFor(u *url.URL, cfg *tls.Config) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	cfg = cfg.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = u.Hostname()
	}
	return cfg
}
