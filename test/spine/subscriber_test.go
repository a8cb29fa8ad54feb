package spine

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/payload"
)

// subscriber is a consumer as docs/CONTRACTS.md describes one: it deduplicates
// by id. It connects anew whenever the broker comes back.
type subscriber struct {
	t      *testing.T
	client paho.Client

	mu         sync.Mutex
	byID       map[string]payload.Prediction
	duplicates int
	latest     map[string]payload.Prediction // by topic
	status     []payload.Status
	telemetry  []payload.Telemetry
	logs       []payload.Log
	more       chan struct{}
}

func subscribe(t *testing.T, url string) *subscriber {
	t.Helper()
	s := &subscriber{
		t: t, byID: map[string]payload.Prediction{}, latest: map[string]payload.Prediction{},
		more: make(chan struct{}, 1),
	}
	topics := map[string]byte{"egret/v1/+/dev/+/#": 1}
	o := paho.NewClientOptions().AddBroker(url).SetClientID("subscriber").SetCleanSession(false).
		SetAutoReconnect(true).SetMaxReconnectInterval(100 * time.Millisecond).
		SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).SetOrderMatters(true)
	subscribed := make(chan struct{}, 16)
	o.SetOnConnectHandler(func(c paho.Client) {
		go func() {
			if tok := c.SubscribeMultiple(topics, s.take); tok.WaitTimeout(patience) && tok.Error() == nil {
				subscribed <- struct{}{}
			}
		}()
	})
	s.client = paho.NewClient(o)
	s.client.Connect()
	t.Cleanup(func() { s.client.Disconnect(0) })
	select {
	case <-subscribed:
	case <-time.After(patience):
		t.Fatalf("cannot subscribe at %s", url)
	}
	return s
}

func (s *subscriber) take(_ paho.Client, m paho.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch leaf := leafOf(m.Topic()); leaf {
	case "predictions":
		var batch []payload.Prediction
		err = json.Unmarshal(m.Payload(), &batch)
		for _, p := range batch {
			if _, seen := s.byID[p.ID]; seen {
				s.duplicates++
			}
			s.byID[p.ID] = p
		}
	case "status":
		err = appendJSON(&s.status, m.Payload())
	case "telemetry":
		err = appendJSON(&s.telemetry, m.Payload())
	case "log":
		err = appendJSON(&s.logs, m.Payload())
	default:
		var p payload.Prediction
		err = json.Unmarshal(m.Payload(), &p)
		s.latest[m.Topic()] = p
	}
	if err != nil {
		s.t.Errorf("%s: %v in %s", m.Topic(), err, m.Payload())
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func appendJSON[T any](to *[]T, data []byte) error {
	var v T
	err := json.Unmarshal(data, &v)
	*to = append(*to, v)
	return err
}

// leafOf is what follows the device in a topic: egret/v1/<fleet>/dev/<device>/<leaf>.
func leafOf(topic string) string {
	slashes := 0
	for i := range topic {
		if topic[i] == '/' {
			if slashes++; slashes == 5 {
				return topic[i+1:]
			}
		}
	}
	return ""
}

// wait blocks until ok holds of what was received; ok is called with the lock
// held.
func (s *subscriber) wait(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		done, n := ok(), len(s.byID)
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.more:
		case <-deadline:
			s.t.Fatalf("never received %s (%d predictions so far)", what, n)
		}
	}
}

func (s *subscriber) waitCount(n int) {
	s.t.Helper()
	s.wait(fmt.Sprintf("%d predictions", n), func() bool { return len(s.byID) >= n })
}

// complete checks that the predictions of one boot are there from 1 to the
// highest without a gap, and returns how many.
func (s *subscriber) complete(device string, boot uint64) (n uint64) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	have := uint64(0)
	for _, p := range s.byID {
		if p.Boot == boot {
			have++
			n = max(n, p.Seq)
		}
	}
	for seq := uint64(1); seq <= n; seq++ {
		if _, ok := s.byID[payload.NewID(device, boot, seq)]; !ok {
			s.t.Errorf("prediction %d of boot %d is missing", seq, boot)
		}
	}
	if have != n {
		s.t.Errorf("boot %d: %d predictions, highest number %d", boot, have, n)
	}
	return n
}
