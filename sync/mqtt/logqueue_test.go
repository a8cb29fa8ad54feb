package mqtt

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/egret-edge/egret/sync/payload"
)

// Whatever happens to the queue, the numbers and what is said to be missing
// agree.
func TestLogQueue(t *testing.T) {
	for name, tt := range map[string]struct {
		steps string // p put, s skip, n next and done, c clear, l next whose acknowledgement was lost
		want  string // seq-suppressed of each that was taken
	}{
		"in order":                      {"ppnn", "1-0 2-0"},
		"nothing":                       {"n", ""},
		"skipped are told":              {"psspnn", "1-0 4-2"},
		"skipped last are told later":   {"pssnpn", "1-0 4-2"},
		"sent again":                    {"plpnn", "1-0 1-0 2-0"},
		"sent again, with what is told": {"splnpn", "2-1 2-1 3-0"},
		"full":                          {strings.Repeat("p", maxLogs+3) + "nn", "4-3 5-0"},
		"full, and skipped":             {"s" + strings.Repeat("p", maxLogs+1) + "sn" + strings.Repeat("n", maxLogs-2) + "pnn", "full"},
		"cleared":                       {"ppscpn", "4-3"},
	} {
		t.Run(name, func(t *testing.T) {
			q := NewLogQueue()
			var got []string
			sent, missing, last := uint64(0), uint64(0), uint64(0)
			for _, step := range tt.steps {
				switch step {
				case 'p':
					q.Put(payload.Log{Msg: "m"})
				case 's':
					q.Skip()
				case 'c':
					q.Clear()
				default:
					m, ok := q.next()
					if !ok {
						continue
					}
					got = append(got, fmt.Sprintf("%d-%d", m.Seq, m.Suppressed))
					if step == 'n' {
						q.done(m.Seq)
						sent, missing, last = sent+1, missing+m.Suppressed, m.Seq
					}
				}
			}
			if tt.want == "full" { // too long to write down: the sum tells
				if sent+missing != last || sent != maxLogs+1 || missing != 3 {
					t.Errorf("%d sent and %d missing of %d", sent, missing, last)
				}
			} else if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("took %s, want %s", s, tt.want)
			}
		})
	}
}

// A message that is dropped while it is under way is no more in the queue when
// its acknowledgement comes.
func TestLogQueueDropsWhatIsUnderWay(t *testing.T) {
	q := NewLogQueue()
	q.Put(payload.Log{})
	first, _ := q.next()
	for range maxLogs {
		q.Put(payload.Log{})
	}
	q.done(first.Seq)
	if m, ok := q.next(); !ok || m.Seq != 2 || m.Suppressed != 0 {
		t.Errorf("then %d with %d missing, %v; want 2 with none", m.Seq, m.Suppressed, ok)
	}
}

// Messages of the log arrive, once each and in order, also those from before
// the connection and from an outage, and what the client says of the outage
// itself is not among them.
func TestLogsArrive(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		sub := subscribe(t, s.Addr())
		q := NewLogQueue()
		put := func(msg string) {
			q.Put(payload.Log{Time: time.Now().UTC(), Level: "warn", Msg: msg, Attrs: json.RawMessage(`{"camera":"front"}`)})
		}
		put("before")
		l := newLink(t, s.Addr()) // the subscriber must not be cut off
		c := run(t, "tcp://"+l.ln.Addr().String(), newOutbox(t), func(o *Options) { o.Logs = q })
		received := func() (all []payload.Log) {
			for _, text := range sub.other(topics.Log()) {
				var m payload.Log
				if err := json.Unmarshal([]byte(text), &m); err != nil {
					t.Fatalf("%v in %s", err, text)
				}
				all = append(all, m)
			}
			return all
		}
		eventually(t, "the first arrives", func() bool { return len(received()) == 1 })
		put("now")
		eventually(t, "the second arrives", func() bool { return len(received()) == 2 })
		l.setDown(true)
		eventually(t, "disconnected", func() bool { return !c.State().Connected })
		for i := range maxLogs + 5 {
			put(fmt.Sprint("held ", i))
		}
		l.setDown(false)
		eventually(t, "those that were held arrive", func() bool { return len(received()) >= 2+maxLogs })
		put("last words")
		c.stop()
		eventually(t, "what was put before the end arrives", func() bool { return len(received()) >= 3+maxLogs })
		all := received()
		for i, m := range all {
			if m.Device != "cam-7" || m.Boot != 3 || string(m.Attrs) != `{"camera":"front"}` {
				t.Fatalf("message %+v", m)
			}
			if i > 0 && m.Seq != all[i-1].Seq+1+m.Suppressed {
				t.Errorf("number %d with %d missing follows %d", m.Seq, m.Suppressed, all[i-1].Seq)
			}
		}
		if all[2].Msg != "held 5" || all[2].Suppressed != 5 || all[len(all)-1].Msg != "last words" {
			t.Errorf("after the outage %+v; at last %+v", all[2], all[len(all)-1])
		}
	})
}

// A broker that ends the connection on the log's topic costs the log, and no
// prediction.
func TestForbiddenLogCostsOnlyTheLog(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		sub := subscribe(t, s.Addr())
		l := newLink(t, s.Addr())
		l.misbehave(func(client net.Conn) { l.forbid(client, topics.Log()) })
		q, o := NewLogQueue(), newOutbox(t)
		for range 3 {
			q.Put(payload.Log{Level: "warn", Msg: "m"})
		}
		c := run(t, "tcp://"+l.ln.Addr().String(), o, func(o *Options) { o.Logs = q })
		appendN(t, o, 0, 100)
		eventually(t, "the log is given up", func() bool { return strings.Contains(c.log.String(), "publishing none") })
		eventually(t, "all predictions arrive", func() bool { return sub.count() == 100 })
		c.stop()
		sub.verify(t, 100, 0)
		if n := o.Stats().Dropped["refused"]; n != 0 {
			t.Errorf("%d predictions were refused", n)
		}
		if n := l.connections(); n > logStrikes+1 {
			t.Errorf("%d connections, want %d that ended and one that stayed", n, logStrikes)
		}
		if got := sub.other(topics.Log()); len(got) > 0 {
			t.Errorf("the broker took %s", got)
		}
	})
}

// forbid passes on what the client sends until it publishes to topic, on which
// the connection is closed.
func (l *link) forbid(client net.Conn, topic string) {
	broker, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer broker.Close()
	l.wg.Go(func() { l.pump(client, broker, true) })
	for {
		p, err := packets.ReadPacket(client)
		if err != nil {
			return
		}
		if pub, ok := p.(*packets.PublishPacket); ok && pub.TopicName == topic {
			return
		}
		if p.Write(broker) != nil {
			return
		}
	}
}
