package localapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/egret-edge/egret/test/smallmodel"
)

// siege is a device of a process of its own, and those who mean it harm.
type siege struct {
	*device
	grpcAt  string
	ctx     context.Context
	release context.CancelFunc // sends all away
	begun   sync.WaitGroup     // until each attack has done its worst
	all     sync.WaitGroup
	wide    int // connections to open
}

const (
	// mostMemory is what the process may have had resident, in bytes, at the
	// worst. It is the sum of what it takes by itself (some 40 MiB) and what the limits allow: bodies under way on HTTP (four of
	// max_body, 64 MiB) and on gRPC (four messages, and what they unpack to), as
	// much again that the collector has not found yet, and buffers of 2 × 256
	// connections. Measured: 140 to 180 MiB. A single body of 1 GiB, or 10,000 connections with a buffer
	// and a stack each, do not fit.
	mostMemory = 384 << 20
	// keptMemory is how much more it may hold when all are gone: pools, stacks
	// and pages that Go's runtime gives back late.
	keptMemory = 64 << 20
	// goodTime bounds how long a client of good will waits among all of them.
	// It is no expectation of speed: two cores do all of it, both sides.
	goodTime = 30 * time.Second
)

// TestHostile has all that mean harm come at once, to a device that shall do its
// work meanwhile.
func TestHostile(t *testing.T) {
	s := newSiege(t)
	before := s.load()
	attacks := map[string]func(){
		"slow loris": s.slowLoris, "connections": s.connections, "bodies": s.bodies, "requests": s.badRequests,
		"stalled readers": s.stalledReaders, "HTTP/2 preface": s.prefaces, "resets": s.resets,
	}
	for name, attack := range attacks {
		s.begun.Add(1)
		s.all.Go(func() {
			began := time.Now()
			attack()
			t.Logf("%s did its worst within %v", name, time.Since(began).Round(time.Millisecond))
			s.begun.Done()
			<-s.ctx.Done()
		})
	}
	worst := make(chan struct{})
	go func() { s.begun.Wait(); close(worst) }()
	rounds, slowest := 0, time.Duration(0)
	for over := false; !over; rounds++ {
		select {
		case <-worst:
			over = true // and once more, with all of them there
		default:
		}
		began := time.Now()
		s.good()
		slowest = max(slowest, time.Since(began))
		s.goesOn(2)
	}
	s.release()
	s.all.Wait()
	peak := s.memory("VmHWM")
	if peak > mostMemory {
		t.Errorf("%d MiB were resident at the worst, want at most %d", peak>>20, mostMemory>>20)
	}
	var after load
	s.eventually("the end of what they left behind", func() bool {
		s.good() // what it allocates also lets the collector run
		after = s.load()
		return after.goroutines <= before.goroutines+8 && after.memory <= before.memory+keptMemory
	})
	t.Logf("%d rounds of good requests, the slowest in %v; resident %d MiB before, %d at the worst, %d after; goroutines %d before, %d after",
		rounds, slowest.Round(time.Millisecond), before.memory>>20, peak>>20, after.memory>>20, before.goroutines, after.goroutines)
	s.goesOn(5)
	s.whole()
	s.stop()
	for _, word := range []string{"panic", "did not end in time", "level=ERROR"} {
		if s.log.count(word) > 0 {
			t.Errorf("the log has %q", word)
		}
	}
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	s := &siege{grpcAt: freePort(t)}
	yaml := strings.NewReplacer("FPS", "20", "96x96", "640x480").Replace(fmt.Sprintf(colours, fmt.Sprintf("grpc: {enabled: true, listen: %q}", s.grpcAt)))
	s.device = newDevice(t, yaml)
	// Its clients come one request to a connection, and come again.
	s.client.Transport.(*http.Transport).DisableKeepAlives = true
	s.version(1, smallmodel.Options{Side: 32})
	s.beginChild()
	for range 5 {
		s.good()
	}
	s.ctx, s.release = context.WithCancel(t.Context())
	t.Cleanup(func() { s.release(); s.all.Wait() })
	const want, spare = 10_000, 4_000 // files of ours and of the other attacks
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil { // Go has raised it already
		t.Fatal(err)
	}
	s.wide = want
	if most := int(min(limit.Cur, 1<<20)) - spare; most < want {
		s.wide = max(most, 100)
		t.Logf("%d connections at a time in place of %d: this process may open %d files", s.wide, want, limit.Cur)
	}
	return s
}

// good is a client of good will with connections of its own. Among thousands
// from its own address one may be cut off; it comes again.
func (s *siege) good() {
	s.t.Helper()
	picture := coloured(s.t, 0)
	s.within("a classification", func() bool {
		res, body, err := s.post("/v1/models/m:classify", "image/png", picture)
		return err == nil && res.StatusCode == 200 && strings.Contains(body, "red")
	})
	s.within("health over gRPC", func() bool {
		c := caller{at: s.grpcAt}
		conn := c.dial(s.t)
		defer conn.Close()
		res, err := healthpb.NewHealthClient(conn).Check(c.context(s.t), &healthpb.HealthCheckRequest{})
		return err == nil && res.Status == healthpb.HealthCheckResponse_SERVING
	})
}

func (s *siege) within(what string, ok func() bool) {
	s.t.Helper()
	began := time.Now()
	s.eventually(what, ok)
	if took := time.Since(began); took > goodTime {
		s.t.Errorf("%s took %v", what, took)
	}
}

// goesOn waits for n more predictions of the camera.
func (s *siege) goesOn(n float64) {
	s.t.Helper()
	var now float64
	s.eventually("the camera's count", func() bool { return s.count(&now) })
	first := now
	s.within("more predictions of the camera", func() bool { return s.count(&now) && now >= first+n })
}

// count asks for the camera's count of predictions; false when it was cut off.
func (s *siege) count(n *float64) bool {
	text, ok := s.scrape()
	if ok {
		*n = value(s.t, text, `egret_camera_frames_total{camera="c",result="predicted"}`)
	}
	return ok
}

func (s *siege) scrape() (string, bool) {
	res, err := s.client.Get(s.url + "/metrics")
	if err != nil {
		return "", false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err == nil && res.StatusCode == 200
}

// load is what the process takes.
type load struct {
	goroutines, memory uint64
}

func (s *siege) load() load {
	s.t.Helper()
	var text string
	s.eventually("metrics", func() (ok bool) { text, ok = s.scrape(); return ok })
	return load{goroutines: uint64(value(s.t, text, "go_goroutines")), memory: s.memory("VmRSS")}
}

// memory is a line of the process's status, in bytes (proc(5)).
func (s *siege) memory(name string) uint64 {
	s.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseUint(strings.Fields(text)[0], 10, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n << 10
		}
	}
	s.t.Fatalf("no %s in %s", name, data)
	return 0
}

// dial opens a connection that lasts until all are sent away; nil when it was
// not let in.
func (s *siege) dial(addr string) net.Conn {
	var dialer net.Dialer
	c, err := dialer.DialContext(s.ctx, "tcp", addr)
	if err != nil {
		return nil
	}
	s.all.Go(func() { <-s.ctx.Done(); c.Close() })
	return c
}

// send opens a connection and says something.
func (s *siege) send(addr, text string) net.Conn {
	c := s.dial(addr)
	if c != nil {
		_ = c.SetWriteDeadline(time.Now().Add(goodTime))
		_, _ = io.Copy(c, bytes.NewReader([]byte(text))) // it may hang up in the middle
	}
	return c
}
