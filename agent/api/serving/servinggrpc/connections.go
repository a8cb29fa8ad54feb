package servinggrpc

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// connections is a listener that bounds what is open. When all places are taken,
// a new connection gets the place of one without a prediction under way: who
// opens many and says nothing keeps nobody out. It is taken from the address
// that has most of them, the one that has waited longest first. A client whose
// connection goes this way opens another one by itself.
type connections struct {
	net.Listener
	max  int
	over chan struct{} // closed with the listener

	mu      sync.Mutex // guards all following fields
	all     map[string]*connection
	changed chan struct{} // has one element when something may have made room
	closed  bool
}

// connection is one of them. connections.mu guards its fields from since on.
type connection struct {
	net.Conn
	of    *connections
	key   string
	from  netip.Addr
	since time.Time // when it came, or its last call ended
	calls int       // under way
}

func newConnections(ln net.Listener, most int) *connections {
	return &connections{Listener: ln, max: most, over: make(chan struct{}), all: map[string]*connection{}, changed: make(chan struct{}, 1)}
}

// Accept waits for a connection, and for a place for it.
func (cs *connections) Accept() (net.Conn, error) {
	c, err := cs.Listener.Accept()
	if err != nil {
		return nil, err
	}
	k := &connection{Conn: c, of: cs, key: c.RemoteAddr().String(), from: network(c.RemoteAddr()), since: time.Now()}
	for !cs.take(k) {
		select {
		case <-cs.changed:
		case <-cs.over:
			c.Close()
			return nil, net.ErrClosed
		}
	}
	return k, nil
}

// Close ends Accept; connections stay.
func (cs *connections) Close() error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if !cs.closed {
		cs.closed = true
		close(cs.over)
	}
	return cs.Listener.Close()
}

func (cs *connections) take(k *connection) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.all) >= cs.max {
		victim := cs.victim()
		if victim == nil {
			return false
		}
		delete(cs.all, victim.key)
		victim.Conn.Close()
	}
	cs.all[k.key] = k
	return true
}

// victim is the connection that goes when another comes; nil when all are busy.
func (cs *connections) victim() (worst *connection) {
	open := map[netip.Addr]int{}
	for _, k := range cs.all {
		open[k.from]++
	}
	for _, k := range cs.all {
		switch {
		case k.calls > 0:
		case worst == nil, open[k.from] > open[worst.from],
			open[k.from] == open[worst.from] && k.since.Before(worst.since):
			worst = k
		}
	}
	return worst
}

// begin tells that a call is under way on the connection from addr, and gives
// what tells its end.
func (cs *connections) begin(addr net.Addr) (end func()) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	k := cs.all[addr.String()]
	if k == nil { // it was closed already
		return func() {}
	}
	k.calls++
	return func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		if k.calls--; k.calls == 0 {
			k.since = time.Now()
			cs.change()
		}
	}
}

// Close gives the place back.
func (k *connection) Close() error {
	cs := k.of
	cs.mu.Lock()
	if cs.all[k.key] == k {
		delete(cs.all, k.key)
		cs.change()
	}
	cs.mu.Unlock()
	return k.Conn.Close()
}

// change wakes who waits for room.
func (cs *connections) change() {
	select {
	case cs.changed <- struct{}{}:
	default:
	}
}

// network is who is at the other end: an IPv6 network counts as one, since each
// of its hosts has as many addresses as it likes.
func network(a net.Addr) netip.Addr {
	p, err := netip.ParseAddrPort(a.String())
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
