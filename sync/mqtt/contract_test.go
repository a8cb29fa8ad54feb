package mqtt

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/mqtt/broker"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/mosquitto"
)

// server is a broker under test: the same suite runs over each.
type server interface {
	Addr() string
	Stop()
	Restart()
}

type embedded struct {
	t     *testing.T
	addr  string
	end   context.CancelFunc
	ended chan error
}

func (e *embedded) Addr() string { return e.addr }

func (e *embedded) Restart() {
	e.t.Helper()
	b, err := broker.New(broker.Options{Listen: e.addr})
	if err != nil {
		e.t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.addr, e.end, e.ended = b.Addr(), cancel, make(chan error, 1)
	go func() { e.ended <- b.Run(ctx) }()
}

func (e *embedded) Stop() {
	if e.end == nil {
		return
	}
	e.end()
	if err := <-e.ended; err != nil {
		e.t.Error(err)
	}
	e.end = nil
}

func eachBroker(t *testing.T, fn func(t *testing.T, s server)) {
	t.Run("mosquitto", func(t *testing.T) { fn(t, mosquitto.Start(t, mosquitto.Config{})) })
	t.Run("embedded", func(t *testing.T) {
		e := &embedded{t: t, addr: "127.0.0.1:0"}
		e.Restart()
		t.Cleanup(e.Stop)
		fn(t, e)
	})
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// running is a client under test.
type running struct {
	*Client
	log  *logBuffer
	stop func() // ends Run and waits for it; may be called twice
}

func run(t *testing.T, url string, q Queue, change func(*Options)) running {
	t.Helper()
	log := &logBuffer{}
	opts := Options{
		Broker: url, Topics: topics, Boot: 3, Version: "test",
		RetryMin: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond,
		AckTimeout: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(&opts)
	}
	c, err := New(opts, q)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { stop(); handedOver(t) })
	return running{c, log, stop}
}

// handedOver waits for messages that paho was being given when a connection
// broke: it lets go of them after the write timeout only, which looks like a
// leak to a test that ends before.
func handedOver(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	eventually(t, "paho lets go of its messages", func() bool {
		return !bytes.Contains(buf[:runtime.Stack(buf, true)], []byte("golang.(*client).Publish("))
	})
}

func TestStatusIsRetainedAndEndsWithShutdown(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		c := run(t, "tcp://"+s.Addr(), newOutbox(t), nil)
		eventually(t, "connected", func() bool { return c.State().Connected })
		sub := subscribe(t, s.Addr())
		eventually(t, "online", func() bool { return sub.status().State == payload.Online })
		if st := sub.status(); st.Device != "cam-7" || st.Boot != 3 || st.Version != "test" || st.Since == nil {
			t.Errorf("status %+v", st)
		}
		c.stop()
		eventually(t, "offline", func() bool { return sub.status().State == payload.Offline })
		if st := sub.status(); st.Reason != "shutdown" {
			t.Errorf("reason %q, want shutdown", st.Reason)
		}
		if c.State().Connected {
			t.Error("still connected after Run")
		}
	})
}

func TestCutLinkGivesTheLastWillAndComesBack(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		l := newLink(t, s.Addr())
		sub := subscribe(t, s.Addr())
		c := run(t, "mqtt://"+l.ln.Addr().String(), newOutbox(t), nil)
		eventually(t, "online", func() bool { return sub.status().State == payload.Online })
		l.cut()
		eventually(t, "lost, then online again", func() bool {
			sub.mu.Lock()
			defer sub.mu.Unlock()
			n := len(sub.statuses)
			return n >= 3 && sub.statuses[n-1].State == payload.Online && sub.statuses[n-2].Reason == "lost"
		})
		eventually(t, "said in the log", func() bool { return strings.Contains(c.log.String(), "connected to broker again") })
		if c.State().LastError == "" || c.State().Attempts < 2 {
			t.Errorf("state %+v", c.State())
		}
	})
}

func TestBacklogArrivesInOrderAndInBatches(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		o := newOutbox(t)
		appendN(t, o, 0, 1000)
		if err := o.Flush(); err != nil {
			t.Fatal(err)
		}
		sub := subscribe(t, s.Addr())
		run(t, "tcp://"+s.Addr(), o, func(opts *Options) { opts.BatchRecords = 32 })
		eventually(t, "all delivered", func() bool { return sub.count() == 1000 })
		eventually(t, "all acknowledged", func() bool { return o.Stats().Acknowledged == 1000 })
		sub.verify(t, 1000, 1)
		for _, n := range sub.batches {
			if n < 1 || n > 32 {
				t.Errorf("a batch of %d", n)
			}
		}
	})
}

// What is new does not wait for a backlog, which comes in order beside it.
func TestNewGoesBeforeTheBacklog(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		const backlog, fresh = 5000, 50
		o := newOutbox(t)
		appendN(t, o, 0, backlog)
		if err := o.Flush(); err != nil {
			t.Fatal(err)
		}
		appendN(t, o, backlog, fresh)
		sub := subscribe(t, s.Addr())
		run(t, "tcp://"+s.Addr(), o, func(opts *Options) { opts.BatchRecords = 8 })
		eventually(t, "all delivered", func() bool { return sub.count() == backlog+fresh })
		var live, old []int
		last := 0
		for i, seq := range sub.order {
			if seq >= backlog {
				live, last = append(live, seq), i
			} else {
				old = append(old, seq)
			}
		}
		if !slices.IsSorted(live) || !slices.IsSorted(old) {
			t.Error("one of the lanes is out of order")
		}
		if last > backlog/2 {
			t.Errorf("the last new one came as number %d of %d", last, len(sub.order))
		}
	})
}

func TestNothingIsMissingWhenTheBrokerRestarts(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		o := newOutbox(t)
		l := newLink(t, s.Addr())
		sub := subscribe(t, s.Addr())
		c := run(t, "tcp://"+l.ln.Addr().String(), o, func(opts *Options) { opts.BatchRecords = 5 })
		next := 0
		produce := func(n int) { appendN(t, o, next, n); next += n }
		for range 3 {
			produce(400)
			eventually(t, "some of it", func() bool { return sub.count() >= next-300 })
			l.setDown(true)
			eventually(t, "noticed", func() bool { return !c.State().Connected })
			// QoS 1 covers device to broker: what the broker has acknowledged
			// and not passed on when it dies is its loss. Let it finish.
			eventually(t, "passed on", func() bool { return uint64(sub.count()) >= o.Stats().Acknowledged })
			s.Stop()
			produce(100)
			s.Restart()
			<-sub.back // or the device's messages find no subscriber
			l.setDown(false)
			eventually(t, "all delivered", func() bool { return sub.count() == next })
		}
		eventually(t, "all acknowledged", func() bool { return o.Stats().Acknowledged == uint64(next) })
		sub.verify(t, next, 1)
	})
}

func TestLinkCutBeforeThePubackDeliversAgain(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		o := newOutbox(t)
		l := newLink(t, s.Addr())
		sub := subscribe(t, s.Addr())
		c := run(t, "tcp://"+l.ln.Addr().String(), o, nil)
		eventually(t, "connected and announced", func() bool { return sub.status().State == payload.Online })
		// The status' own PUBACK has to pass before the link goes deaf.
		appendN(t, o, 0, 1)
		eventually(t, "acknowledged", func() bool { return o.Stats().Acknowledged == 1 })
		l.setDeaf(true)
		appendN(t, o, 1, 200)
		eventually(t, "sent", func() bool { return sub.count() > 1 })
		if n := o.Stats().Acknowledged; n != 1 {
			t.Errorf("%d acknowledged without a PUBACK", n)
		}
		l.cut()
		l.setDeaf(false)
		eventually(t, "all acknowledged", func() bool { return o.Stats().Acknowledged == 201 })
		eventually(t, "all delivered", func() bool { return sub.count() == 201 })
		sub.verify(t, 201, 1)
		if c.State().Attempts < 2 {
			t.Errorf("attempts %d", c.State().Attempts)
		}
	})
}

func TestMissingPubackBreaksTheConnection(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		o := newOutbox(t)
		l := newLink(t, s.Addr())
		c := run(t, "tcp://"+l.ln.Addr().String(), o, func(opts *Options) { opts.AckTimeout = 300 * time.Millisecond })
		appendN(t, o, 0, 1)
		eventually(t, "acknowledged", func() bool { return o.Stats().Acknowledged == 1 })
		l.setDeaf(true)
		appendN(t, o, 1, 10)
		eventually(t, "noticed", func() bool { return strings.Contains(c.State().LastError, errAckTimeout.Error()) })
		l.setDeaf(false)
		l.cut() // what tried to connect meanwhile hangs
		eventually(t, "all acknowledged", func() bool { return o.Stats().Acknowledged == 11 })
	})
}

func TestLatestAndTelemetry(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		c := run(t, "tcp://"+s.Addr(), newOutbox(t), nil)
		sub := subscribe(t, s.Addr())
		eventually(t, "connected", func() bool { return c.State().Connected })
		for i := range 100 {
			c.Latest("front", []byte{'0' + byte(i%10)})
		}
		c.Latest("bad/name", []byte("x"))
		c.Telemetry([]byte("{}"))
		front := topics.Camera("front")
		eventually(t, "latest", func() bool { return len(sub.other(front)) > 0 })
		eventually(t, "telemetry", func() bool { return len(sub.other(topics.Telemetry())) == 1 })
		c.Latest("front", []byte("9")) // the same: not sent
		c.Latest("back", []byte("a"))
		eventually(t, "the other camera", func() bool { return len(sub.other(topics.Camera("back"))) > 0 })
		if got := strings.Join(sub.other(front), ","); got != "9" {
			t.Errorf("front published %q, want the newest once", got)
		}
		if n := len(sub.other(topics.Camera("bad/name"))); n != 0 {
			t.Error("a name that cannot stand in a topic was published")
		}
	})
}

func TestShutdownSendsWhatIsLeft(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		o := newOutbox(t)
		sub := subscribe(t, s.Addr())
		c := run(t, "tcp://"+s.Addr(), o, func(opts *Options) { opts.DrainTimeout = patience })
		eventually(t, "connected", func() bool { return c.State().Connected })
		appendN(t, o, 0, 500)
		c.stop()
		if n := o.Stats().Acknowledged; n != 500 {
			t.Errorf("%d acknowledged at the end, want 500", n)
		}
		eventually(t, "delivered", func() bool { return sub.count() == 500 })
	})
}
