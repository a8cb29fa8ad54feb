package mqtt

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/test/mosquitto"
)

// faults are brokers that are worse than one that is away.
var faults = []struct {
	name   string
	serve  func(l *link, client net.Conn)
	says   string // the last error has this
	passes bool   // some of what is sent arrives
}{
	{name: "accepts and never answers", says: "took the connection and did not answer in time",
		serve: func(_ *link, c net.Conn) { _, _ = io.Copy(io.Discard, c) }},
	{name: "falls silent after CONNACK", says: errAckTimeout.Error(),
		serve: func(_ *link, c net.Conn) {
			answering(c, func(p packets.ControlPacket, send func(packets.ControlPacket)) {
				if _, ok := p.(*packets.ConnectPacket); ok {
					send(connack(0))
				}
			})
		}},
	{name: "acknowledges no prediction", says: errAckTimeout.Error(),
		serve: func(_ *link, c net.Conn) {
			answering(c, func(p packets.ControlPacket, send func(packets.ControlPacket)) {
				switch p := p.(type) {
				case *packets.ConnectPacket:
					send(connack(0))
				case *packets.PingreqPacket:
					send(packets.NewControlPacket(packets.Pingresp))
				case *packets.PublishPacket:
					if p.TopicName == topics.Status() {
						send(puback(p.MessageID))
					}
				}
			})
		}},
	{name: "closes after CONNACK", says: "the broker closed the connection",
		serve: func(_ *link, c net.Conn) {
			if _, err := packets.ReadPacket(c); err == nil {
				_ = connack(0).Write(c)
			}
		}},
	{name: "closes at once", says: "closed the connection without an answer: is this an MQTT port",
		serve: func(_ *link, c net.Conn) { _, _ = packets.ReadPacket(c) }},
	{name: "says that it is not available", says: "the broker is not available",
		serve: func(_ *link, c net.Conn) {
			if _, err := packets.ReadPacket(c); err == nil {
				_ = connack(3).Write(c)
			}
		}},
	{name: "speaks HTTP", says: "does not speak MQTT",
		serve: func(_ *link, c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request")
			_, _ = io.Copy(io.Discard, c)
		}},
	{name: "resets in the middle of a message", passes: true,
		serve: func(l *link, c net.Conn) {
			broker, err := net.Dial("tcp", l.to)
			if err != nil {
				return
			}
			defer broker.Close()
			l.wg.Go(func() { _, _ = io.Copy(c, broker) })
			_, _ = io.CopyN(broker, c, 1000) // CONNECT, status and a few predictions
			reset(c)
		}},
	{name: "resets before it acknowledges", passes: true,
		serve: func(l *link, c net.Conn) {
			acks := 0
			l.relay(c, func(p packets.ControlPacket, send func(packets.ControlPacket)) {
				if _, ok := p.(*packets.PubackPacket); ok {
					if acks++; acks > 1 { // the status'
						reset(c)
						return
					}
				}
				send(p)
			})
		}},
}

// TestBadBrokers: whatever a broker does, everything arrives once there is a
// good one, each lane in order, and the account adds up all the time.
func TestBadBrokers(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{})
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			o := newOutbox(t)
			sub := subscribe(t, b.Addr())
			l := newLink(t, b.Addr())
			l.misbehave(func(c net.Conn) { f.serve(l, c) })
			c := run(t, "tcp://"+l.ln.Addr().String(), o, func(opts *Options) {
				opts.BatchRecords, opts.ConnectTimeout, opts.AckTimeout = 5, 300*time.Millisecond, 300*time.Millisecond
			})
			appendN(t, o, 0, 150)
			eventually(t, "tried again and again", func() bool { return l.connections() >= 4 })
			eventually(t, "said", func() bool { e := c.State().LastError; return e != "" && strings.Contains(e, f.says) })
			if e := c.State().LastError; strings.Contains(e, "\n") {
				t.Errorf("more than one line: %q", e)
			}
			if err := o.Flush(); err != nil {
				t.Fatal(err)
			}
			appendN(t, o, 150, 50)
			addsUp(t, o, 200)
			if n := o.Stats().Acknowledged; n > 0 && !f.passes {
				t.Errorf("%d acknowledged by a broker that did not", n)
			}
			l.misbehave(nil)
			delivered(t, o, sub, 200)
		})
	}
}

// addsUp checks the delivery account.
func addsUp(t *testing.T, o *outbox.Outbox, produced uint64) {
	t.Helper()
	s := o.Stats()
	if sum := s.Acknowledged + s.Held + s.Stored; s.Produced != produced || sum != produced || len(s.Dropped) > 0 {
		t.Errorf("%d were produced and the account does not add up: %+v", produced, s)
	}
}

// delivered waits until n records are acknowledged and received, and checks
// their order and the account.
func delivered(t *testing.T, o *outbox.Outbox, sub *subscriber, n int) {
	t.Helper()
	eventually(t, "all acknowledged", func() bool { return o.Stats().Acknowledged == uint64(n) })
	eventually(t, "all delivered", func() bool { return sub.count() == n })
	sub.verify(t, n, 2)
	addsUp(t, o, uint64(n))
	if s := o.Stats(); s.Held+s.Stored+s.Leased > 0 {
		t.Errorf("something is left: %+v", s)
	}
}

// TestSlowBrokerIsNotGivenUp: each acknowledgement comes in time, a whole
// window of them does not.
func TestSlowBrokerIsNotGivenUp(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{})
	o := newOutbox(t)
	sub := subscribe(t, b.Addr())
	l := newLink(t, b.Addr())
	l.misbehave(func(c net.Conn) {
		l.relay(c, func(p packets.ControlPacket, send func(packets.ControlPacket)) {
			if _, ok := p.(*packets.PubackPacket); ok {
				time.Sleep(200 * time.Millisecond)
			}
			send(p)
		})
	})
	appendN(t, o, 0, 75)
	c := run(t, "tcp://"+l.ln.Addr().String(), o, func(opts *Options) {
		opts.BatchRecords, opts.MaxInFlight, opts.AckTimeout = 5, 15, 2*time.Second
	})
	delivered(t, o, sub, 75)
	if s := c.State(); s.Attempts != 1 || !s.Connected {
		t.Errorf("the connection was given up: %+v", s)
	}
}

// TestOddAcknowledgements: out of order, for what was never sent, and twice.
func TestOddAcknowledgements(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{})
	o := newOutbox(t)
	sub := subscribe(t, b.Addr())
	l := newLink(t, b.Addr())
	const batches, group = 40, 4
	l.misbehave(func(c net.Conn) {
		var held []packets.ControlPacket
		acks := 0
		l.relay(c, func(p packets.ControlPacket, send func(packets.ControlPacket)) {
			ack, ok := p.(*packets.PubackPacket)
			if acks++; !ok || acks <= 2 || acks > 2+batches { // CONNACK, the status', the farewell's
				send(p)
				return
			}
			if held = append(held, ack); len(held) < group {
				return
			}
			send(puback(60000 + uint16(acks)))
			for i := range held {
				send(held[group-1-i])
			}
			send(held[0])
			held = nil
		})
	})
	appendN(t, o, 0, 5*batches)
	c := run(t, "tcp://"+l.ln.Addr().String(), o, func(opts *Options) { opts.BatchRecords = 5 })
	delivered(t, o, sub, 5*batches)
	if s := c.State(); s.Attempts != 1 || !s.Connected {
		t.Errorf("the connection broke: %+v", s)
	}
	if sub.mu.Lock(); len(sub.batches) != batches {
		t.Errorf("%d messages, want %d: something was sent twice", len(sub.batches), batches)
	}
	sub.mu.Unlock()
}

// TestFlappingBrokerIsBackedOffFrom: a connection that is closed as soon as it
// stands is no success. Without back-off there would be a thousand attempts.
func TestFlappingBrokerIsBackedOffFrom(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{})
	o := newOutbox(t)
	sub := subscribe(t, b.Addr())
	l := newLink(t, b.Addr())
	l.misbehave(func(c net.Conn) {
		if _, err := packets.ReadPacket(c); err == nil {
			_ = connack(0).Write(c)
		}
	})
	appendN(t, o, 0, 10)
	began := time.Now()
	c := run(t, "tcp://"+l.ln.Addr().String(), o, func(opts *Options) { opts.RetryMin, opts.RetryMax = time.Millisecond, time.Second })
	eventually(t, "ten attempts", func() bool { return c.State().Attempts >= 10 })
	time.Sleep(2 * time.Second)
	// Pauses that have grown to a second at most last half of it on average.
	if n, most := c.State().Attempts, 40+uint64(10*time.Since(began).Seconds()); n > most {
		t.Errorf("%d attempts, want at most %d", n, most)
	}
	eventually(t, "said", func() bool { return strings.Contains(c.log.String(), "is another client using the same client id?") })
	l.misbehave(nil)
	delivered(t, o, sub, 10)
}
