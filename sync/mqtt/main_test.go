package mqtt

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/egret-edge/egret/internal/slowdown"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

var _ Queue = (*outbox.Outbox)(nil)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var topics = payload.Topics{Fleet: "test", Device: "cam-7"}

// patience bounds a wait for something that must happen; it is no promise
// about how long that takes.
var patience = slowdown.Of(60 * time.Second)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func newOutbox(t testing.TB) *outbox.Outbox {
	t.Helper()
	o, err := outbox.Open(outbox.Options{Path: filepath.Join(t.TempDir(), "outbox.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func appendN(t testing.TB, o *outbox.Outbox, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		if err := o.Append(fmt.Appendf(nil, `{"id":"cam-7/1/%d","seq":%d}`, i, i)); err != nil {
			t.Fatal(err)
		}
	}
}

// subscriber is another program at the broker. It survives the broker.
type subscriber struct {
	back     chan struct{} // subscribed once more
	mu       sync.Mutex
	seqs     map[int]int // predictions' seq → times seen
	order    []int       // first time seen
	batches  []int
	bad      []string
	statuses []payload.Status
	others   map[string][]string
}

func subscribe(t *testing.T, addr string) *subscriber {
	t.Helper()
	s := &subscriber{back: make(chan struct{}, 16), seqs: map[int]int{}, others: map[string][]string{}}
	opts := paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("subscriber").
		SetAutoReconnect(true).SetMaxReconnectInterval(50 * time.Millisecond).SetOrderMatters(true)
	opts.SetOnConnectHandler(func(c paho.Client) {
		token := c.Subscribe("egret/v1/test/#", 1, s.receive)
		go func() { <-token.Done(); s.back <- struct{}{} }()
	})
	c := paho.NewClient(opts)
	token := c.Connect()
	<-token.Done()
	if token.Error() != nil {
		t.Fatal(token.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	<-s.back
	return s
}

func (s *subscriber) receive(_ paho.Client, m paho.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.Topic() {
	case topics.Predictions():
		var batch []struct{ Seq int }
		if err := json.Unmarshal(m.Payload(), &batch); err != nil {
			s.bad = append(s.bad, err.Error())
		}
		s.batches = append(s.batches, len(batch))
		for _, p := range batch {
			if s.seqs[p.Seq]++; s.seqs[p.Seq] == 1 {
				s.order = append(s.order, p.Seq)
			}
		}
	case topics.Status():
		var st payload.Status
		if err := json.Unmarshal(m.Payload(), &st); err != nil {
			s.bad = append(s.bad, err.Error())
		}
		s.statuses = append(s.statuses, st)
	default:
		s.others[m.Topic()] = append(s.others[m.Topic()], string(m.Payload()))
	}
}

func (s *subscriber) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seqs)
}

func (s *subscriber) status() payload.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.statuses) == 0 {
		return payload.Status{}
	}
	return s.statuses[len(s.statuses)-1]
}

func (s *subscriber) other(topic string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.others[topic]...)
}

// verify wants predictions 0 to n-1, first seen in order: lanes is 1, or 2 where
// new ones went before a backlog; 0 wants no order.
func (s *subscriber) verify(t *testing.T, n, lanes int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bad {
		t.Errorf("payload that does not parse: %s", b)
	}
	if len(s.seqs) != n {
		t.Errorf("%d different predictions, want %d", len(s.seqs), n)
	}
	last := slices.Repeat([]int{-1}, lanes) // of each lane, the farthest first
	for i, seq := range s.order {
		lane := slices.IndexFunc(last, func(l int) bool { return seq > l })
		if lane < 0 {
			if lanes > 0 {
				t.Fatalf("prediction %d came as number %d", seq, i)
			}
			continue
		}
		last[lane] = seq
	}
}

// link is a TCP proxy that can be cut and stalled.
type link struct {
	ln   net.Listener
	to   string
	wg   sync.WaitGroup
	mu   sync.Mutex // guards all following fields
	open map[net.Conn]bool
	// deaf forwards nothing from the broker to the client: a PUBACK is lost.
	deaf bool
	down bool // refuses connections
	// serve has what connects in the broker's place; nil when all is well.
	serve  func(client net.Conn)
	served int
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{ln: ln, to: to, open: map[net.Conn]bool{}}
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		l.cut()
		l.wg.Wait()
	})
	return l
}

func (l *link) accept() {
	for {
		client, err := l.ln.Accept()
		if err != nil {
			return
		}
		if l.misserved(client) {
			continue
		}
		broker, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		l.mu.Lock()
		if l.down {
			_, _ = client.Close(), broker.Close()
			l.mu.Unlock()
			continue
		}
		l.open[client], l.open[broker] = true, true
		l.mu.Unlock()
		l.wg.Go(func() { l.pump(broker, client, false) })
		l.wg.Go(func() { l.pump(client, broker, true) })
	}
}

func (l *link) pump(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		swallow := answers && l.deaf
		l.mu.Unlock()
		if swallow {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Close()
	}
	clear(l.open)
}

func (l *link) setDeaf(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = on
}

func (l *link) setDown(on bool) {
	l.mu.Lock()
	l.down = on
	l.mu.Unlock()
	if on {
		l.cut()
	}
}
