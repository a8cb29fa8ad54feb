package servinggrpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/servinggrpc"
)

// TestCostlyMessages are refused, and an honest one is answered after them.
func TestCostlyMessages(t *testing.T) {
	conn := start(t, servinggrpc.Options{MaxMessage: 1 << 20})
	empty := strings.Repeat("\x0a\x00", 500_000) // examples without content: 1 MB that unpacks to 60
	dims := strings.Repeat("\x12\x00", 500_000)
	for _, tt := range []struct {
		name, method string
		request      []byte
		code         codes.Code
		message      string
	}{
		{"too large", predict, make([]byte, 1<<20+1), codes.ResourceExhausted, "larger than max"},
		{"a million empty examples", classify, join(spec(1, "uint8"), sub(2, sub(1, empty))), codes.Internal, "unpacked"},
		{"a million dimensions", predict, request("uint8", join(number(1, dtUint8), sub(2, dims))), codes.Internal, "unpacked"},
		{"a million numbers", classify, join(spec(1, "uint8"), sub(2, sub(1, example("input", sub(3, sub(1, strings.Repeat("\x01", 1_000_000))))))), codes.Internal, "unpacked"},
		{"a length beyond the end", predict, []byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x7f}, codes.Internal, "unmarshal"},
		{"groups in groups", predict, []byte(strings.Repeat("\xa3\x06", 500_000)), codes.Internal, "unmarshal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := invoke(t.Context(), conn, tt.method, tt.request)
			if got := status.Convert(err); got.Code() != tt.code || !strings.Contains(got.Message(), tt.message) {
				t.Errorf("the answer is %v %.200q, want %v with %q", got.Code(), got.Message(), tt.code, tt.message)
			}
		})
	}
	if _, err := invoke(t.Context(), conn, predict, request("uint8", tensor(dtUint8, one))); err != nil {
		t.Errorf("an honest request after them: %v", err)
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	conn := start(t, servinggrpc.Options{})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", 64<<10))
	if _, err := invoke(ctx, conn, predict, request("uint8", tensor(dtUint8, one))); err == nil {
		t.Error("a header of 64 KiB was taken")
	}
	if _, err := invoke(t.Context(), conn, predict, request("uint8", tensor(dtUint8, one))); err != nil {
		t.Errorf("an honest request after it: %v", err)
	}
}

// blocked is a model that answers when it is let go on; started has an entry for
// each request that waits in it.
func blocked(models *fakeModels) (started, goOn chan struct{}) {
	started, goOn = make(chan struct{}, 100), make(chan struct{})
	m := newModel("uint8")
	answer := m.predict
	m.predict = func(ctx context.Context, examples [][]byte, answers []serving.Answer) error {
		started <- struct{}{}
		select {
		case <-goOn:
			return answer(ctx, examples, answers)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	models.find = func(serving.Selector) (serving.Model, error) { return m, nil }
	return started, goOn
}

// TestTooManyCalls has more than the limit: the rest is refused at once, and
// calls are taken again when those are answered.
func TestTooManyCalls(t *testing.T) {
	models := newModels()
	started, goOn := blocked(models)
	conn := start(t, servinggrpc.Options{Models: models, MaxCalls: 3})
	ok := request("uint8", tensor(dtUint8, one))
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			if _, err := invoke(t.Context(), conn, predict, ok); err != nil {
				t.Errorf("a call within the limit: %v", err)
			}
		})
	}
	for range 3 {
		<-started
	}
	if _, err := invoke(t.Context(), conn, predict, ok); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a call above the limit gave %v, want ResourceExhausted", err)
	}
	close(goOn)
	calls.Wait()
	eventually(t, "a call after the others", func() bool {
		_, err := invoke(t.Context(), conn, predict, ok)
		return err == nil
	})
}

// TestDeadlineOfTheClient ends a call that waits for the model.
func TestDeadlineOfTheClient(t *testing.T) {
	models := newModels()
	started, _ := blocked(models)
	conn := start(t, servinggrpc.Options{Models: models})
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := invoke(ctx, conn, predict, request("uint8", tensor(dtUint8, one)))
		got <- err
	}()
	<-started
	cancel()
	if err := <-got; status.Code(err) != codes.Canceled {
		t.Errorf("the call gave %v, want Canceled", err)
	}
}

// TestLargeMessagesWaitForEachOther sends more large requests than there is
// memory for: the others stay with the client until one is answered.
func TestLargeMessagesWaitForEachOther(t *testing.T) {
	models := newModels()
	m := newModel("uint8")
	m.info.Inputs[0].Shape = []int{1, 590, 590, 3} // a little less than 1 MiB
	m.target.Width, m.target.Height = 590, 590
	var active, most atomic.Int64
	started, goOn, answer := make(chan struct{}, 100), make(chan struct{}), m.predict
	m.predict = func(ctx context.Context, examples [][]byte, answers []serving.Answer) error {
		for n := active.Add(1); n > most.Load(); {
			most.Store(n)
		}
		defer active.Add(-1)
		started <- struct{}{}
		<-goOn
		return answer(ctx, examples, answers)
	}
	models.find = func(serving.Selector) (serving.Model, error) { return m, nil }
	conn := start(t, servinggrpc.Options{Models: models, MaxMessage: 1 << 20})
	large := request("uint8", tensor(dtUint8, []int64{1, 590, 590, 3}, content(make([]byte, 590*590*3)...)))
	const calls = 24
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if _, err := invoke(t.Context(), conn, predict, large); err != nil {
				t.Errorf("a large request: %v", err)
			}
		})
	}
	for range calls {
		<-started
		goOn <- struct{}{}
	}
	all.Wait()
	if most.Load() > 4 {
		t.Errorf("%d of the largest messages were held at a time, want 4 at most", most.Load())
	}
}

// TestConnections has more than there may be that say nothing: an honest one is
// answered, and one whose call is under way stays.
func TestConnections(t *testing.T) {
	models := newModels()
	started, goOn := blocked(models)
	addr := listen(t, servinggrpc.Options{Models: models, MaxConnections: 2})
	got := make(chan error, 1)
	go func() {
		_, err := invoke(t.Context(), connect(t, addr), predict, request("uint8", tensor(dtUint8, one)))
		got <- err
	}()
	<-started
	var silent []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// The server's first bytes show that it has taken the connection.
		if _, err := io.ReadFull(c, make([]byte, 9)); err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	for i, c := range silent[:len(silent)-1] {
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("silent connection %d: %v", i, err)
		}
	}
	if _, err := invoke(t.Context(), connect(t, addr), state, spec(1, "uint8")); err != nil {
		t.Errorf("the honest request: %v", err)
	}
	close(goOn)
	if err := <-got; err != nil {
		t.Errorf("the call that was under way: %v", err)
	}
}

// TestStrangersBodyIsNotRead sends a large message without the token: the
// answer comes before the message could have been taken.
func TestStrangersBodyIsNotRead(t *testing.T) {
	conn := start(t, servinggrpc.Options{Auth: func(string) bool { return false }})
	_, err := invoke(t.Context(), conn, predict, sub(999, make([]byte, 8<<20)))
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("the call gave %v, want Unauthenticated", err)
	}
}

// TestGarbageInsteadOfHTTP2 ends the connection, not the server.
func TestGarbageInsteadOfHTTP2(t *testing.T) {
	addr := listen(t, servinggrpc.Options{})
	for _, garbage := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("\xff", 4096),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 4096),
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, garbage) // it may be closed before all is written
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection stayed open after %.20q", garbage)
		}
		_ = c.Close()
	}
	if _, err := invoke(t.Context(), connect(t, addr), state, spec(1, "uint8")); err != nil {
		t.Errorf("an honest request after it: %v", err)
	}
}

// FuzzRequest hands any bytes to the calls, by the network and all: the server
// must answer, and must go on.
func FuzzRequest(f *testing.F) {
	for _, tt := range predictions(f) {
		f.Add(uint8(0), tt.request)
	}
	for _, tt := range classifications(f) {
		f.Add(uint8(1), tt.request)
	}
	methods := []string{predict, classify, signatures, state}
	for _, tt := range refused(f) {
		for i, m := range methods {
			if m == tt.method {
				f.Add(uint8(i), tt.request)
			}
		}
	}
	conn := start(f, servinggrpc.Options{MaxMessage: 1 << 20})
	f.Fuzz(func(t *testing.T, method uint8, request []byte) {
		answer, err := invoke(t.Context(), conn, methods[int(method)%len(methods)], request)
		switch status.Code(err) {
		case codes.OK:
			if n := fieldsOf(answer); n < 0 {
				t.Errorf("the answer %x is no message", answer)
			}
		case codes.Unknown, codes.Unavailable:
			if !strings.Contains(err.Error(), serving.ErrGone.Error()) {
				t.Errorf("the server failed: %v", err)
			}
		case codes.Internal:
			if strings.Contains(err.Error(), "log why") && !strings.Contains(string(request), "panics") {
				t.Errorf("the server panicked: %v", err)
			}
		}
	})
}

// fieldsOf counts a message's fields; below zero when it is none.
func fieldsOf(b []byte) (n int) {
	for ; len(b) > 0; n++ {
		_, _, used := protowire.ConsumeField(b)
		if used < 0 {
			return used
		}
		b = b[used:]
	}
	return n
}

// eventually polls for what has to come true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); runtime.Gosched() {
		if done() {
			return
		}
	}
	t.Fatalf("%s did not come", what)
}

func BenchmarkPredict(b *testing.B) {
	models := newModels()
	m := newModel("uint8")
	m.info.Inputs[0].Shape = []int{1, 224, 224, 3}
	m.target.Width, m.target.Height = 224, 224
	models.find = func(serving.Selector) (serving.Model, error) { return m, nil }
	conn := start(b, servinggrpc.Options{Models: models})
	dims, values := []int64{1, 224, 224, 3}, make([]int64, 224*224*3)
	for name, r := range map[string][]byte{
		"tensor_content": request("uint8", tensor(dtUint8, dims, content(make([]byte, len(values))...))),
		"int_val":        request("uint8", tensor(dtUint8, dims, whole(7, values...))),
		"one value":      request("uint8", tensor(dtUint8, dims, whole(7, 1))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(r)))
			for b.Loop() {
				if _, err := invoke(b.Context(), conn, predict, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
