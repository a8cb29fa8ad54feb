package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/agent/checkup"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
)

// cameraPatience is how long the doctor waits for a camera's first frame; USB
// cameras take up to three seconds to set their exposure.
const cameraPatience = 8 * time.Second

// checkCamera looks at what the source names, then has the running agent say
// how it fares, and without one takes a frame.
func (d *doctor) checkCamera(ctx context.Context, cc configs.Camera) checkup.Verdict {
	src, err := sensors.Open(cc.Source, sensors.Options{})
	if err != nil {
		return checkup.Of("", err)
	}
	device, words := sensors.V4L2Device(cc.Source), sensors.CommandWords(cc.Source)
	hint := checkup.Verdict{Level: checkup.OK}
	switch {
	case device != "":
		hint = d.Camera(device, d.unit)
	case words != nil:
		hint = d.Program(words, d.unit)
	}
	if hint.Level == checkup.Fail {
		return hint
	}
	if c, ok := d.agent.camera(cc.Name, src.String()); ok {
		return worse(c.verdict(), hint)
	}
	if d.agent != nil {
		hint = checkup.Verdict{Level: checkup.Warn, Detail: "the running agent does not have it so yet: sudo systemctl reload egret"}
	}
	if words != nil && d.agentErr != nil {
		return checkup.Verdict{Level: checkup.Warn, Detail: fmt.Sprintf("not tried, the running agent may have it and cannot be asked: %v", d.agentErr)}
	}
	detail, err := firstFrame(ctx, src)
	if err != nil {
		if d.agentErr != nil && d.heldByAgent(device) {
			return checkup.Verdict{Level: checkup.Warn, Detail: fmt.Sprintf("the running agent has it open; whether pictures come it cannot be asked: %v", d.agentErr)}
		}
		return checkup.Of("", fmt.Errorf("%w%s", err, d.busy(device)))
	}
	return worse(checkup.Verdict{Level: checkup.OK, Detail: detail}, hint)
}

// worse is v, unless the hint has something to say of a thing that works.
func worse(v, hint checkup.Verdict) checkup.Verdict {
	if v.Level == checkup.OK && hint.Level != checkup.OK {
		return checkup.Verdict{Level: hint.Level, Detail: v.Detail + "; but " + hint.Detail}
	}
	return v
}

// busy names who has the device open, for the end of an error's line.
func (d *doctor) busy(device string) string {
	if device == "" {
		return ""
	}
	var who []string
	for _, h := range d.Holders(device) {
		who = append(who, h.String())
	}
	switch {
	case len(who) > 0:
		return fmt.Sprintf("; %s is open in %s: stop it, or name another camera", device, strings.Join(who, ", "))
	case d.agentErr != nil:
		return fmt.Sprintf("; an agent runs, and may have the camera, but cannot be asked: %v", d.agentErr)
	case os.Geteuid() > 0:
		return "; sudo egret doctor can tell who has it open"
	}
	return ""
}

// heldByAgent tells whether who has the outbox has this device too.
func (d *doctor) heldByAgent(device string) bool {
	if device == "" {
		return false
	}
	agents := d.Holders(filepath.Join(d.cfg.StateDir, OutboxFile))
	return slices.ContainsFunc(d.Holders(device), func(h checkup.Holder) bool { return slices.Contains(agents, h) })
}

// driverPatience is how long a source may take to end when it is told to.
const driverPatience = 7 * time.Second

// firstFrame runs the source until its first frame. A driver that hangs would
// not return from the kernel: it is left behind.
func firstFrame(ctx context.Context, src sensors.Source) (string, error) {
	type outcome struct {
		detail string
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		detail, err := runToFrame(ctx, src)
		done <- outcome{detail, err}
	}()
	hung := time.NewTimer(cameraPatience + driverPatience)
	defer hung.Stop()
	select {
	case o := <-done:
		return o.detail, o.err
	case <-hung.C:
		return "", fmt.Errorf("%s neither gives a frame nor ends: does its driver hang? dmesg | tail, then pull it out and plug it in", src)
	}
}

func runToFrame(ctx context.Context, src sensors.Source) (detail string, err error) {
	ctx, cancel := context.WithTimeout(ctx, cameraPatience)
	defer cancel()
	start := time.Now()
	err = src.Run(ctx, func(f *sensors.Frame) {
		if detail == "" {
			detail = fmt.Sprintf("first frame after %v: %s", time.Since(start).Round(time.Millisecond), describe(f))
			cancel()
		}
	})
	if detail != "" {
		return detail, nil
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%s gave no frame within %v: is something else using it?", src, cameraPatience)
	}
	return "", err
}

func describe(f *sensors.Frame) string {
	w, h, err := pixel.Size(f.Image)
	if err != nil {
		return fmt.Sprintf("%s of %d bytes that does not decode: %v", f.Image.Format, len(f.Image.Data), err)
	}
	return fmt.Sprintf("%d×%d %s", w, h, f.Image.Format)
}
