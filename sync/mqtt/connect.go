package mqtt

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Connect makes one connection for a program that is no device: it announces
// nothing and leaves no will. It ends with ctx, or when the caller disconnects
// it, and does not come back by itself; lost then gets the reason, unless it was
// the caller. End ctx when you are done: what belongs to the connection goes with
// it. Address, certificates, password and the words of errors are a
// Client's. Give it a client id of its own, or the broker will throw the real
// client out.
func Connect(ctx context.Context, opts Options) (client paho.Client, lost <-chan error, err error) {
	c, err := New(opts, nil)
	if err != nil {
		return nil, nil, err
	}
	// Dialling and the answer to CONNECT have ConnectTimeout each, and say more
	// when it is over than this does.
	attempt, cancel := context.WithTimeout(ctx, 2*c.opts.ConnectTimeout+time.Second)
	defer cancel()
	s := &session{c: c, lost: make(chan error, 1)}
	// What hangs is closed when the attempt ends, and later with ctx.
	life, end := context.WithCancel(ctx)
	o, err := c.pahoOptions(attempt, life, s)
	if err != nil {
		end()
		return nil, nil, err
	}
	// Paho would send the retain bit of the will that there is not, and a strict
	// broker closes the connection on it (MQTT 3.1.1, 3.1.2.7).
	o.UnsetWill().WillRetained = false
	client = paho.NewClient(o)
	if err := c.connected(ctx, attempt, client.Connect()); err != nil {
		end()
		client.Disconnect(0) // paho's goroutines end with it
		return nil, nil, fmt.Errorf("broker %s: %w", redacted(c.broker), err)
	}
	context.AfterFunc(ctx, end) // for vet: ctx ends life anyway
	return client, s.lost, nil
}

// connected waits for the broker's answer. The token of an attempt that was given
// up is not read: paho still writes to it.
func (c *Client) connected(ctx, attempt context.Context, token paho.Token) error {
	select {
	case <-token.Done():
		// What ctx cut off has the words of a closed connection.
		err := token.Error()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			return c.refused(token, err)
		}
	case <-attempt.Done():
	}
	return plainError{"no answer in time: are address and port right, and is the broker well?", ctx.Err()}
}
