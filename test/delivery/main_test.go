//go:build linux

// Package delivery proves the delivery guarantee with the outbox and the
// publisher themselves and a real broker: what was flushed or acknowledged
// arrives, whenever the process is killed and whatever the link or the disk
// does. Each test is short by itself and long with EGRET_SOAK=1.
package delivery

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/egret-edge/egret/internal/slowdown"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv("DELIVERY_CHILD"); mode != "" {
		os.Exit(child(mode))
	}
	goleak.VerifyTestMain(m)
}

// patience bounds a wait for something that must happen; it is no promise
// about how long that takes.
var patience = slowdown.Of(2 * time.Minute)

// rounds is how often a test does what it does.
func rounds(short, soak int) int {
	if os.Getenv("EGRET_SOAK") != "" {
		return soak
	}
	return short
}

var topics = payload.Topics{Fleet: "proof", Device: "dev"}

// prediction is the record seq of a boot, as it is appended. The same numbers
// give the same bytes, and a boot that came twice would give others: the
// camera names the round of the test.
func prediction(round int, boot, seq uint64) []byte {
	rng := rand.New(rand.NewPCG(boot, seq))
	return fmt.Appendf(nil, `{"id":%q,"device":"dev","boot":%d,"seq":%d,"camera":"round-%d","task":"classify",`+
		`"results":[{"index":%d,"label":"military uniform","score":%.4f}],"latency_us":{"wait":%d,"decode":%d,"invoke":%d}}`,
		payload.NewID(topics.Device, boot, seq), boot, seq, round,
		rng.IntN(1001), rng.Float32(), rng.IntN(500), rng.IntN(2000), rng.IntN(90000))
}

// unbalanced says how an account does not add up.
func unbalanced(s outbox.Stats) string {
	sum := s.Acknowledged + s.Held + s.Stored
	for _, n := range s.Dropped {
		sum += n
	}
	if s.Produced != sum {
		return fmt.Sprintf("account does not add up: %+v", s)
	}
	return ""
}
