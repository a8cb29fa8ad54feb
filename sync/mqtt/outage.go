package mqtt

import (
	"errors"
	"log/slog"
	"time"
)

const (
	// repeatEvery is how often an outage that lasts is mentioned again.
	repeatEvery = 10 * time.Minute
	// shortLife: a broker closes the elder of two connections with one client
	// id. A session that it ends sooner than this, time after time, is that.
	shortLife     = 10 * time.Second
	takeoverAfter = 3
)

// outage logs when the broker goes and comes: once each, repeats counted.
type outage struct {
	log              *slog.Logger
	broker, clientID string

	since    time.Time
	said     time.Time
	reason   string
	failures int
	shorts   int
}

func (o *outage) down(err error) {
	if o.since.IsZero() {
		o.since = time.Now()
	}
	o.failures++
	var no refusedError
	var plain plainError
	if errors.As(err, &no) && o.reason != err.Error() {
		o.log.Warn("broker "+o.broker+" refuses the connection, keeping results: "+err.Error(), "broker", o.broker)
	} else if o.said.IsZero() || errors.As(err, &plain) && o.reason != err.Error() {
		o.log.Warn("broker "+o.broker+" unreachable, keeping results until it is back: "+err.Error(), "broker", o.broker)
	} else if time.Since(o.said) < repeatEvery {
		return
	} else {
		o.log.Warn("broker still away", "broker", o.broker, "attempts", o.failures,
			"for", time.Since(o.since).Round(time.Second), "last", err)
	}
	o.said, o.reason = time.Now(), err.Error()
}

func (o *outage) up() {
	if o.since.IsZero() {
		o.log.Info("connected to broker", "broker", o.broker)
	} else {
		o.log.Info("connected to broker again", "broker", o.broker, "attempts", o.failures,
			"away", time.Since(o.since).Round(time.Millisecond))
	}
	o.since, o.said, o.reason, o.failures = time.Time{}, time.Time{}, "", 0
}

// short notes a session that the broker closed soon after it began.
func (o *outage) short(lasted time.Duration, err error) {
	if lasted >= shortLife || !closedByPeer(err) {
		o.shorts = 0
		return
	}
	o.shorts++
	if o.shorts%takeoverAfter == 0 {
		o.log.Warn("the broker keeps closing the connection soon after it is made: is another client using the same client id?",
			"broker", o.broker, "client_id", o.clientID, "times", o.shorts)
	}
}
