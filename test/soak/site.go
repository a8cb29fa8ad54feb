package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/image/draw"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/mosquitto"
)

// site is everything around the agent, and the agent.
type site struct {
	settings
	webcam     *webcam
	programs   *programs
	mosquitto  *mosquitto.Broker
	link       *link
	subscriber *subscriber
	faults     *faults
	clients    *clients
	sampler    *sampler
	agent      *agentProcess
	ends       []func() // last in, first out
}

var topics = payload.Topics{Fleet: "default", Device: "soak"}

// build starts all parts; end ends those that were started, also when it fails
// half-way.
func (s *site) build(ctx context.Context, o options, dir string) (err error) {
	s.dir = dir
	if s.root, err = os.Getwd(); err != nil {
		return err
	}
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	s.classifier = filepath.Join(s.root, "models", "mobilenet_v1_1.0_224_quant")
	s.street = filepath.Join(s.root, "models", "ssd_mobilenet_v1_quant")
	for _, part := range []func() error{s.buildCameras, func() error { return s.buildBroker(ctx) }, s.buildFolders} {
		if err := part(); err != nil {
			return err
		}
	}
	s.faults = &faults{webcam: s.webcam, programs: s.programs, link: s.link, broker: s.mosquitto, subscriber: s.subscriber, counts: map[string]int{}}
	return s.startAgent(ctx, o)
}

func (s *site) buildCameras() (err error) {
	frames, err := pictures(filepath.Join(s.root, "samples", "detect", "example.jpg"))
	if err != nil {
		return err
	}
	s.picture = filepath.Join(s.dir, "frame.jpg")
	if err := os.WriteFile(s.picture, frames[0], 0o600); err != nil {
		return err
	}
	if s.webcam, err = newWebcam(frames); err != nil {
		return err
	}
	s.settings.webcam = s.webcam.addr
	s.ends = append(s.ends, s.webcam.refuse)
	if s.programs, err = newPrograms(); err != nil {
		return err
	}
	s.control = s.programs.ln.Addr().String()
	s.ends = append(s.ends, s.programs.close)
	s.clients = &clients{picture: frames[0], counts: map[string]int{}}
	return nil
}

func (s *site) buildBroker(ctx context.Context) (err error) {
	dir := filepath.Join(s.dir, "mosquitto")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if s.mosquitto, err = startBroker(dir); err != nil {
		return err
	}
	s.ends = append(s.ends, s.mosquitto.Stop)
	if s.link, err = newLink(s.mosquitto.Addr()); err != nil {
		return err
	}
	s.broker = s.link.addr()
	s.ends = append(s.ends, s.link.close)
	s.subscriber = newSubscriber(s.mosquitto.Addr(), topics.Predictions())
	listening, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { s.subscriber.run(listening); close(done) }()
	s.ends = append(s.ends, func() { stop(); <-done })
	return s.subscriber.await(ctx, true)
}

func (s *site) buildFolders() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.api = ln.Addr().String() // free a moment later; the agent tries again when it is not
	return errors.Join(ln.Close(), os.Mkdir(s.state(), 0o700), os.Mkdir(s.tmp(), 0o700))
}

func (s *site) tmp() string { return filepath.Join(s.dir, "tmp") }

func (s *site) startAgent(ctx context.Context, o options) (err error) {
	if err := s.write(s.text(s.base())); err != nil {
		return err
	}
	if s.agent, err = startAgent(ctx, o.egret, s.path(), s.tmp(), o.log); err != nil {
		return err
	}
	s.ends = append(s.ends, func() { _, _ = s.agent.stop() }) // it has ended, unless something failed
	s.clients.api = s.api
	s.sampler = &sampler{pid: s.agent.pid(), api: s.api, state: s.state(), tmp: s.tmp(), client: &http.Client{Timeout: time.Minute}}
	return nil
}

func (s *site) end() {
	for i := len(s.ends) - 1; i >= 0; i-- {
		s.ends[i]()
	}
}

// pictures are JPEG frames of one picture in several sizes.
func pictures(path string) (frames [][]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: run make deps in the repository's folder", err)
	}
	defer f.Close()
	whole, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, size := range []image.Point{{640, 480}, {320, 240}, {1280, 720}, {641, 479}, {160, 120}, {1920, 1080}} {
		scaled := image.NewRGBA(image.Rectangle{Max: size})
		draw.ApproxBiLinear.Scale(scaled, scaled.Bounds(), whole, whole.Bounds(), draw.Src, nil)
		var b bytes.Buffer
		if err := jpeg.Encode(&b, scaled, nil); err != nil {
			return nil, err
		}
		frames = append(frames, b.Bytes())
	}
	return frames, nil
}
