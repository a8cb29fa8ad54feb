package mqtt

import (
	"context"
	"errors"
	"fmt"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Try connects once, as a Client would, and disconnects: it tells whether
// address, certificates and password are right. It publishes nothing. Give it
// a client id of its own, or the broker will throw the real client out.
func Try(ctx context.Context, opts Options) error {
	c, err := New(opts, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	o, err := c.pahoOptions(ctx, ctx, &session{c: c, lost: make(chan error, 1)})
	if err != nil {
		return err
	}
	o.UnsetWill()
	client := paho.NewClient(o)
	defer client.Disconnect(0)
	token := client.Connect()
	select {
	case <-token.Done():
		err = token.Error()
	case <-ctx.Done():
		err = errors.New("no answer in time")
	}
	if err != nil {
		return fmt.Errorf("broker %s: %w", redacted(c.broker), c.refused(token, err))
	}
	return nil
}
