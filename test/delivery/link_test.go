//go:build linux

package delivery

import (
	"net"
	"sync"
	"testing"
)

// link is a TCP proxy in front of the broker that can be cut, closed and made
// deaf, so that acknowledgements are lost.
type link struct {
	ln net.Listener
	to string
	wg sync.WaitGroup

	mu   sync.Mutex // guards all following fields
	open map[net.Conn]bool
	deaf bool
	down bool
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
		l.set(func() { l.down = true })
		l.wg.Wait()
	})
	return l
}

func (l *link) addr() string { return l.ln.Addr().String() }

func (l *link) accept() {
	for {
		client, err := l.ln.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		l.mu.Lock()
		if l.down {
			_, _ = client.Close(), broker.Close()
		} else {
			l.open[client], l.open[broker] = true, true
			l.wg.Go(func() { l.pump(broker, client, false) })
			l.wg.Go(func() { l.pump(client, broker, true) })
		}
		l.mu.Unlock()
	}
}

func (l *link) pump(to, from net.Conn, answers bool) {
	defer l.forget(to)
	defer l.forget(from)
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

func (l *link) forget(c net.Conn) {
	_ = c.Close() // maybe a second time
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
}

// set changes the link's state, and cuts it.
func (l *link) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	for c := range l.open {
		_ = c.Close()
	}
}

// setDeaf loses the broker's answers from now on, without a cut.
func (l *link) setDeaf(on bool) {
	l.mu.Lock()
	l.deaf = on
	l.mu.Unlock()
}
