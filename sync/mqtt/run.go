package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/internal/backoff"
	"github.com/egret-edge/egret/sync/payload"
)

// refusedError is a CONNACK that says no: trying again soon cannot help.
type refusedError struct{ code byte }

// refusals are the return codes of MQTT 3.1.1, table 3.1.
var refusals = map[byte]string{
	1: "the broker does not speak MQTT 3.1.1",
	2: "the broker refuses this client id",
	3: "the broker is not available",
	4: "the broker refuses the user name or password",
	5: "the broker does not authorise this client",
}

func (e refusedError) Error() string { return refusals[e.code] }

// Run connects, publishes and reconnects until ctx ends; then it goes on
// sending for at most DrainTimeout, says that the device is offline, and
// returns nil. A broker that is away is no error.
func (c *Client) Run(ctx context.Context) error {
	retry := backoff.Backoff{Min: c.opts.RetryMin, Max: c.opts.RetryMax}
	atCap := backoff.Backoff{Min: c.opts.RetryMax, Max: c.opts.RetryMax, Floor: c.opts.RetryMax / 2}
	watch := outage{log: c.opts.LocalLogger, broker: redacted(c.broker), clientID: c.opts.ClientID}
	for ctx.Err() == nil {
		up, err := c.attempt(ctx, &watch)
		c.setConnected(false, err)
		if ctx.Err() != nil {
			return nil
		}
		watch.down(err)
		if up > 0 {
			watch.short(up, err)
			retry.Lasted(up)
		}
		wait := &retry
		var no refusedError
		if errors.As(err, &no) && no.code != 3 {
			wait = &atCap
		}
		if wait.Wait(ctx) != nil {
			return nil
		}
	}
	return nil
}

// attempt is one connection from dialling to its end. up is how long it was
// established.
func (c *Client) attempt(ctx context.Context, watch *outage) (up time.Duration, err error) {
	c.countAttempt()
	// life ends with the attempt, and DrainTimeout after ctx at the latest:
	// it closes the connection under whatever hangs.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	s := &session{c: c, lost: make(chan error, 1), window: newWindow(c.opts.MaxInFlight), turned: make(chan Request, maxTurned)}
	opts, err := c.pahoOptions(ctx, life, s)
	if err != nil {
		return 0, err
	}
	s.client = paho.NewClient(opts)
	// Always, even after a failure: paho's goroutines end with it.
	defer s.client.Disconnect(250)
	token := s.client.Connect()
	select {
	case <-token.Done():
	case <-ctx.Done():
		end()
		return 0, ctx.Err()
	}
	if err := token.Error(); err != nil {
		return 0, c.refused(token, err)
	}
	began := time.Now()
	c.setConnected(true, nil)
	watch.up()
	stopLimit := context.AfterFunc(ctx, func() { time.AfterFunc(c.opts.DrainTimeout+farewell, end) })
	defer stopLimit()
	err = s.run(ctx, life)
	return max(time.Since(began), 1), err
}

// refused is the plain reason of a failed attempt: the broker's own, or the
// network's without the words that paho puts before it.
func (c *Client) refused(token paho.Token, err error) error {
	if t, ok := token.(*paho.ConnectToken); ok && refusals[t.ReturnCode()] != "" {
		return refusedError{code: t.ReturnCode()}
	}
	var plain plainError
	if errors.As(err, &plain) {
		return plain
	}
	var dialled dialError
	if errors.As(err, &dialled) {
		return dialled
	}
	return plainHandshake(err, c.broker, c.opts.TLS)
}

func (c *Client) pahoOptions(ctx, life context.Context, s *session) (*paho.ClientOptions, error) {
	user, password, err := c.credentials()
	if err != nil {
		return nil, err
	}
	will, err := c.status(payload.Offline, "lost", nil)
	if err != nil {
		return nil, err
	}
	o := paho.NewClientOptions().
		AddBroker("tcp://"+c.broker.Host). // a name only: see the custom open function
		SetClientID(c.opts.ClientID).
		SetUsername(user).SetPassword(password).
		SetProtocolVersion(4). // or a refusal is tried again as MQTT 3.1
		SetAutoReconnect(false).SetConnectRetry(false).SetCleanSession(true).
		SetKeepAlive(c.opts.KeepAlive).SetPingTimeout(c.opts.AckTimeout).
		SetConnectTimeout(c.opts.ConnectTimeout).SetWriteTimeout(c.opts.AckTimeout).
		SetBinaryWill(c.opts.Topics.Status(), will, 1, true).
		SetConnectionLostHandler(func(_ paho.Client, err error) {
			select {
			case s.lost <- err:
			default:
			}
		})
	o.SetCustomOpenConnectionFn(func(_ *url.URL, _ paho.ClientOptions) (net.Conn, error) {
		conn, err := dial(ctx, c.broker, c.opts.TLS, c.opts.ConnectTimeout)
		if err != nil {
			return nil, dialError{err}
		}
		w := &wire{Conn: conn}
		context.AfterFunc(life, func() { _ = w.Close() })
		s.wire = w
		return w, nil
	})
	return o, nil
}

func (c *Client) credentials() (user, password string, err error) {
	user = c.opts.Username
	if user == "" && c.broker.User != nil {
		user = c.broker.User.Username()
		password, _ = c.broker.User.Password()
	}
	if c.opts.Password == nil {
		return user, password, nil
	}
	if password, err = c.opts.Password(); err != nil {
		return "", "", fmt.Errorf("mqtt password: %w", err)
	}
	return user, password, nil
}

func (c *Client) status(state, reason string, since *time.Time) ([]byte, error) {
	buf, err := json.Marshal(payload.Status{
		State: state, Reason: reason, Device: c.opts.Topics.Device,
		Boot: c.opts.Boot, Version: c.opts.Version, Since: since,
	})
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	return buf, nil
}
