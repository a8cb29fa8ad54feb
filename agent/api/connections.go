package api

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// connections knows the open connections and bounds them. When all places are
// taken, a new one gets the place of one that only waits: who opens many and
// says nothing keeps nobody out. It is taken from the address that has most of
// them, the one that has waited longest first, and from one in the middle of a
// request's body only when there is no other.
type connections struct {
	max    int
	closed atomic.Uint64 // to make room

	mu      sync.Mutex // guards all following fields
	all     map[net.Conn]*connection
	changed chan struct{} // has one element when something may have made room
}

// connection is one of them. connections.mu guards its fields.
type connection struct {
	from    netip.Addr
	waits   bool // for a request, or its header
	since   time.Time
	reading atomic.Bool // the handler waits for more of a body
	of      *connections
}

// read tells that the handler waits for a body, or does no longer.
func (k *connection) read(waits bool) {
	k.reading.Store(waits)
	if waits {
		k.of.change()
	}
}

func newConnections(most int) *connections {
	return &connections{max: most, all: map[net.Conn]*connection{}, changed: make(chan struct{}, 1)}
}

// admit waits until there is a place for c; false when the end comes first.
func (cs *connections) admit(end <-chan struct{}, c net.Conn) bool {
	for !cs.take(c) {
		select {
		case <-cs.changed:
		case <-end:
			return false
		}
	}
	return true
}

func (cs *connections) take(c net.Conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.all) >= cs.max {
		victim := cs.victim()
		if victim == nil {
			return false
		}
		delete(cs.all, victim)
		cs.closed.Add(1)
		hangUp(victim)
	}
	cs.all[c] = &connection{from: address(c.RemoteAddr()), waits: true, since: time.Now(), of: cs}
	return true
}

// victim is the connection that goes when another comes; nil when all are busy.
func (cs *connections) victim() net.Conn {
	open := map[netip.Addr]int{}
	for _, k := range cs.all {
		open[k.from]++
	}
	var worst net.Conn
	var of *connection
	for c, k := range cs.all {
		if !k.waits && !k.reading.Load() {
			continue
		}
		if of == nil || before(k, of, open) {
			worst, of = c, k
		}
	}
	return worst
}

// before tells whether a goes before b.
func before(a, b *connection, open map[netip.Addr]int) bool {
	if a.waits != b.waits {
		return a.waits
	}
	if open[a.from] != open[b.from] {
		return open[a.from] > open[b.from]
	}
	return a.since.Before(b.since)
}

// state is for http.Server.ConnState.
func (cs *connections) state(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	k := cs.all[c]
	switch {
	case k == nil: // closed already, to make room
		return
	case state == http.StateClosed || state == http.StateHijacked:
		delete(cs.all, c)
	case state == http.StateActive:
		k.waits = false
		k.reading.Store(false) // of the request before
	case state == http.StateIdle:
		k.waits, k.since = true, time.Now()
	}
	if state != http.StateActive {
		cs.change()
	}
}

// change wakes who waits for room.
func (cs *connections) change() {
	select {
	case cs.changed <- struct{}{}:
	default:
	}
}

// connectionKey finds a request's connection in its context.
type connectionKey struct{}

// context is for http.Server.ConnContext.
func (cs *connections) context(ctx context.Context, c net.Conn) context.Context {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return context.WithValue(ctx, connectionKey{}, cs.all[c])
}

// open is how many there are.
func (cs *connections) open() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.all)
}

// closeWaiting closes all that wait for a request: the server ends.
func (cs *connections) closeWaiting() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c, k := range cs.all {
		if k.waits {
			hangUp(c)
		}
	}
}

// hangUp closes without TLS's goodbye, which could wait for the other side.
func hangUp(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	c.Close()
}

// address is who is at the other end: an IPv6 network counts as one, since each
// of its hosts has as many addresses as it likes.
func address(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	return client(a.String())
}

// client is the address of host:port.
func client(hostPort string) netip.Addr {
	p, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	addr := p.Addr().Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		if net, err := addr.Prefix(64); err == nil {
			return net.Addr()
		}
	}
	return addr
}

// limited is a listener whose connections are counted.
type limited struct {
	net.Listener
	conns *connections
	end   <-chan struct{} // of the server
}

func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !l.conns.admit(l.end, c) {
		hangUp(c)
		return nil, net.ErrClosed
	}
	return c, nil
}
