package main

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return ln.Addr().String()
}

// dial gives a connection through the link, with a bound on all that it does.
func dial(t *testing.T, l *link) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func say(t *testing.T, conn net.Conn, word string) {
	t.Helper()
	if _, err := io.WriteString(conn, word); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

// closed waits for the end of a connection.
func closed(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("still open: %d, %v", n, err)
	}
}

func TestLink(t *testing.T) {
	l, err := newLink(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	a := dial(t, l)
	say(t, a, "one")
	hear(t, a, "one")

	l.stall(true)
	say(t, a, "two")
	l.stall(false) // nothing of it was lost
	hear(t, a, "two")

	if l.cut() == 0 {
		t.Error("it cut nothing")
	}
	closed(t, a)

	b := dial(t, l)
	say(t, b, "three")
	hear(t, b, "three")
	l.refuse(true, false)
	closed(t, dial(t, l))
	say(t, b, "four") // what is open goes on
	hear(t, b, "four")

	l.setDeaf(true)
	say(t, b, "five")
	l.calm() // the answer is lost, and the connection with it
	closed(t, b)
	c := dial(t, l)
	say(t, c, "six")
	hear(t, c, "six")
}
