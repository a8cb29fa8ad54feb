package mqtt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/payload"
)

// Request is a command as it came.
type Request struct {
	Name string
	Body []byte
}

// Inbox is a bounded queue of commands. It outlives the clients that fill it,
// one at a time. Make it with NewInbox; any goroutine may use it.
type Inbox struct {
	queue             chan Request
	refused, retained atomic.Uint64
}

// NewInbox makes an inbox for n commands that wait.
func NewInbox(n int) *Inbox { return &Inbox{queue: make(chan Request, n)} }

// Requests is where the commands come out.
func (b *Inbox) Requests() <-chan Request { return b.queue }

// Refused counts the commands that came when the inbox was full, or were too
// large.
func (b *Inbox) Refused() uint64 { return b.refused.Load() }

// Retained counts the retained commands. They are ignored: the broker would
// send them again after each connect.
func (b *Inbox) Retained() uint64 { return b.retained.Load() }

// maxTurned bounds the refusals that wait to be answered; what comes faster is
// only counted.
const maxTurned = 16

// subscribe asks for the device's commands and documents, and drops the answers
// to those of the connection before.
func (s *session) subscribe(life context.Context) error {
	for len(s.c.outgoing) > 0 {
		<-s.c.outgoing
	}
	if s.c.opts.Inbox != nil {
		if err := s.subscribeTo(life, s.c.opts.Topics.Command("+"), s.receive); err != nil {
			return err
		}
	}
	if d := s.c.opts.Documents; d != nil {
		for _, topic := range d.topics {
			if err := s.subscribeTo(life, topic, d.receive); err != nil {
				return err
			}
		}
	}
	return nil
}

// subscribeTo waits for the SUBACK. A broker that does not allow it costs what
// would come on the topic and nothing else.
func (s *session) subscribeTo(life context.Context, topic string, handler paho.MessageHandler) error {
	handed := make(chan paho.Token, 1)
	go func() { handed <- s.client.Subscribe(topic, 1, handler) }()
	var token paho.Token
	select {
	case token = <-handed:
	case err := <-s.lost:
		return lostError(err)
	case <-life.Done():
		return errors.New("shut down while the link took nothing")
	}
	if !token.WaitTimeout(s.c.opts.AckTimeout) {
		return errAckTimeout
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	const refusal = 0x80 // MQTT 3.1.1, 3.9.3
	if t, ok := token.(*paho.SubscribeToken); ok && t.Result()[topic] == refusal {
		s.c.opts.Logger.Warn("the broker refuses a subscription, going on without it", "topic", topic)
	}
	return nil
}

// receive is paho's handler: whatever it waited for would stall the client.
func (s *session) receive(_ paho.Client, m paho.Message) {
	inbox := s.c.opts.Inbox
	if m.Retained() {
		inbox.retained.Add(1)
		return
	}
	if len(m.Payload()) > payload.MaxCommandBytes {
		inbox.refused.Add(1)
		return
	}
	topic := m.Topic()
	r := Request{Name: topic[strings.LastIndexByte(topic, '/')+1:], Body: bytes.Clone(m.Payload())}
	select {
	case inbox.queue <- r:
		return
	default:
		inbox.refused.Add(1)
	}
	select {
	case s.turned <- r:
	default:
	}
}

// refuse answers a command that there was no room for.
func (s *session) refuse(life context.Context, r Request) error {
	cmd, _ := payload.ParseCommand(r.Name, r.Body) // only its id is of interest
	if cmd.ID == "" || len(s.sent) >= maxSent {
		return nil
	}
	body, err := json.Marshal(payload.Reply{ID: cmd.ID, Command: cmd.Name, Error: "too many commands at once"})
	if err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	return s.send(life, Message{Topic: s.c.opts.Topics.Reply(cmd.ID), Payload: body})
}
