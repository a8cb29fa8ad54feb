package mqtt

import "context"

// Try connects once, as a Client would, and disconnects: it tells whether
// address, certificates and password are right. It publishes nothing. Give it
// a client id of its own, or the broker will throw the real client out.
func Try(ctx context.Context, opts Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, _, err := Connect(ctx, opts)
	if err != nil {
		return err
	}
	client.Disconnect(0)
	return nil
}
