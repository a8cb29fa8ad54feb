package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/sync/ota/bundle"
	"github.com/egret-edge/egret/sync/ota/update"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

// updates takes the figures of model updates: what a swap costs the frames, and
// verification the device.
func updates(ctx context.Context, o options) ([]result, error) {
	const model = "models/mobilenet_v1_1.0_224_quant"
	b, err := tflite.OpenBundle(model)
	if err != nil {
		return nil, fmt.Errorf("%w: run make deps", err)
	}
	swaps, err := swap(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("swap: %w", err)
	}
	verified, err := verify(o, b.Dir)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return append(swaps, verified...), nil
}

const (
	// swapFrames a second leave a small model much time to spare, so that no
	// frame is dropped by policy and each one that is missing is the swap's.
	swapFrames = 10
	// swapNames is how many frames bear another name before the first again.
	swapNames = 500
	swapTimes = 8
	// swapNear is how many predictions before and after a swap are looked at.
	swapNear = 4
)

// answer is one prediction as the recorder saw it.
type answer struct {
	at             time.Time
	frame, version int
}

// swap runs the agent on numbered frames and gives it one version after the
// other, as files in the model's folder.
func swap(ctx context.Context, o options) ([]result, error) {
	dir := filepath.Join(o.dir, "swap")
	models, frames := filepath.Join(dir, "models", "m"), filepath.Join(dir, "frames")
	if err := os.MkdirAll(frames, 0o755); err != nil {
		return nil, err
	}
	frame, err := frame640(filepath.Join(dir, "frame.jpg"))
	if err != nil {
		return nil, err
	}
	for i := range swapNames {
		if err := os.WriteFile(filepath.Join(frames, fmt.Sprintf("%04d.jpg", i)), frame.Image.Data, 0o644); err != nil {
			return nil, err
		}
	}
	version := func(v int) error {
		return smallmodel.WriteBundle(filepath.Join(models, strconv.Itoa(v)), smallmodel.Options{Seed: uint64(v)})
	}
	if err := version(1); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "egret.yaml")
	text := fmt.Sprintf(`device: bench
state_dir: %s
models: [{name: m, path: %s}]
cameras: [{name: c, source: "folder:%s?fps=%d&loop=true"}]
inference: {delegate: cpu, threads: 1}
mqtt: {enabled: false}
updates: {poll: 200ms, shadow_frames: 2, trial_frames: %d}
`, filepath.Join(dir, "state"), models, frames, swapFrames, swapNear+2)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	log, err := watchSwaps(ctx, config, version)
	if err != nil {
		return nil, err
	}
	lost, gaps := 0, []float64{}
	var steps []float64
	for i := 1; i < len(log); i++ {
		steps = append(steps, log[i].at.Sub(log[i-1].at).Seconds())
		if log[i].version == log[i-1].version {
			continue
		}
		gaps = append(gaps, steps[i-1])
		for k := max(1, i-swapNear); k < min(len(log), i+swapNear); k++ {
			lost += (log[k].frame-log[k-1].frame+swapNames)%swapNames - 1
		}
	}
	if len(gaps) != swapTimes {
		return nil, fmt.Errorf("%d swaps, want %d", len(gaps), swapTimes)
	}
	interval := median(steps)
	for i := range gaps {
		gaps[i] /= interval
	}
	return []result{
		{"swap_lost_frames", float64(lost), fmt.Sprintf("in %d swaps", swapTimes), budget(0), lost == 0},
		{"swap_gap_over_frame_interval", median(gaps), "ratio", nil, true},
	}, nil
}

// watchSwaps runs the agent until it has swapped swapTimes; more puts another
// version into the folder.
func watchSwaps(ctx context.Context, config string, more func(version int) error) (log []answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var mu sync.Mutex
	changed := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.Options{
			ConfigPath: config, Version: "bench", Log: slog.New(slog.DiscardHandler),
			OnPrediction: func(p *payload.Prediction) {
				number, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(p.File), ".jpg")) // named so above
				mu.Lock()
				log = append(log, answer{time.Now(), number, p.Model.Version})
				mu.Unlock()
				select {
				case changed <- struct{}{}:
				default:
				}
			},
		})
	}()
	// Until version v has answered for a while.
	settled := func(v int) error {
		for n := 0; n <= swapNear; {
			select {
			case <-changed:
			case err := <-done:
				return errors.Join(err, ctx.Err(), errors.New("the agent ended"))
			}
			mu.Lock()
			n = 0
			for i := len(log) - 1; i >= 0 && log[i].version == v; i-- {
				n++
			}
			mu.Unlock()
		}
		return nil
	}
	for v := 1; v <= swapTimes+1 && err == nil; v++ {
		if v > 1 {
			err = more(v)
		}
		if err == nil {
			err = settled(v)
		}
	}
	if err != nil {
		return nil, err
	}
	cancel()
	if err := <-done; err != nil {
		return nil, err
	}
	return log, nil
}

// verify times what a device does with a bundle that it has fetched: hash,
// unpack, look at it. The baseline is the hash alone.
func verify(o options, source string) ([]result, error) {
	dir := filepath.Join(o.dir, "verify")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	zip := filepath.Join(dir, "m-1.zip")
	if err := bundle.Pack(source, zip); err != nil {
		return nil, err
	}
	info, err := os.Stat(zip)
	if err != nil {
		return nil, err
	}
	var all, hash []float64
	for i := range 12 {
		start := time.Now()
		sum, err := sha256File(zip)
		if err != nil {
			return nil, err
		}
		hash = append(hash, time.Since(start).Seconds())
		start = time.Now()
		err = update.Verify(zip, sum, filepath.Join(dir, "m", strconv.Itoa(i+1)), func(fresh string) error {
			_, err := tflite.OpenBundle(fresh)
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, time.Since(start).Seconds())
	}
	mb := float64(info.Size()) / 1e6
	return []result{
		{"verify_ms_per_mb", median(all) * 1e3 / mb, "ms per MB", nil, true},
		{"verify_over_sha256", median(all) / median(hash), "ratio", nil, true},
	}, nil
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}
