//go:build linux

package delivery

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/test/mosquitto"
)

// TestKilledAtAnyMoment kills an agent's outbox and publisher with kill -9 at
// random moments, with the broker there, away, or coming and going. What they
// had flushed, or had acknowledged, arrives; what arrives is what was
// appended; and what is missing of a boot is its end only.
func TestKilledAtAnyMoment(t *testing.T) {
	seed := uint64(1)
	if s := os.Getenv("EGRET_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	k := newKiller(t, seed)
	n := rounds(15, 300)
	for round := 1; round <= n && !t.Failed(); round++ {
		k.round(round)
	}
	k.drain()
	k.verify()
	t.Logf("%d rounds, seed %d, weather %v: %d starts; %d predictions appended, %d flushed, %d acknowledged, %d promised, %d received, %d of them again, %d lost that were never flushed; %d promised ones missing",
		n, seed, k.weather.counts, k.ledger.lastBoot, sum(k.ledger.appended), sum(k.ledger.flushed), len(k.ledger.acked),
		len(k.promised), len(k.collector.got), k.collector.again, sum(k.ledger.appended)-uint64(len(k.collector.got)), k.collector.has(k.promised))
}

type killer struct {
	t         *testing.T
	rng       *rand.Rand
	dir       string
	weather   *weather
	ledger    *ledger
	collector *collector
	promised  map[id]bool
}

func newKiller(t *testing.T, seed uint64) *killer {
	broker := mosquitto.Start(t, mosquitto.Config{Persistence: true})
	c := collect(t, broker.Addr())
	rng := rand.New(rand.NewPCG(seed, 9))
	return &killer{
		t: t, rng: rng, dir: t.TempDir(), ledger: newLedger(t), collector: c,
		weather: &weather{rng: rng, broker: broker, link: newLink(t, broker.Addr()), counts: map[string]int{}},
	}
}

// start starts a child; the channel gives its end.
func (k *killer) start(mode string, round int) (*exec.Cmd, <-chan error) {
	k.t.Helper()
	self, err := os.Executable()
	if err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "DELIVERY_CHILD="+mode, "DELIVERY_DIR="+k.dir,
		"DELIVERY_BROKER="+k.weather.link.addr(), "DELIVERY_ROUND="+strconv.Itoa(round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		k.ledger.read(round, out)
		ended <- cmd.Wait()
	}()
	return cmd, ended
}

func (k *killer) round(round int) {
	cmd, ended := k.start("append", round)
	lasts := time.Duration(k.rng.IntN(900)) * time.Millisecond
	if k.rng.IntN(5) == 0 {
		lasts /= 10 // while it opens the outbox, or soon after
	}
	k.weather.blow(k.rng.IntN(kinds), lasts)
	if err := cmd.Process.Kill(); err != nil {
		k.t.Errorf("round %d: it had ended before it was killed: %v", round, err)
	}
	<-ended // it was killed: that is its error
	if s := k.stats(); len(s.Dropped) > 0 || s.Produced < sum(k.ledger.flushed) {
		k.t.Errorf("round %d: account %+v", round, s)
	}
	// Nothing was set aside, and nothing is left behind that piles up.
	if files, _ := os.ReadDir(k.dir); len(files) > 3 {
		k.t.Errorf("round %d: in the folder: %v", round, files)
	}
}

// stats is the account of the file; it adds up at any time.
func (k *killer) stats() outbox.Stats {
	k.t.Helper()
	s, err := outbox.Inspect(filepath.Join(k.dir, "outbox.db"))
	if errors.Is(err, os.ErrNotExist) {
		return s // killed before there was a file
	}
	if err != nil {
		k.t.Fatal(err)
	}
	if msg := unbalanced(s); msg != "" {
		k.t.Error(msg)
	}
	return s
}

// drain has a last child deliver what is left.
func (k *killer) drain() {
	k.t.Helper()
	k.weather.calm()
	cmd, ended := k.start("drain", 0)
	select {
	case err := <-ended:
		if err != nil || !k.ledger.drained {
			k.t.Fatalf("the last child: %v", err)
		}
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
		k.t.Fatalf("the last child does not drain: %+v", k.stats())
	}
	k.promised = k.ledger.promised()
	for deadline := time.Now().Add(patience); k.collector.has(k.promised) > 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
}

func (k *killer) verify() {
	k.t.Helper()
	s, l, c := k.stats(), k.ledger, k.collector
	if s.Stored != 0 || len(s.Dropped) > 0 || s.Produced != s.Acknowledged {
		k.t.Errorf("account at the end: %+v", s)
	}
	if missing := c.has(k.promised); missing > 0 {
		k.t.Errorf("%d of %d predictions that were flushed or acknowledged are missing", missing, len(k.promised))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, bad := range c.changed {
		k.t.Errorf("came changed: %s", bad)
	}
	for i, got := range c.got {
		if want := string(prediction(l.rounds[i.boot], i.boot, i.seq)); got != want {
			k.t.Errorf("%d/%d is %s, appended was %s", i.boot, i.seq, got, want)
		}
		if i.seq > l.appended[i.boot] {
			k.t.Errorf("%d/%d arrived and was never appended", i.boot, i.seq)
		}
	}
	// What is new overtakes the backlog, so the order is no promise; but
	// together a kill takes nothing but a boot's end.
	for i := range c.got {
		if _, ok := c.got[id{i.boot, i.seq - 1}]; !ok && i.seq > 1 {
			k.t.Errorf("%d/%d arrived, the one before it did not", i.boot, i.seq)
		}
	}
}
