package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/test/mosquitto"
)

// step is what happens to a message: how its connection ended, or "ack".
type step struct {
	how     string
	first   uint64
	records int
}

func repeat(n int, s step) []step {
	var out []step
	for range n {
		out = append(out, s)
	}
	return out
}

func join(parts ...[]step) (all []step) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestPoison(t *testing.T) {
	msg, alone := step{"closed", 10, 64}, step{"closed", 10, 1}
	suspect := repeat(2, msg)
	for name, tt := range map[string]struct {
		steps   []step
		refused []uint64
		careful int
	}{
		"once":                       {[]step{msg}, nil, 0},
		"twice is suspicious":        {suspect, nil, 64},
		"another message each time":  {[]step{msg, {"closed", 11, 64}, msg, {"closed", 11, 64}}, nil, 0},
		"acknowledged between":       {[]step{msg, {"ack", 10, 64}, msg}, nil, 0},
		"a time-out between":         {[]step{msg, {"other", 10, 64}, msg}, nil, 0},
		"four tries alone":           {join(suspect, repeat(4, alone)), nil, 64},
		"five tries alone":           {join(suspect, repeat(5, alone)), []uint64{10}, 63},
		"the first is not the one":   {join(suspect, []step{{"ack", 10, 1}}, repeat(5, step{"closed", 11, 1})), []uint64{11}, 62},
		"a time-out while alone":     {join(suspect, repeat(4, alone), []step{{"other", 10, 1}}, repeat(4, alone)), nil, 64},
		"passes at the fifth":        {join(suspect, repeat(4, alone), []step{{"ack", 10, 1}}, repeat(4, step{"closed", 11, 1})), nil, 63},
		"all pass alone":             {join(suspect, repeat(64, step{"ack", 10, 1})), nil, 0},
		"the second needs ten tries": {join(suspect, repeat(5, alone), repeat(9, step{"closed", 11, 1})), []uint64{10}, 63},
		"the second after ten tries": {join(suspect, repeat(5, alone), repeat(10, step{"closed", 11, 1})), []uint64{10, 11}, 62},
		"the second after an ack": {join(suspect, repeat(5, alone), []step{{"ack", 11, 1}},
			repeat(5, step{"closed", 12, 1})), []uint64{10, 12}, 61},
	} {
		t.Run(name, func(t *testing.T) {
			var p poison
			var refused []uint64
			for _, s := range tt.steps {
				switch s.how {
				case "ack":
					p.acknowledged(s.first)
				case "other":
					p.other()
				case "closed":
					if p.closed(s.first, s.records, 1000*s.records) {
						refused = append(refused, s.first)
						p.refused()
					}
				}
			}
			if fmt.Sprint(refused) != fmt.Sprint(tt.refused) || p.careful != tt.careful {
				t.Errorf("refused %v, careful %d; want %v, %d", refused, p.careful, tt.refused, tt.careful)
			}
		})
	}
}

// A broker that closes on everything does not empty the queue soon.
func TestPoisonDoublesItsPatience(t *testing.T) {
	var p poison
	tries := 0
	for seq := range uint64(20) {
		for done := false; !done; tries++ {
			done = p.closed(seq+1, 1, 100)
		}
		p.refused()
	}
	if tries < 2000 {
		t.Errorf("20 records were refused after %d connections", tries)
	}
}

func TestMessagesThatAreTooLargeAreHalved(t *testing.T) {
	var p poison
	for range 2 {
		p.closed(1, 3, 60_000)
	}
	if n, _, w := p.limits(64, 64_000, 16); n != 1 || w != 1 {
		t.Errorf("careful means %d records and %d messages", n, w)
	}
	for i := range uint64(3) {
		p.acknowledged(i + 1)
	}
	if n, b, w := p.limits(64, 64_000, 16); n != 64 || b != 30_000 || w != 16 {
		t.Errorf("then %d records, %d bytes, %d messages", n, b, w)
	}
	for range growAfter {
		p.acknowledged(100)
	}
	if _, b, _ := p.limits(64, 64_000, 16); b != 60_000 {
		t.Errorf("later %d bytes", b)
	}
}

func TestByPeer(t *testing.T) {
	for _, err := range []error{io.EOF, fmt.Errorf("read: %w", syscall.ECONNRESET), &net.OpError{Err: os.NewSyscallError("write", syscall.EPIPE)}, errors.New("websocket: close 1009")} {
		if !byPeer(err) {
			t.Errorf("%v is the broker's doing", err)
		}
	}
	for _, err := range []error{net.ErrClosed, os.ErrDeadlineExceeded, syscall.ETIMEDOUT, &net.OpError{Err: os.NewSyscallError("read", syscall.EHOSTUNREACH)}} {
		if byPeer(err) {
			t.Errorf("%v is not the broker's doing", err)
		}
	}
}

// What was never sent cannot be what the broker closed on.
func TestNoBlameForWhatWasNotSent(t *testing.T) {
	o := newOutbox(t)
	appendN(t, o, 0, 1)
	c, err := New(Options{Broker: "tcp://127.0.0.1:1", Topics: topics}, o)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		b, ok := o.Take(1, 1000)
		if !ok {
			t.Fatal("the record is gone")
		}
		s := &session{c: c, inflight: []*flight{{batch: b}}, wire: &wire{ended: io.EOF}}
		s.blame(t.Context(), io.EOF)
		s.release()
	}
	if c.poison != (poison{}) {
		t.Errorf("remembered %+v", c.poison)
	}
}

// picky stands before a broker and ends the connection when it is sent the
// marked text.
type picky struct {
	*link
	marked string
	mu     sync.Mutex
	closes int
}

func newPicky(t *testing.T, to, marked string) *picky {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &picky{link: &link{ln: ln, to: to, open: map[net.Conn]bool{}}, marked: marked}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *picky) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.link.mu.Lock()
		p.open[client], p.open[broker] = true, true
		p.link.mu.Unlock()
		p.wg.Go(func() { p.inspect(broker, client) })
		p.wg.Go(func() { p.pump(client, broker, true) })
	}
}

// closed is how often it closed a connection.
func (p *picky) closed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closes
}

// inspect forwards from the client; the last bytes of a piece are looked at
// again with the next, where the marked text may end.
func (p *picky) inspect(broker, client net.Conn) {
	defer broker.Close()
	defer client.Close()
	buf, seen := make([]byte, 32<<10), []byte(nil)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		seen = append(seen, buf[:n]...)
		if bytes.Contains(seen, []byte(p.marked)) {
			p.mu.Lock()
			p.closes++
			p.mu.Unlock()
			return
		}
		seen = seen[max(0, len(seen)-len(p.marked)):]
		if _, err := broker.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestPoisonEndsAsADeadLetter: all other records arrive in order, the one on
// which the broker closes is set aside, the account adds up, and it can be sent
// again by hand.
func TestPoisonEndsAsADeadLetter(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		path := filepath.Join(t.TempDir(), "outbox.db")
		o, err := outbox.Open(outbox.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		const n, bad = 400, 137
		appendN(t, o, 0, n)
		sub := subscribe(t, s.Addr())
		p := newPicky(t, s.Addr(), fmt.Sprintf(`"seq":%d}`, bad))
		c := run(t, "tcp://"+p.ln.Addr().String(), o, func(opts *Options) { opts.BatchRecords, opts.MaxInFlight = 10, 4 })
		eventually(t, "all others acknowledged", func() bool { return o.Stats().Acknowledged == n-1 })
		eventually(t, "all others delivered", func() bool { return sub.count() == n-1 })
		c.stop()
		if st := o.Stats(); st.Dropped[outbox.DroppedRefused] != 1 || st.Produced != n || st.Held+st.Stored != 0 {
			t.Errorf("account: %+v", st)
		}
		if n := p.closed(); n < 7 || n > 40 {
			t.Errorf("closed %d times", n)
		}
		if got := strings.Count(c.log.String(), "kept as a dead letter"); got != 1 {
			t.Errorf("said %d times:\n%s", got, c.log)
		}
		sub.mu.Lock()
		for i, seq := range sub.order {
			want := i
			if i >= bad {
				want++
			}
			if seq != want {
				t.Fatalf("prediction %d came as number %d, want %d", seq, i, want)
			}
		}
		sub.mu.Unlock()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		var letters []outbox.Letter
		if err := outbox.DeadLetters(path, func(l outbox.Letter) error { letters = append(letters, l); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(letters) != 1 || letters[0].Seq != bad+1 || !strings.HasPrefix(letters[0].Reason, "the broker closed the connection 5 times when it was sent: ") {
			t.Fatalf("dead letters: %+v", letters)
		}
		again, err := outbox.Open(outbox.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if st := again.Stats(); st.Dropped[outbox.DroppedRefused] != 1 || st.Acknowledged != n-1 || st.Stored != 0 {
			t.Errorf("account after a restart: %+v", st)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err := outbox.Retry(path); n != 1 || err != nil {
			t.Fatalf("retried %d, %v", n, err)
		}
		if again, err = outbox.Open(outbox.Options{Path: path}); err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		run(t, "tcp://"+s.Addr(), again, nil) // a broker that does take it
		eventually(t, "the last delivered", func() bool { return sub.count() == n })
		eventually(t, "and acknowledged", func() bool { return again.Stats().Acknowledged == n })
	})
}

// TestBrokerWithALimit: Mosquitto closes on what is too large for it. Records
// that fit arrive, in messages that fit; the one that does not is set aside.
func TestBrokerWithALimit(t *testing.T) {
	s := mosquitto.Start(t, mosquitto.Config{MaxPacket: 1000}) // which it forgets over WebSocket
	o := newOutbox(t)
	appendN(t, o, 0, 100)
	if err := o.Append(fmt.Appendf(nil, `{"seq":100,"pad":"%s"}`, strings.Repeat("x", 2000))); err != nil {
		t.Fatal(err)
	}
	appendN(t, o, 101, 100)
	c := run(t, "tcp://"+s.Addr(), o, nil)
	eventually(t, "all others acknowledged", func() bool { return o.Stats().Acknowledged == 200 })
	eventually(t, "one refused", func() bool { return o.Stats().Dropped[outbox.DroppedRefused] == 1 })
	c.stop()
	if c.poison.bytes == 0 || c.poison.bytes > 2000 {
		t.Errorf("messages have up to %d bytes", c.poison.bytes)
	}
}

// TestCutLinkRefusesNothing: what ends connections at random costs no record.
func TestCutLinkRefusesNothing(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		o := newOutbox(t)
		const n = 2000
		appendN(t, o, 0, n)
		l := newLink(t, s.Addr())
		sub := subscribe(t, s.Addr())
		c := run(t, "tcp://"+l.ln.Addr().String(), o, func(opts *Options) { opts.BatchRecords, opts.MaxInFlight = 5, 4 })
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range 10 {
			want := min(i*n/10+rng.IntN(n/10), n)
			eventually(t, "some of it", func() bool { return sub.count() >= want })
			l.cut()
			attempts := c.State().Attempts
			eventually(t, "noticed or done", func() bool { return c.State().Attempts > attempts || c.State().Connected })
		}
		eventually(t, "all acknowledged", func() bool { return o.Stats().Acknowledged == n })
		eventually(t, "all delivered", func() bool { return sub.count() == n })
		sub.verify(t, n, 2)
		if st := o.Stats(); len(st.Dropped) != 0 {
			t.Errorf("account: %+v", st)
		}
	})
}

// TestNoBlameWithoutTheBrokersDoing: a link that goes deaf again and again with
// the same record in flight ends in time-outs, which refuse nothing.
func TestNoBlameWithoutTheBrokersDoing(t *testing.T) {
	s := &embedded{t: t, addr: "127.0.0.1:0"}
	s.Restart()
	t.Cleanup(s.Stop)
	o := newOutbox(t)
	l := newLink(t, s.Addr())
	sub := subscribe(t, s.Addr())
	c := run(t, "tcp://"+l.ln.Addr().String(), o, func(opts *Options) { opts.AckTimeout = 100 * time.Millisecond })
	for i := range 10 {
		eventually(t, "announced", func() bool { return c.State().Connected })
		l.setDeaf(true)
		appendN(t, o, i, 1)
		attempts := c.State().Attempts
		eventually(t, "given up", func() bool { return c.State().Attempts > attempts })
		l.setDeaf(false)
		l.cut()
	}
	eventually(t, "all acknowledged", func() bool { return o.Stats().Acknowledged == 10 })
	eventually(t, "all delivered", func() bool { return sub.count() == 10 })
	if st := o.Stats(); len(st.Dropped) != 0 {
		t.Errorf("account: %+v", st)
	}
}
