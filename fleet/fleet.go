// Package fleet is the operator's side of a rollout: it writes the one retained
// document that tells a cohort (or, as a pin, a device) which release to take,
// and reads what the devices report.
//
// It controls nothing: each device decides by itself, by the document and the
// signed metadata, and goes on when no operator is there. A change reads the
// document, writes the next one and reads it back. A broker has no locks, so of
// two operators at once the later one wins; the reading back is how the other
// one is told.
//
// Neither does it sign or hold releases (fleet/repo), nor install them.
package fleet

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/payload"
)

// Options say which broker, and which part of which fleet. Broker, Fleet and
// Cohort are required.
type Options struct {
	Broker   string // as in mqtt.Options
	Username string
	// Password is asked at every connect. Nil means none.
	Password func() (string, error)
	TLS      *tls.Config

	Fleet, Cohort string
	// Pin is a device: its own document is meant instead of the cohort's.
	Pin string
	// Timeout bounds one change, and one reading of the state. Zero means 30 s.
	Timeout time.Duration
	// MaxDevices bounds what Status and Watch keep. Zero means 100,000.
	MaxDevices int
}

// Desk is where an operator works. Its methods may be called from any goroutine;
// each makes a connection of its own.
type Desk struct {
	opts Options
	mqtt mqtt.Options
}

// New checks the options; it connects to nothing.
func New(o Options) (*Desk, error) {
	for _, id := range []struct{ what, value string }{{"fleet", o.Fleet}, {"cohort", o.Cohort}, {"device", o.Pin}} {
		if (id.what != "device" || id.value != "") && !payload.ValidID(id.value) {
			return nil, fmt.Errorf("%s %.100q must be 1 to 64 of A-Z a-z 0-9 _ -", id.what, id.value)
		}
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.MaxDevices <= 0 {
		o.MaxDevices = 100_000
	}
	d := &Desk{opts: o, mqtt: mqtt.Options{
		Broker: o.Broker, Username: o.Username, Password: o.Password, TLS: o.TLS,
		Topics: payload.Topics{Fleet: o.Fleet, Device: "operator"}, // of which nothing is published
	}}
	_, err := mqtt.New(d.mqtt, nil) // checks the address
	return d, err
}

// Topic is where the document is.
func (d *Desk) Topic() string {
	if d.opts.Pin != "" {
		return payload.Topics{Fleet: d.opts.Fleet, Device: d.opts.Pin}.Pin()
	}
	return payload.Desired(d.opts.Fleet, d.opts.Cohort)
}

// Scope is whom the document is for, in words.
func (d *Desk) Scope() string { return scope(d.opts.Cohort, d.opts.Pin) }

func scope(cohort, pin string) string {
	if pin != "" {
		return "device " + pin
	}
	return "cohort " + cohort
}

// ErrOverwritten: what is in force is not what was written.
var ErrOverwritten = errors.New("it is not in force")

// Change reads the document, writes what plan makes of it and reads that back.
// The line says what is in force now.
func (d *Desk) Change(ctx context.Context, plan Plan) (line string, err error) {
	err = d.connected(ctx, func(ctx context.Context, l *link) error {
		old, err := l.document(ctx, d.Topic())
		if err != nil {
			return err
		}
		next, err := plan(old)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Scope(), err)
		}
		if old.Problem == nil && old.Rollout == next {
			line = fmt.Sprintf("%s: %s already", d.Scope(), describe(next))
			return nil
		}
		if err := l.write(ctx, d.Topic(), next); err != nil {
			return err
		}
		line = fmt.Sprintf("%s: %s", d.Scope(), describe(next))
		return d.confirm(ctx, l, func(now Document) bool { return now.Problem == nil && now.Rollout == next })
	})
	if err != nil {
		return "", err
	}
	return line, nil
}

// Clear removes the document.
func (d *Desk) Clear(ctx context.Context) (line string, err error) {
	err = d.connected(ctx, func(ctx context.Context, l *link) error {
		old, err := l.document(ctx, d.Topic())
		if err != nil {
			return err
		}
		if len(old.Data) == 0 {
			line = d.Scope() + ": no rollout already"
			return nil
		}
		if err := l.publish(ctx, d.Topic(), nil); err != nil {
			return err
		}
		line = d.Scope() + ": no rollout any more, devices keep what they have"
		return d.confirm(ctx, l, func(now Document) bool { return len(now.Data) == 0 })
	})
	if err != nil {
		return "", err
	}
	return line, nil
}

// confirm reads the document once more and compares it.
func (d *Desk) confirm(ctx context.Context, l *link, ours func(Document) bool) error {
	now, err := l.document(ctx, d.Topic())
	if err != nil {
		return fmt.Errorf("written, but not read back: %w", err)
	}
	if ours(now) {
		return nil
	}
	is := "no rollout"
	if r, err := now.readable(); err == nil {
		is = describe(r)
	} else if !errors.Is(err, ErrNone) {
		is = "what cannot be read"
	}
	return fmt.Errorf("%s: written, but %w: somebody else wrote in between, or the broker does not let this user write; now it is %s", d.Scope(), ErrOverwritten, is)
}

// connected works on a connection of its own, within the timeout.
func (d *Desk) connected(ctx context.Context, fn func(context.Context, *link) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.opts.Timeout)
	defer cancel()
	l, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	return fn(ctx, l)
}

// dial connects under a client id of its own.
func (d *Desk) dial(ctx context.Context) (*link, error) {
	o := d.mqtt
	id := rand.Text()[:12] // the longest that every broker takes is 23
	o.ClientID = "egret-op-" + id
	client, lost, err := mqtt.Connect(ctx, o)
	if err != nil {
		return nil, err
	}
	return &link{client: client, lost: lost, marker: payload.Operator(d.opts.Fleet, id)}, nil
}
