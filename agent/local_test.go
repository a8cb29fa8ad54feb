package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/apitest"
	"github.com/egret-edge/egret/test/smallmodel"
)

// TestLocal holds the agent, with a model and a camera that run, to what its
// local interface may rely on.
func TestLocal(t *testing.T) {
	dir := t.TempDir()
	if err := smallmodel.WriteBundle(filepath.Join(dir, "m", "1"), smallmodel.Options{Side: 32}); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "egret.yaml")
	yaml := fmt.Sprintf(`
device: cam-7
state_dir: %[1]s/state
models: [{name: m, path: %[1]s/m}]
cameras: [{name: c, source: "pattern:?fps=50&size=64x64"}]
mqtt: {enabled: false}
inference: {delegate: cpu, threads: 1}
api: {listen: "127.0.0.1:0"}
`, dir)
	if err := os.WriteFile(config, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := newAgent(Options{ConfigPath: config, Version: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.Now().Add(time.Minute); len(a.view().cameras) == 0 || a.box.Stats().Produced < 20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the agent keeps no predictions")
		}
	}
	apitest.Suite(t, local{a}, "c")

	// Who waits for a page that another reads, and goes away, reads none.
	a.pages <- struct{}{}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := (local{a}).Predictions(gone, api.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a page beside another's: error %v", err)
	}
	<-a.pages
	if p, err := (local{a}).Predictions(t.Context(), api.Query{}); err != nil || len(p.Predictions) == 0 {
		t.Errorf("%d predictions, error %v", len(p.Predictions), err)
	}
}
