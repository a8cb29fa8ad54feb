package mqtt

import (
	"context"
	"errors"
	"fmt"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Message is one message at QoS 1.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
}

// MaxMessage is the largest payload that Publish takes; see maxPayload.
const MaxMessage = maxPayload

const (
	// maxOutgoing bounds what waits: snapshots of a hundred kilobytes each.
	maxOutgoing = 16
	// maxSent bounds the messages without an acknowledgement. Together with
	// the predictions' they stay below what brokers take at once.
	maxSent = 4
)

var (
	errNotConnected = errors.New("there is no connection to the broker")
	errBusy         = errors.New("too many messages wait for the broker")
)

// Publish sends a message at QoS 1 soon, on the present connection only: what
// answers a request is of no use much later. It never waits.
func (c *Client) Publish(m Message) error {
	switch {
	case len(m.Payload) > MaxMessage:
		return fmt.Errorf("a message of %d bytes is too large: at most %d", len(m.Payload), MaxMessage)
	case !c.State().Connected:
		return errNotConnected
	}
	select {
	case c.outgoing <- m:
		return nil
	default:
		return errBusy
	}
}

// sent are messages that the broker has not acknowledged yet, oldest first.
type sent []paho.Token

func (s sent) oldest() <-chan struct{} {
	if len(s) == 0 {
		return nil
	}
	return s[0].Done()
}

func (s *sent) done() error {
	err := (*s)[0].Error()
	*s = (*s)[1:]
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// outgoing is what is to be sent next; nil while enough is under way.
func (s *session) outgoing() <-chan Message {
	if len(s.sent) >= maxSent {
		return nil
	}
	return s.c.outgoing
}

func (s *session) send(life context.Context, m Message) error {
	token, err := s.publish(life, m.Topic, 1, m.Retained, m.Payload)
	if err == nil {
		s.sent = append(s.sent, token)
	}
	return err
}

// introduce publishes what each connection begins with.
func (s *session) introduce(life context.Context) error {
	if s.c.opts.Announce == nil {
		return nil
	}
	for _, m := range s.c.opts.Announce() {
		token, err := s.publish(life, m.Topic, 1, m.Retained, m.Payload)
		if err != nil {
			return err
		}
		if !token.WaitTimeout(s.c.opts.AckTimeout) {
			return errAckTimeout
		}
		if err := token.Error(); err != nil {
			return fmt.Errorf("publish %s: %w", m.Topic, err)
		}
	}
	if s.c.opts.Announced != nil {
		s.c.opts.Announced()
	}
	return nil
}
