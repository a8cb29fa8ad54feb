//go:build linux

package delivery

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// collector is a consumer with a session of its own at the broker, which is
// never killed: what a kill -9 takes from a broker is not the agent's loss.
type collector struct {
	mu      sync.Mutex
	got     map[id]string
	again   int      // came more than once
	changed []string // came again as something else, or was not JSON
}

func collect(t *testing.T, addr string) *collector {
	t.Helper()
	c := &collector{got: map[id]string{}}
	subscribed := make(chan struct{}, 1)
	opts := paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("collector").
		SetCleanSession(false).SetAutoReconnect(true).SetMaxReconnectInterval(100 * time.Millisecond).
		SetOrderMatters(true).SetPingTimeout(patience).SetDefaultPublishHandler(c.take)
	opts.SetOnConnectHandler(func(client paho.Client) {
		token := client.Subscribe(topics.Predictions(), 1, c.take)
		go func() {
			<-token.Done()
			select {
			case subscribed <- struct{}{}:
			default:
			}
		}()
	})
	client := paho.NewClient(opts)
	t.Cleanup(func() { client.Disconnect(100) })
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("collector: %v", token.Error())
	}
	select {
	case <-subscribed:
	case <-time.After(patience):
		t.Fatal("the collector cannot subscribe")
	}
	return c
}

func (c *collector) take(_ paho.Client, m paho.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var batch []json.RawMessage
	if err := json.Unmarshal(m.Payload(), &batch); err != nil {
		c.changed = append(c.changed, err.Error())
	}
	for _, raw := range batch {
		var p struct{ Boot, Seq uint64 }
		if err := json.Unmarshal(raw, &p); err != nil {
			c.changed = append(c.changed, err.Error())
		}
		i := id{p.Boot, p.Seq}
		before, seen := c.got[i]
		switch {
		case !seen:
			c.got[i] = string(raw)
		case before != string(raw):
			c.changed = append(c.changed, string(raw))
		default:
			c.again++
		}
	}
}

func (c *collector) has(want map[id]bool) (missing int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range want {
		if _, ok := c.got[i]; !ok {
			missing++
		}
	}
	return missing
}
