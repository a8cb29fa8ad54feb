package broker

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyLoopback(t *testing.T) {
	for _, c := range []struct {
		listen, problem string
	}{
		{"", ""},
		{"127.0.0.1:0", ""},
		{"[::1]:0", ""},
		{"localhost:0", ""},
		{"127.9.9.9:1883", ""},
		{":1883", "not on loopback"},
		{"0.0.0.0:1883", "not on loopback"},
		{"[::]:1883", "not on loopback"},
		{"192.168.1.4:1883", "not on loopback"},
		{"example.org:1883", "not on loopback"},
		{"127.0.0.1", "not host:port"},
	} {
		_, err := New(Options{Listen: c.listen})
		if c.problem == "" && err != nil {
			t.Errorf("%q: %v", c.listen, err)
		}
		if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%q: %v, want %q", c.listen, err, c.problem)
		}
	}
}

func TestPortInUseIsSaidBeforeRun(t *testing.T) {
	first, err := New(Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Listen(); err != nil {
		t.Fatal(err)
	}
	defer first.ln.Close()
	second, err := New(Options{Listen: first.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	err = second.Listen()
	if err == nil || !strings.Contains(err.Error(), first.Addr()+" is in use") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line that names the address", err)
	}
}

func TestServesUntilTheContextEnds(t *testing.T) {
	b, err := New(Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	lost := make(chan error, 1)
	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + b.Addr()).SetAutoReconnect(false).
		SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }))
	token := client.Connect()
	<-token.Done()
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	<-lost
}

// TestRetainedSurvivesASetClock: to a clock that was set forward, what was
// published before is years old.
func TestRetainedSurvivesASetClock(t *testing.T) {
	server := newServer(slog.New(slog.DiscardHandler))
	server.Topics.Retained.Add("egret/status", packets.Packet{TopicName: "egret/status", Created: time.Now().AddDate(-20, 0, 0).Unix()})
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond) // mochi looks every second
	if _, ok := server.Topics.Retained.Get("egret/status"); !ok {
		t.Error("a retained message was dropped for its age")
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}
