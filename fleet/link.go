package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/release"
)

// link is one connection to the broker.
type link struct {
	client paho.Client
	lost   <-chan error
	marker string // a topic of this connection's own
}

func (l *link) close() { l.client.Disconnect(250) }

// How long to wait for more retained messages. No packet of MQTT 3.1.1 says that
// they have all come. A message of our own, sent after subscribing, comes back
// after them where a broker keeps the order; some fetch retained messages
// beside it, so a pause must follow. Without the right to write there is no such
// message: then only a longer pause tells.
const (
	pauseMarked   = 200 * time.Millisecond
	pauseUnmarked = 3 * time.Second
	// On a fleet that is busy there is no pause.
	longestPause = 5 * time.Second
)

// collect subscribes and gives fold all that comes, until the retained messages
// have come; the subscription stays, and fold is called on. enough may end the
// waiting earlier; nil means never. QoS 0: brokers drop most of a flood of
// retained messages at QoS 1.
func (l *link) collect(ctx context.Context, filters []string, fold func(paho.Message), enough func() bool) error {
	heard, marked := make(chan struct{}, 1), make(chan struct{})
	var once sync.Once
	mark := rand.Text()
	topics := map[string]byte{l.marker: 0}
	for _, f := range filters {
		topics[f] = 0
	}
	err := l.subscribe(ctx, topics, func(_ paho.Client, m paho.Message) {
		if m.Topic() == l.marker {
			if string(m.Payload()) == mark {
				once.Do(func() { close(marked) })
			}
			return
		}
		fold(m)
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	if err := l.send(ctx, l.marker, 0, false, []byte(mark)); err != nil {
		return err
	}
	return l.settle(ctx, heard, marked, enough)
}

// settle waits until nothing more comes.
func (l *link) settle(ctx context.Context, heard, marked <-chan struct{}, enough func() bool) error {
	pause := pauseUnmarked
	quiet := time.NewTimer(pause)
	defer quiet.Stop()
	var longest <-chan time.Time
	for {
		select {
		case <-heard:
			quiet.Reset(pause)
		case <-marked:
			marked, pause, longest = nil, pauseMarked, time.After(longestPause)
			quiet.Reset(pause)
		case <-quiet.C:
			return nil
		case <-longest:
			return nil
		case err := <-l.lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-ctx.Done():
			return timeout(ctx, "read what the broker holds")
		}
		if enough != nil && enough() {
			return nil
		}
	}
}

func timeout(ctx context.Context, doing string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: not done in time, try a longer --timeout", doing)
	}
	return fmt.Errorf("%s: %w", doing, ctx.Err())
}

// document reads what is retained under topic, with a subscription of its own.
func (l *link) document(ctx context.Context, topic string) (Document, error) {
	var mu sync.Mutex // guards data and kept
	var data []byte
	kept := false // the broker says that this is what it holds
	err := l.collect(ctx, []string{topic}, func(m paho.Message) {
		mu.Lock()
		defer mu.Unlock()
		data, kept = m.Payload(), kept || m.Retained()
	}, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return kept
	})
	if err == nil {
		err = l.await(ctx, "unsubscribe", func() paho.Token { return l.client.Unsubscribe(topic, l.marker) })
	}
	if err != nil {
		return Document{}, err
	}
	mu.Lock()
	defer mu.Unlock()
	return parseDocument(data), nil
}

// write publishes a document, retained.
func (l *link) write(ctx context.Context, topic string, r release.Rollout) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the rollout: %w", err)
	}
	// What a device would refuse is not written.
	if _, err := release.ParseRollout(data); err != nil {
		return err
	}
	return l.publish(ctx, topic, data)
}

// publish writes a retained message and waits until the broker has it.
func (l *link) publish(ctx context.Context, topic string, data []byte) error {
	if err := l.send(ctx, topic, 1, true, data); err != nil {
		return fmt.Errorf("%w: may this user write %s?", err, topic)
	}
	return nil
}

func (l *link) send(ctx context.Context, topic string, qos byte, retained bool, data []byte) error {
	return l.await(ctx, "write to the broker", func() paho.Token { return l.client.Publish(topic, qos, retained, data) })
}

func (l *link) subscribe(ctx context.Context, topics map[string]byte, handler paho.MessageHandler) error {
	var token paho.Token
	err := l.await(ctx, "subscribe", func() paho.Token {
		token = l.client.SubscribeMultiple(topics, handler)
		return token
	})
	if err != nil {
		return err
	}
	for topic, qos := range token.(*paho.SubscribeToken).Result() {
		if qos == refused && topic != l.marker {
			return fmt.Errorf("the broker does not let this user read %s: look at its access rules", topic)
		}
	}
	return nil
}

// refused is SUBACK's answer to a filter (MQTT 3.1.1, 3.9.3).
const refused = 0x80

// await waits for what the broker acknowledges. Paho may block before it gives
// the token, on a link that takes nothing.
func (l *link) await(ctx context.Context, doing string, begin func() paho.Token) error {
	done := make(chan error, 1)
	go func() {
		token := begin()
		<-token.Done() // at the latest when ctx ends, which closes the connection
		done <- token.Error()
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return nil
	case err := <-l.lost:
		return fmt.Errorf("%s: connection lost: %w", doing, err)
	case <-ctx.Done():
		return timeout(ctx, doing)
	}
}
