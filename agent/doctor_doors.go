package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/egret-edge/egret/agent/checkup"
	"github.com/egret-edge/egret/sync/mqtt"
)

// credentialFolder is where systemd shows the service's credentials, to it and
// to root.
const credentialFolder = "/run/credentials/egret.service"

// errCredential is for a secret that only the service has.
var errCredential = errors.New("only the running service has it: start it, and run the doctor as root")

// secretFile is the file of a secret that may be a systemd credential of the
// service, which the doctor is not part of.
func (d *doctor) secretFile(file, credential string) (string, error) {
	if credential == "" || os.Getenv("CREDENTIALS_DIRECTORY") != "" {
		return file, nil
	}
	path := filepath.Join(credentialFolder, credential)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the credential %s: %w", credential, errCredential)
	}
	return path, nil
}

func (d *doctor) checkBroker(ctx context.Context) checkup.Verdict {
	cfg := d.cfg
	if !cfg.MQTT.Enabled {
		return checkup.Of("off (mqtt.enabled: false): predictions stay on this device", nil)
	}
	if cfg.MQTT.Embedded {
		return checkup.Of("embedded, on "+cfg.MQTT.EmbeddedListen, nil)
	}
	file, err := d.secretFile(cfg.MQTT.PasswordFile, cfg.MQTT.PasswordCredential)
	if err != nil {
		return checkup.Verdict{Level: checkup.Warn, Detail: "not tried, for the password: " + err.Error()}
	}
	if file != cfg.MQTT.PasswordFile {
		cfg.MQTT.PasswordFile, cfg.MQTT.PasswordCredential = file, ""
	}
	o, err := ClientOptions(cfg)
	if err != nil {
		return checkup.Of("", err)
	}
	// Another name than the agent's, or the broker would throw the agent out.
	o.ClientID += "-doctor"
	start := time.Now()
	if err := mqtt.Try(ctx, o); err != nil {
		return checkup.Of("", fmt.Errorf("%w%s", err, brokerHint(ctx, BrokerURL(cfg), err)))
	}
	return checkup.Of(fmt.Sprintf("%s accepted us after %v", BrokerURL(cfg), time.Since(start).Round(time.Millisecond)), nil)
}

// brokerHint is what to do about a broker that is not there, for the end of the
// error's line.
func brokerHint(ctx context.Context, broker string, err error) string {
	u, parseErr := url.Parse(broker)
	if parseErr != nil {
		return ""
	}
	host := u.Hostname()
	if _, lookup := net.DefaultResolver.LookupHost(ctx, host); lookup != nil {
		return fmt.Sprintf("; the name %s is not known here: getent hosts %s, or write its address (a name in .local needs libnss-mdns)", host, host)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return "; no broker runs on this machine: sudo apt install mosquitto, or set mqtt.broker"
		}
	}
	return ""
}

// checkAPI tells whether the agent can answer, and who does.
func (d *doctor) checkAPI(ctx context.Context) checkup.Verdict {
	cfg := d.cfg.API
	file, err := d.secretFile(cfg.TokenFile, cfg.TokenCredential)
	if err != nil {
		return checkup.Verdict{Level: checkup.Warn, Detail: doorsOf(cfg) + "; for the token: " + err.Error()}
	}
	if file != cfg.TokenFile {
		cfg.TokenFile, cfg.TokenCredential = file, ""
	}
	if err := CheckAPI(cfg); err != nil {
		return checkup.Of("", err)
	}
	switch {
	case !cfg.Enabled && !cfg.GRPC.Enabled:
		return checkup.Of("off", nil)
	case d.agent != nil:
		return checkup.Of(fmt.Sprintf("%s, the agent (%s) answers and is up since %s", doorsOf(cfg), d.agent.Version, d.agent.since()), nil)
	case d.agentErr != nil && (!cfg.Enabled || cfg.TLS.ClientCAFile != ""):
		return checkup.Of(fmt.Sprintf("%s, an agent runs and cannot be asked: %v", doorsOf(cfg), d.agentErr), nil)
	case d.agentErr != nil:
		return checkup.Verdict{Level: checkup.Warn, Detail: fmt.Sprintf("%s, an agent runs and does not answer: %v%s", doorsOf(cfg), d.agentErr, d.intruder(cfg.Listen))}
	}
	for _, door := range []struct {
		on   bool
		addr string
	}{{cfg.Enabled, cfg.Listen}, {cfg.GRPC.Enabled, cfg.GRPC.Listen}} {
		if !door.on {
			continue
		}
		if err := canListen(ctx, door.addr); err != nil {
			return checkup.Of("", fmt.Errorf("%w%s", err, d.taken(door.addr)))
		}
	}
	return checkup.Of(doorsOf(cfg), nil)
}

func canListen(ctx context.Context, addr string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

// intruder is taken, unless it is the agent itself that has the port.
func (d *doctor) intruder(addr string) string {
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text) // 0 is nobody's
	if h, ok := d.Listener(port); ok && slices.Contains(d.Holders(filepath.Join(d.cfg.StateDir, OutboxFile)), h) {
		return ""
	}
	return d.taken(addr)
}

// taken names who listens at a port, for the end of an error's line.
func (d *doctor) taken(addr string) string {
	_, text, _ := net.SplitHostPort(addr)
	port, err := strconv.Atoi(text)
	if err != nil {
		return ""
	}
	switch h, ok := d.Listener(port); {
	case !ok:
		return ""
	case h.Name == "":
		return "; another program has the port: sudo ss -ltnp names it; stop it, or choose another address"
	default:
		return fmt.Sprintf("; %s has the port: stop it, or choose another address", h)
	}
}
