package localapi

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/egret-edge/egret/agent/api/serving/tfproto"
	"github.com/egret-edge/egret/test/smallmodel"
)

// askers ask without pause, half of them by REST and half by gRPC, and hold that
// each request is answered right.
type askers struct {
	t    *testing.T
	all  sync.WaitGroup
	stop context.CancelFunc
	each [4]atomic.Int64
}

func (d *device) askers(grpcAt string) *askers {
	d.t.Helper()
	ctx, stop := context.WithCancel(d.t.Context())
	a := &askers{t: d.t, stop: stop}
	d.t.Cleanup(a.end)
	client := tfproto.NewPredictionServiceClient(caller{at: grpcAt}.dial(d.t))
	for i := range a.each {
		picture := coloured(d.t, i)
		ask := func() (string, error) {
			res, body, err := d.post("/v1/models/m:classify", "image/png", picture)
			if err == nil && res.StatusCode != 200 {
				err = fmt.Errorf("%s: %s", res.Status, body)
			}
			return body, err
		}
		if i%2 == 1 {
			ask = func() (string, error) { return classify(client, picture) }
		}
		a.all.Go(func() {
			for ctx.Err() == nil {
				body, err := ask()
				if err != nil || !strings.Contains(body, smallmodel.Label(i)) {
					d.t.Errorf("client %d: %v %s", i, err, body)
					return
				}
				a.each[i].Add(1)
			}
		})
	}
	return a
}

func classify(client tfproto.PredictionServiceClient, picture []byte) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	feature := &tfproto.Feature{Kind: &tfproto.Feature_BytesList{BytesList: &tfproto.BytesList{Value: [][]byte{picture}}}}
	res, err := client.Classify(ctx, &tfproto.ClassificationRequest{ModelSpec: spec, Input: &tfproto.Input{
		Kind: &tfproto.Input_ExampleList{ExampleList: &tfproto.ExampleList{Examples: []*tfproto.Example{{
			Features: &tfproto.Features{Feature: map[string]*tfproto.Feature{"picture": feature}},
		}}}},
	}}, grpc.WaitForReady(true))
	return res.String(), err
}

func (a *askers) end() { a.stop(); a.all.Wait() }

// more waits until each has had some more answers.
func (a *askers) more(d *device) {
	d.t.Helper()
	for i := range a.each {
		before := a.each[i].Load()
		d.eventually(fmt.Sprintf("answers for client %d", i), func() bool { return d.t.Failed() || a.each[i].Load() > before+2 })
	}
}

// whole holds that no frame was lost: each is predicted, was replaced by a
// fresher one, or is in hand.
func (d *device) whole() {
	d.t.Helper()
	for _, c := range d.state().Cameras {
		const inHand = 4 // the slot, both of a worker's and the one that is captured
		if sum := c.Predicted + c.Dropped + c.Failed; sum > c.Captured || c.Captured-sum > inHand || c.Failed > 0 || c.Restarts > 0 || c.Predicted == 0 {
			d.t.Errorf("camera %s: %+v", c.Name, c.CameraTelemetry)
		}
	}
}

// TestReloadWhileAsked exchanges the model, its size included, and other settings
// under clients that never pause.
func TestReloadWhileAsked(t *testing.T) {
	grpcAt := freePort(t)
	settings := fmt.Sprintf("grpc: {enabled: true, listen: %q}", grpcAt)
	yaml := strings.ReplaceAll(fmt.Sprintf(colours, settings), "FPS", "50")
	d := newDevice(t, yaml)
	d.version(1, smallmodel.Options{Side: 32})
	d.version(2, smallmodel.Options{Side: 64, Seed: 2})
	d.begin().answers()
	a := d.askers(grpcAt)
	a.more(d)
	for i := range 4 {
		d.write(strings.Replace(yaml, "DIR/m/1", fmt.Sprintf("DIR/m/%d", 2-i%2), 1))
		d.reloaded()
		a.more(d)
		d.write(strings.Replace(yaml, "DIR/m/1", fmt.Sprintf("DIR/m/%d, top_k: %d", 2-i%2, 2+i), 1))
		d.reloaded()
		a.more(d)
	}
	a.end()
	d.whole()
	if s := d.state().Requests; s.Late+s.Refused > 0 {
		t.Errorf("requests %+v", s)
	}
}

// TestNewVersionWhileAsked: a version that comes into the model's folder proves
// itself and takes over, and nobody who asks meanwhile notices.
func TestNewVersionWhileAsked(t *testing.T) {
	grpcAt := freePort(t)
	yaml := strings.ReplaceAll(fmt.Sprintf(colours, fmt.Sprintf("grpc: {enabled: true, listen: %q}", grpcAt)), "FPS", "50")
	d := newDevice(t, strings.Replace(yaml, "DIR/m/1", "DIR/m", 1)+"\nupdates: {shadow_frames: 16, trial_frames: 16, poll: 100ms}\n")
	d.version(1, smallmodel.Options{Side: 32})
	d.begin().answers()
	a := d.askers(grpcAt)
	a.more(d)
	next := t.TempDir()
	if err := smallmodel.WriteBundle(filepath.Join(next, "2"), smallmodel.Options{Side: 32, Seed: 2}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(next, "2"), filepath.Join(d.dir, "m", "2")); err != nil {
		t.Fatal(err)
	}
	d.eventually("version 2", func() bool {
		u := d.state().Update
		return t.Failed() || u != nil && u.State == "committed" && u.Model.Version == 2
	})
	if _, body := d.get("/v1/models/m"); !strings.Contains(body, `"version": "2"`) {
		t.Errorf("status: %s", body)
	}
	a.more(d)
	a.end()
	d.whole()
}
