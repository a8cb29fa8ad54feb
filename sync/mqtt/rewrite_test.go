package mqtt

import (
	"bytes"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/mosquitto"
)

// TestRewriteIsOfWhatIsSentOnly: predictions and cameras' latest are rewritten
// on their way; what the queue holds stays.
func TestRewriteIsOfWhatIsSentOnly(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{})
	o := newOutbox(t)
	appendN(t, o, 0, 100)
	sub := subscribe(t, b.Addr())
	c := run(t, "tcp://"+b.Addr(), o, func(opts *Options) {
		opts.BatchRecords = 7
		opts.Rewrite = func(rec []byte) []byte { return bytes.ReplaceAll(rec, []byte(`"seq":`), []byte(`"seq":1000`)) }
	})
	c.Latest("front", []byte(`{"seq":0}`))
	eventually(t, "acknowledged", func() bool { return o.Stats().Acknowledged == 100 })
	eventually(t, "delivered", func() bool { return sub.count() == 100 && len(sub.other(topics.Camera("front"))) > 0 })
	if got := strings.Join(sub.other(topics.Camera("front")), ","); got != `{"seq":10000}` {
		t.Errorf("latest %s", got)
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for i, seq := range sub.order {
		if want := i + 10000; i < 10 && seq != want || seq < 10000 {
			t.Fatalf("record %d came as %d", i, seq)
		}
	}
}
