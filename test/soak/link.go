package main

import (
	"net"
	"sync"
	"sync/atomic"
)

// link is a TCP proxy between the agent and its broker, as bad as links are. Its
// zero value is not usable; any goroutine may call its methods.
type link struct {
	ln    net.Listener
	to    string
	wg    sync.WaitGroup
	bytes atomic.Int64 // that it passed on

	mu      sync.Mutex // guards all following fields
	changed *sync.Cond
	open    map[net.Conn]bool
	stalled bool // nothing passes, nothing is closed
	deaf    bool // the broker's answers are lost
	refuses bool // new connections are closed at once
	ended   bool
}

func newLink(to string) (*link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{ln: ln, to: to, open: map[net.Conn]bool{}}
	l.changed = sync.NewCond(&l.mu)
	l.wg.Go(l.accept)
	return l, nil
}

func (l *link) addr() string { return l.ln.Addr().String() }

func (l *link) accept() {
	for {
		client, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.join(client)
	}
}

// join connects a client with the broker, unless the link is down.
func (l *link) join(client net.Conn) {
	broker, err := net.Dial("tcp", l.to)
	if err != nil {
		_ = client.Close()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuses || l.ended {
		_, _ = client.Close(), broker.Close()
		return
	}
	l.open[client], l.open[broker] = true, true
	l.wg.Go(func() { l.pump(broker, client, false) })
	l.wg.Go(func() { l.pump(client, broker, true) })
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
		if l.swallows(answers) {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		l.bytes.Add(int64(n))
	}
}

// swallows waits while the link is stalled, and tells whether what was read is
// lost.
func (l *link) swallows(answers bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.stalled {
		l.changed.Wait()
	}
	return answers && l.deaf
}

func (l *link) forget(c net.Conn) {
	_ = c.Close() // maybe a second time
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
}

// set changes the link's state; cut closes what is open. It tells how many
// connections, of both sides, were open.
func (l *link) set(cut bool, change func()) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
	for c := range l.open {
		if cut {
			_ = c.Close()
		}
	}
	return len(l.open)
}

func (l *link) cut() int        { return l.set(true, func() {}) }
func (l *link) stall(on bool)   { l.set(false, func() { l.stalled = on }) }
func (l *link) setDeaf(on bool) { l.set(false, func() { l.deaf = on }) }

// refuse closes new connections from now on, and those that are open only when
// cut says so.
func (l *link) refuse(on, cut bool) { l.set(cut, func() { l.refuses = on }) }

// calm has everything pass again. What was lost of a connection would be
// missed for ever, so a deaf one is cut.
func (l *link) calm() {
	l.mu.Lock()
	wasDeaf := l.deaf
	l.mu.Unlock()
	l.set(wasDeaf, func() { l.stalled, l.deaf, l.refuses = false, false, false })
}

// close ends the link and waits for its goroutines.
func (l *link) close() {
	_ = l.ln.Close()
	l.set(true, func() { l.ended, l.stalled = true, false })
	l.wg.Wait()
}
