package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// subscriber takes down which predictions come from the broker. It speaks
// MQTT by hand, at QoS 0: Mosquitto writes such a message to the subscriber
// before it acknowledges it to the device, so that what a kill -9 takes with the
// broker was never acknowledged.
type subscriber struct {
	addr, topic string

	mu         sync.Mutex // guards all following fields
	subscribed bool
	boots      map[uint64][]uint64 // the bit of each seq that came
	unique     uint64
	again      uint64
	broken     []string // what was no prediction
}

func newSubscriber(addr, topic string) *subscriber {
	return &subscriber{addr: addr, topic: topic, boots: map[uint64][]uint64{}}
}

// run subscribes, and again whenever the broker went away, until ctx is done.
func (s *subscriber) run(ctx context.Context) {
	for ctx.Err() == nil {
		s.attempt(ctx)
		s.setSubscribed(false)
		_ = sleep(ctx, 50*time.Millisecond)
	}
}

func (s *subscriber) attempt(ctx context.Context) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	c.ProtocolName, c.ProtocolVersion, c.CleanSession, c.ClientIdentifier = "MQTT", 4, true, "soak-subscriber"
	sub := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	sub.MessageID, sub.Topics, sub.Qoss = 1, []string{s.topic}, []byte{0}
	if c.Write(conn) != nil || sub.Write(conn) != nil {
		return
	}
	for {
		packet, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		switch p := packet.(type) {
		case *packets.SubackPacket:
			s.setSubscribed(true)
		case *packets.PublishPacket:
			s.take(p.Payload)
		}
	}
}

func (s *subscriber) setSubscribed(on bool) {
	s.mu.Lock()
	s.subscribed = on
	s.mu.Unlock()
}

// await waits until it hears what is published, or has noticed that it does not.
func (s *subscriber) await(ctx context.Context, want bool) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		s.mu.Lock()
		on := s.subscribed
		s.mu.Unlock()
		if on == want {
			return nil
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the subscriber at %s: subscribed is not %v after %v", s.addr, want, patience)
}

func (s *subscriber) take(payload []byte) {
	var batch []struct{ Boot, Seq uint64 }
	err := json.Unmarshal(payload, &batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.broken = append(s.broken, err.Error())
	}
	for _, p := range batch {
		bits := s.boots[p.Boot]
		for uint64(len(bits)) <= p.Seq/64 {
			bits = append(bits, 0)
		}
		s.boots[p.Boot] = bits
		if bits[p.Seq/64]&(1<<(p.Seq%64)) != 0 {
			s.again++
			continue
		}
		bits[p.Seq/64] |= 1 << (p.Seq % 64)
		s.unique++
	}
}

// missing counts which of 1 to last of a boot came neither here nor in stored.
func (s *subscriber) missing(boot, last uint64, stored map[uint64]bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bits := s.boots[boot]
	for seq := uint64(1); seq <= last; seq++ {
		came := seq/64 < uint64(len(bits)) && bits[seq/64]&(1<<(seq%64)) != 0
		if !came && !stored[seq] {
			n++
		}
	}
	return n
}

func (s *subscriber) counts() (unique, again uint64, broken []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unique, s.again, s.broken
}
