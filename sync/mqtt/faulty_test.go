package mqtt

import (
	"io"
	"net"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// misbehave has serve take the broker's place for whoever connects from now on;
// nil brings the broker back. What is open is cut.
func (l *link) misbehave(serve func(client net.Conn)) {
	l.mu.Lock()
	l.serve = serve
	l.mu.Unlock()
	l.cut()
}

// misserved tells whether a connection went to serve.
func (l *link) misserved(client net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	serve := l.serve
	if serve == nil {
		return false
	}
	l.open[client] = true
	l.served++
	l.wg.Go(func() {
		defer client.Close()
		serve(client)
	})
	return true
}

// connections is how many were misserved.
func (l *link) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served
}

// relay is a way to the broker on which the broker's packets go through answer.
func (l *link) relay(client net.Conn, answer func(p packets.ControlPacket, send func(packets.ControlPacket))) {
	broker, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	l.wg.Go(func() {
		defer broker.Close()
		_, _ = io.Copy(broker, client)
	})
	defer broker.Close()
	for {
		p, err := packets.ReadPacket(broker)
		if err != nil {
			return
		}
		answer(p, func(p packets.ControlPacket) { _ = p.Write(client) })
	}
}

// answering is a broker of its own, which passes nothing on.
func answering(client net.Conn, answer func(p packets.ControlPacket, send func(packets.ControlPacket))) {
	for {
		p, err := packets.ReadPacket(client)
		if err != nil {
			return
		}
		answer(p, func(p packets.ControlPacket) { _ = p.Write(client) })
	}
}

func connack(code byte) packets.ControlPacket {
	p := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	p.ReturnCode = code
	return p
}

func puback(id uint16) packets.ControlPacket {
	p := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	p.MessageID = id
	return p
}

// reset closes with RST instead of FIN.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}
