package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// serveCamera is the program behind the command: camera. It writes MJPEG to
// standard output and obeys the lines that come from the soak; when the soak is
// gone, it ends.
func serveCamera(control, picture string) error {
	frame, err := os.ReadFile(picture)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", control)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(conn, os.Getpid())
	orders := make(chan string)
	go func() {
		defer close(orders)
		for sc := bufio.NewScanner(conn); sc.Scan(); {
			orders <- sc.Text()
		}
	}()
	tick := time.NewTicker(time.Second / webcamRate)
	defer tick.Stop()
	for {
		select {
		case order, ok := <-orders:
			if !ok {
				return nil
			}
			if err := obey(order, frame); err != nil {
				return err
			}
		case <-tick.C:
			if _, err := os.Stdout.Write(frame); err != nil {
				return err
			}
		}
	}
}

// The orders. Killing needs none.
const (
	orderExit    = "exit"
	orderFlood   = "flood"
	orderGarbage = "garbage"
	orderSilence = "silence"
)

func obey(order string, frame []byte) error {
	switch order {
	case orderExit:
		os.Exit(3)
	case orderFlood: // of pictures and of words
		for range 200 {
			if _, err := os.Stdout.Write(frame); err != nil {
				return err
			}
		}
		for i := range 5000 {
			fmt.Fprintln(os.Stderr, "the lens is dirty,", i)
		}
	case orderGarbage:
		_, err := os.Stdout.Write(bytes.Repeat([]byte("no picture "), 100_000))
		return err
	case orderSilence:
		time.Sleep(4 * time.Second) // longer than the agent's stall_timeout
	}
	return nil
}

// programs is the soak's end of the children that the agent starts as cameras.
type programs struct {
	ln net.Listener
	wg sync.WaitGroup

	mu   sync.Mutex // guards all following fields
	open map[net.Conn]int
	seen map[int]bool // process ids of all that there were
}

func newPrograms() (*programs, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &programs{ln: ln, open: map[net.Conn]int{}, seen: map[int]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *programs) accept() {
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.attend(conn) })
	}
}

// attend knows a child until its connection ends, which is when it does.
func (p *programs) attend(conn net.Conn) {
	defer conn.Close()
	var pid int
	if _, err := fmt.Fscanln(conn, &pid); err != nil {
		return
	}
	p.mu.Lock()
	p.open[conn], p.seen[pid] = pid, true
	p.mu.Unlock()
	_, _ = conn.Read(make([]byte, 1)) // the child says nothing more
	p.mu.Lock()
	delete(p.open, conn)
	p.mu.Unlock()
}

// tell gives all children an order: how many they are.
func (p *programs) tell(order string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		fmt.Fprintln(conn, order) // one that is gone is none
	}
	return len(p.open)
}

// kill kills all children that are still connected.
func (p *programs) kill() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pid := range p.open {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return len(p.open)
}

// left are the children that have outlived the agent.
func (p *programs) left(ctx context.Context) (n int) {
	for deadline := time.Now().Add(5 * time.Second); ; {
		p.mu.Lock()
		n = len(p.open)
		p.mu.Unlock()
		if n == 0 || time.Now().After(deadline) || sleep(ctx, 50*time.Millisecond) != nil {
			return n
		}
	}
}

func (p *programs) close() {
	_ = p.ln.Close()
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// asCamera is the child that this program is, if it is one.
func asCamera() (do func() error, ok bool) {
	if len(os.Args) == 4 && os.Args[1] == "camera" {
		return func() error { return serveCamera(os.Args[2], os.Args[3]) }, true
	}
	return nil, false
}
