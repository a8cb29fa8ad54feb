package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/mosquitto"
)

// delivery takes the figures of the way from the outbox to the broker. No
// model is needed for them: predictions are made up.
func delivery(ctx context.Context, o options) (_ []result, err error) {
	m := &bench{options: o}
	if m.dir, err = os.MkdirTemp(o.dir, "delivery-"); err != nil {
		return nil, err
	}
	fmt.Println("delivery:")
	broker, err := startBroker(m.dir)
	if err != nil {
		fmt.Println("  left out:", err)
		return nil, nil
	}
	defer broker.Stop()
	for _, step := range []func(context.Context, string) error{m.flash, m.drain, m.live} {
		if err := step(ctx, broker.Addr()); err != nil {
			return nil, err
		}
	}
	return m.results, nil
}

// host is what the broker's helper expects of a test.
type host struct{ dir string }

type stopped string

func (host) Helper()                   {}
func (h host) TempDir() string         { return h.dir }
func (host) Cleanup(func())            {} // whoever started it stops it
func (host) Fatal(a ...any)            { panic(stopped(fmt.Sprint(a...))) }
func (host) Fatalf(f string, a ...any) { panic(stopped(fmt.Sprintf(f, a...))) }
func (s stopped) Error() string        { return string(s) }

func startBroker(dir string) (b *mosquitto.Broker, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case stopped:
			err = p
		default:
			panic(p)
		}
	}()
	return mosquitto.Start(host{dir}, mosquitto.Config{}), nil
}

var topics = payload.Topics{Fleet: "default", Device: "cam-7"}

func clientOptions(addr string, boot uint64) mqtt.Options {
	return mqtt.Options{Broker: "tcp://" + addr, Topics: topics, Boot: boot}
}

// scene makes up the predictions of one camera: at 15 frames a second, of some
// labels, with scores and latencies that vary as real ones do.
type scene struct {
	p    payload.Prediction
	rand *rand.Rand
	buf  []byte
}

const (
	storedCamera = "front"
	liveCamera   = "live"
)

func newScene(camera string, boot uint64) *scene {
	return &scene{
		rand: rand.New(rand.NewPCG(boot, 1)),
		p: payload.Prediction{
			Device: topics.Device, Boot: boot, Camera: camera, Clock: payload.ClockSynced,
			Time:     time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC),
			Model:    payload.Model{Name: "mobilenet_v1", Version: 3, Digest: "sha256:c4149e63f56056d9a564ceed1d96a84d7a50d90b0ff1da01f72afabe752ef097"},
			Delegate: "xnnpack", Task: payload.Classify, Results: make([]payload.Result, 1),
		},
	}
}

var labels = []string{"tabby", "Egyptian cat", "tiger cat", "lynx", "remote control", "sports car", "minivan", "mountain bike",
	"traffic light", "military uniform", "umbrella", "street sign"}

// next is the next prediction's JSON, valid until the next call.
func (s *scene) next() []byte {
	s.p.Time = s.p.Time.Add(66*time.Millisecond + time.Duration(s.rand.IntN(4)-2)*time.Millisecond)
	return s.at(s.p.Time)
}

func (s *scene) at(t time.Time) []byte {
	p := &s.p
	p.Seq++
	p.Time = t
	i := s.rand.IntN(len(labels))
	p.Results[0] = payload.Result{Index: 281 + 17*i, Label: labels[i], Score: float32(s.rand.IntN(256)) / 256} // as of a uint8 model
	l := payload.Latency{Wait: 50 + s.rand.Int64N(200), Decode: 800 + s.rand.Int64N(300), Invoke: 7000 + s.rand.Int64N(900)}
	l.Total = l.Wait + l.Decode + l.Invoke + s.rand.Int64N(50)
	p.Latency = l
	s.buf, _ = p.AppendJSON(s.buf[:0]) // its scores are numbers
	return s.buf
}

// perFlush is how many records a flush of the backlogs holds: what a camera
// gives in the default interval, about.
const perFlush = 100

// fill makes an outbox with n stored records.
func fill(path string, n int) error {
	box, err := outbox.Open(outbox.Options{Path: path, FlushInterval: time.Hour, MaxBytes: backlogBytes})
	if err != nil {
		return err
	}
	s := newScene(storedCamera, box.Boot())
	for i := 1; i <= n; i++ {
		if err := box.Append(s.next()); err != nil {
			return err
		}
		if i%perFlush == 0 {
			if err := box.Flush(); err != nil {
				return err
			}
		}
	}
	return box.Close()
}

// backlogBytes has room for a million records.
const backlogBytes = 1 << 30

// copyOf copies an outbox to a path in m.dir, since each round drains it.
func (m *bench) copyOf(path string) (string, error) {
	to := filepath.Join(m.dir, "round")
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return "", err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync() // or the writing back goes on into the measurement
	}
	if e := out.Close(); err == nil {
		err = e
	}
	return to, err
}
