package agent

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/payload"
)

// ClientOptions is the broker connection that cfg describes, for the daemon
// and for `egret doctor`.
func ClientOptions(cfg configs.Config) (mqtt.Options, error) {
	m := cfg.MQTT
	o := mqtt.Options{
		Broker: BrokerURL(cfg), ClientID: m.ClientID, Username: m.Username,
		Topics:    payload.Topics{Fleet: cfg.Fleet, Device: cfg.Device},
		KeepAlive: time.Duration(m.KeepAlive), ConnectTimeout: time.Duration(m.ConnectTimeout),
	}
	if o.ClientID == "" {
		o.ClientID = "egret-" + cfg.Fleet + "-" + cfg.Device
	}
	var err error
	if o.Password, err = passwordSource(m); err != nil {
		return o, err
	}
	if o.TLS, err = tlsConfig(o.Broker, m.TLS); err != nil {
		return o, err
	}
	return o, nil
}

// BrokerURL is where the agent publishes: its own broker when it embeds one.
func BrokerURL(cfg configs.Config) string {
	if cfg.MQTT.Embedded {
		return "tcp://" + cfg.MQTT.EmbeddedListen
	}
	return cfg.MQTT.Broker
}

func tlsConfig(broker string, t configs.TLS) (*tls.Config, error) {
	u, err := url.Parse(broker)
	if err != nil {
		return nil, fmt.Errorf("mqtt.broker: %w", err)
	}
	switch u.Scheme {
	case "ssl", "tls", "mqtts", "wss":
		return mqtt.TLSConfig(mqtt.TLSFiles{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile})
	}
	return nil, nil
}

// passwordSource reads the password anew at every call, so that a rotated one
// is used at the next connection. The file must be readable now.
func passwordSource(m configs.MQTT) (func() (string, error), error) {
	return secretSource("MQTT password", "mqtt.password_credential", m.PasswordFile, m.PasswordCredential)
}

// newClient makes the publisher that cfg asks for; nil when MQTT is off.
func (a *Agent) newClient(cfg configs.Config) (*mqtt.Client, error) {
	if !cfg.MQTT.Enabled {
		return nil, nil
	}
	o, err := ClientOptions(cfg)
	if err != nil {
		return nil, err
	}
	o.Boot, o.Version, o.Logger = a.box.Boot(), a.opts.Version, a.log
	o.Logs, o.LocalLogger = a.remoteLog.queue, a.opts.Log
	d := a.newDiscovery(cfg)
	o.Announce, o.Announced = d.messages, d.acknowledged
	if cfg.MQTT.Commands {
		o.Inbox = a.commander.inbox
	}
	o.Rewrite = newCorrector(a.clock.state).rewrite
	o.Documents = a.updates.documents
	return mqtt.New(o, a.confirmer)
}

// startClient makes c (nil for none) the publisher.
func (a *Agent) startClient(c *mqtt.Client) {
	a.client.Store(c)
	a.clientTask = nil
	if c != nil {
		a.documents = a.updates.documents
		if msg := a.reported.Load(); msg != nil {
			c.Report(*msg)
		}
		a.clientTask = a.tasks.start("mqtt", clientBound, c.Run)
	}
}
