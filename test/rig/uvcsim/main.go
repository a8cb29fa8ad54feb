//go:build linux

// Command uvcsim is a software USB camera: FRAME.jpg [fps] (UVC 1.0, MJPG 640x480, bulk) camera, plugged in through vhci_hcd (usbip's
// virtual host controller). The kernel's own uvcvideo driver binds to it. Ending this process = pulling the plug.
// SIGUSR1 toggles a frozen camera (no more data, device stays), SIGUSR2 toggles truncated JPEGs.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var le = binary.LittleEndian
var be = binary.BigEndian

const maxPayload = 16384

func w16(v int) []byte { b := make([]byte, 2); le.PutUint16(b, uint16(v)); return b }
func w32(v int) []byte { b := make([]byte, 4); le.PutUint32(b, uint32(v)); return b }
func cat(p ...[]byte) []byte {
	var r []byte
	for _, x := range p {
		r = append(r, x...)
	}
	return r
}

var devDesc = []byte{18, 1, 0, 2, 0xEF, 2, 1, 64, 0x09, 0x12, 0x01, 0x00, 0, 1, 1, 2, 3, 1}
var strs = []string{"", "vmtest", "UVC sim camera", "SIM0001"}

const W, H, frameMax = 640, 480, 640 * 480 * 2

func config() []byte {
	it := []byte{18, 0x24, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0}
	ot := []byte{9, 0x24, 3, 3, 1, 1, 0, 1, 0}
	vch := cat([]byte{13, 0x24, 1, 0, 1}, w16(13+len(it)+len(ot)), w32(6000000), []byte{1, 1})
	fmtd := []byte{11, 0x24, 6, 1, 1, 1, 1, 0, 0, 0, 0}
	frm := cat([]byte{34, 0x24, 7, 1, 0}, w16(W), w16(H), w32(1000000), w32(100000000), w32(frameMax), w32(666666), []byte{2}, w32(333333), w32(666666))
	col := []byte{6, 0x24, 0x0D, 1, 1, 4}
	vsh := cat([]byte{14, 0x24, 1, 1}, w16(14+len(fmtd)+len(frm)+len(col)), []byte{0x81, 0, 3, 0, 0, 0, 1, 0})
	body := cat([]byte{8, 0x0B, 0, 2, 0x0E, 3, 0, 0},
		[]byte{9, 4, 0, 0, 0, 0x0E, 1, 0, 0}, vch, it, ot,
		[]byte{9, 4, 1, 0, 1, 0x0E, 2, 0, 0}, vsh, fmtd, frm, col,
		[]byte{7, 5, 0x81, 2, 0, 2, 0})
	return cat([]byte{9, 2}, w16(9+len(body)), []byte{2, 1, 0, 0x80, 250}, body)
}

var interval = 666666

func probe() []byte {
	return cat([]byte{1, 0, 1, 1}, w32(interval), w16(0), w16(0), w16(0), w16(0), w16(32), w32(frameMax), w32(maxPayload))
}

type urb struct {
	seq  uint32
	len_ int
}

var (
	conn   *os.File
	wmu    sync.Mutex
	qmu    sync.Mutex
	queue  []urb
	qc     = sync.NewCond(&qmu)
	frozen atomic.Bool
	trunc  atomic.Bool
)

func ret(seq uint32, status int32, data []byte, actual int) {
	h := make([]byte, 48)
	be.PutUint32(h[0:], 3)
	be.PutUint32(h[4:], seq)
	be.PutUint32(h[20:], uint32(status))
	be.PutUint32(h[24:], uint32(actual))
	wmu.Lock()
	conn.Write(append(h, data...))
	wmu.Unlock()
}

func control(s []byte, n int, out []byte) ([]byte, int32) {
	rt, rq, val, idx := s[0], s[1], int(le.Uint16(s[2:])), int(le.Uint16(s[4:]))
	cut := func(b []byte) ([]byte, int32) {
		if len(b) > n {
			b = b[:n]
		}
		return b, 0
	}
	switch {
	case rt == 0x80 && rq == 6:
		switch val >> 8 {
		case 1:
			return cut(devDesc)
		case 2:
			return cut(config())
		case 3:
			i := val & 255
			if i == 0 {
				return cut([]byte{4, 3, 9, 4})
			}
			if i < len(strs) {
				b := []byte{byte(2 + 2*len(strs[i])), 3}
				for _, c := range strs[i] {
					b = append(b, byte(c), 0)
				}
				return cut(b)
			}
		case 6:
			return cut([]byte{10, 6, 0, 2, 0xEF, 2, 1, 64, 1, 0})
		}
		return nil, -32
	case rt&0x80 == 0 && (rq == 9 || rq == 11 || rq == 1 && rt&0x60 == 0 || rq == 3):
		return nil, 0
	case rt&0x80 != 0 && rq == 0 && rt&0x60 == 0:
		return cut([]byte{0, 0})
	case rt == 0x80 && rq == 8:
		return cut([]byte{1})
	case rt == 0x81 && rq == 10:
		return cut([]byte{0})
	case rt == 0x21 && rq == 1 && idx&255 == 1:
		if len(out) >= 8 {
			if v := int(le.Uint32(out[4:])); v > 0 {
				interval = v
			}
		}
		return nil, 0
	case rt == 0xA1 && idx&255 == 1:
		switch rq {
		case 0x85:
			return cut(w16(26))
		case 0x86:
			return cut([]byte{3})
		}
		return cut(probe())
	}
	return nil, -32
}

func pump(jpg []byte) {
	fid := byte(0)
	next := time.Now()
	for {
		data := jpg
		if trunc.Load() {
			data = jpg[:len(jpg)/2]
		}
		if d := time.Until(next); d > 0 {
			time.Sleep(d)
		} else if d < -time.Second {
			next = time.Now()
		}
		next = next.Add(time.Duration(interval) * 100)
		for len(data) > 0 {
			qmu.Lock()
			for len(queue) == 0 || frozen.Load() {
				qc.Wait()
			}
			u := queue[0]
			queue = queue[1:]
			n := u.len_ - 2
			if n > maxPayload-2 {
				n = maxPayload - 2
			}
			if n > len(data) {
				n = len(data)
			}
			hd := byte(0x80) | fid
			if n == len(data) {
				hd |= 2
			}
			// Before the answer to an unlink of the same request, or the
			// kernel's driver hangs up: it has given the request back by then.
			ret(u.seq, 0, append([]byte{2, hd}, data[:n]...), n+2)
			qmu.Unlock()
			data = data[n:]
		}
		fid ^= 1
	}
}

func main() {
	jpg, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	if len(os.Args) > 2 {
		f, _ := strconv.Atoi(os.Args[2])
		interval = 10000000 / f
	}
	sp, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	conn = os.NewFile(uintptr(sp[0]), "usbip")
	if err := os.WriteFile("/sys/devices/platform/vhci_hcd.0/attach", []byte(fmt.Sprintf("0 %d 65538 3", sp[1])), 0); err != nil {
		fmt.Println("attach:", err)
		os.Exit(1)
	}
	syscall.Close(sp[1])
	sg := make(chan os.Signal, 4)
	signal.Notify(sg, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range sg {
			if s == syscall.SIGUSR1 {
				frozen.Store(!frozen.Load())
				qc.Broadcast()
			} else {
				trunc.Store(!trunc.Load())
			}
		}
	}()
	go pump(jpg)
	h := make([]byte, 48)
	for {
		if _, err := io.ReadFull(conn, h); err != nil {
			fmt.Println("end:", err)
			return
		}
		seq, dir, ep := be.Uint32(h[4:]), be.Uint32(h[12:]), be.Uint32(h[16:])
		switch be.Uint32(h) {
		case 1:
			n := int(be.Uint32(h[24:]))
			var out []byte
			if dir == 0 && n > 0 {
				out = make([]byte, n)
				io.ReadFull(conn, out)
			}
			if ep == 0 {
				b, st := control(h[40:48], n, out)
				a := len(b)
				if dir == 0 {
					b, a = nil, n
				}
				if os.Getenv("DEBUG") != "" {
					fmt.Printf("ctl % x -> %d %d\n", h[40:48], len(b), st)
				}
				ret(seq, st, b, a)
			} else {
				qmu.Lock()
				queue = append(queue, urb{seq, n})
				qc.Signal()
				qmu.Unlock()
			}
		case 2:
			t := be.Uint32(h[20:])
			st := int32(0)
			qmu.Lock()
			for i, u := range queue {
				if u.seq == t {
					queue = append(queue[:i:i], queue[i+1:]...)
					st = -104
					break
				}
			}
			qmu.Unlock()
			r := make([]byte, 48)
			be.PutUint32(r, 4)
			be.PutUint32(r[4:], seq)
			be.PutUint32(r[20:], uint32(st))
			wmu.Lock()
			conn.Write(r)
			wmu.Unlock()
		}
	}
}
