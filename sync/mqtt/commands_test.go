package mqtt

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/egret-edge/egret/sync/payload"
)

// operator is a program that sends commands.
func operator(t *testing.T, addr string) (send func(name string, retained bool, body string)) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("operator"))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return func(name string, retained bool, body string) {
		t.Helper()
		if token := c.Publish(topics.Command(name), 1, retained, body); !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatalf("send %s: %v", name, token.Error())
		}
	}
}

// next is the next command that came.
func next(t *testing.T, inbox *Inbox) Request {
	t.Helper()
	select {
	case r := <-inbox.Requests():
		return r
	case <-time.After(patience):
		t.Fatal("no command came")
		return Request{}
	}
}

func TestCommandsArriveAndAreAnswered(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		sub := subscribe(t, s.Addr())
		inbox := NewInbox(4)
		c := run(t, "tcp://"+s.Addr(), newOutbox(t), func(o *Options) { o.Inbox = inbox })
		eventually(t, "online", func() bool { return sub.status().State == payload.Online })
		send := operator(t, s.Addr())
		send("snapshot", false, `{"id":"a"}`)
		if r := next(t, inbox); r.Name != "snapshot" || string(r.Body) != `{"id":"a"}` {
			t.Errorf("request %s %s", r.Name, r.Body)
		}
		if err := c.Publish(Message{Topic: topics.Reply("a"), Payload: []byte("{}")}); err != nil {
			t.Error(err)
		}
		eventually(t, "the reply", func() bool { return len(sub.other(topics.Reply("a"))) == 1 })
		if err := c.Publish(Message{Topic: topics.Reply("a"), Payload: make([]byte, MaxMessage+1)}); err == nil {
			t.Error("a message that is too large was taken")
		}
		// Many more than may be under way at once.
		for i := range 10 * maxSent {
			eventually(t, "room", func() bool {
				return c.Publish(Message{Topic: topics.Reply("many"), Payload: fmt.Append(nil, i)}) == nil
			})
		}
		eventually(t, "all of them", func() bool { return len(sub.other(topics.Reply("many"))) == 10*maxSent })
	})
}

// TestRetainedCommandsAreIgnored: they would run again after each connect.
func TestRetainedCommandsAreIgnored(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		send := operator(t, s.Addr())
		send("restart-camera", true, `{"camera":"front"}`)
		inbox := NewInbox(4)
		run(t, "tcp://"+s.Addr(), newOutbox(t), func(o *Options) { o.Inbox = inbox })
		eventually(t, "seen", func() bool { return inbox.Retained() == 1 })
		send("diagnose", false, "")
		if r := next(t, inbox); r.Name != "diagnose" {
			t.Errorf("%s came through", r.Name)
		}
	})
}

// TestCommandFloodIsBounded: what there is no room for is counted, and answered
// as far as somebody waits for an answer; predictions go on.
func TestCommandFloodIsBounded(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		sub := subscribe(t, s.Addr())
		inbox := NewInbox(4)
		o := newOutbox(t)
		run(t, "tcp://"+s.Addr(), o, func(o *Options) { o.Inbox = inbox })
		eventually(t, "online", func() bool { return sub.status().State == payload.Online })
		send := operator(t, s.Addr())
		const flood = 200
		for i := range flood {
			send("snapshot", false, fmt.Sprintf(`{"id":"flood-%d"}`, i))
		}
		send("set", false, strings.Repeat(" ", payload.MaxCommandBytes+1))
		eventually(t, "counted", func() bool { return inbox.Refused() == flood-4+1 })
		if n := len(inbox.Requests()); n != 4 {
			t.Errorf("%d wait, want 4", n)
		}
		eventually(t, "an answer", func() bool { return len(sub.other(topics.Reply("flood-4"))) == 1 })
		var reply payload.Reply
		if err := json.Unmarshal([]byte(sub.other(topics.Reply("flood-4"))[0]), &reply); err != nil {
			t.Fatal(err)
		}
		if reply.ID != "flood-4" || reply.Command != "snapshot" || reply.OK || reply.Error == "" {
			t.Errorf("reply %+v", reply)
		}
		appendN(t, o, 0, 10)
		eventually(t, "predictions", func() bool { return o.Stats().Acknowledged == 10 })
	})
}

func TestNothingIsPublishedWithoutAConnection(t *testing.T) {
	c, err := New(Options{Broker: "tcp://127.0.0.1:1", Topics: topics}, newOutbox(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(Message{Topic: topics.Reply("a")}); err == nil {
		t.Error("taken without a connection")
	}
}

// TestAnnouncementsComeOnEachConnect: and are said to be done when they are.
func TestAnnouncementsComeOnEachConnect(t *testing.T) {
	eachBroker(t, func(t *testing.T, s server) {
		var mu sync.Mutex
		asked, done := 0, 0
		l := newLink(t, s.Addr())
		run(t, "tcp://"+l.ln.Addr().String(), newOutbox(t), func(o *Options) {
			o.Announce = func() []Message {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return []Message{{Topic: topics.Reply("hello"), Payload: fmt.Append(nil, asked), Retained: true}}
			}
			o.Announced = func() { mu.Lock(); defer mu.Unlock(); done++ }
		})
		count := func(n int) func() bool {
			return func() bool { mu.Lock(); defer mu.Unlock(); return done == n && asked == n }
		}
		eventually(t, "the first", count(1))
		l.cut()
		eventually(t, "the second", count(2))
		sub := subscribe(t, s.Addr()) // only now: retained
		eventually(t, "retained", func() bool { return strings.Join(sub.other(topics.Reply("hello")), ",") == "2" })
	})
}

// TestRefusedSubscriptionCostsOnlyTheCommands: a broker may forbid it.
func TestRefusedSubscriptionCostsOnlyTheCommands(t *testing.T) {
	l := newLink(t, refusingBroker(t))
	o := newOutbox(t)
	c := run(t, "tcp://"+l.ln.Addr().String(), o, func(o *Options) { o.Inbox = NewInbox(1) })
	appendN(t, o, 0, 3)
	eventually(t, "predictions", func() bool { return o.Stats().Acknowledged == 3 })
	if !strings.Contains(c.log.String(), "refuses a subscription") {
		t.Errorf("not said:\n%s", c.log.String())
	}
}

// refusingBroker is one connection's worth of a broker that takes everything
// but subscriptions (MQTT 3.1.1, 3.9.3).
func refusingBroker(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			in, err := packets.ReadPacket(conn)
			if err != nil {
				return
			}
			var out packets.ControlPacket
			switch p := in.(type) {
			case *packets.ConnectPacket:
				out = packets.NewControlPacket(packets.Connack)
			case *packets.SubscribePacket:
				a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
				a.MessageID, a.ReturnCodes = p.MessageID, []byte{0x80}
				out = a
			case *packets.PublishPacket:
				a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				a.MessageID = p.MessageID
				out = a
			default:
				continue
			}
			if out.Write(conn) != nil {
				return
			}
		}
	})
	return ln.Addr().String()
}
