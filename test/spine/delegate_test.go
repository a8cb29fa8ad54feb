package spine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/internal/slowdown"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/delegates"
)

// predictions are those that a stopped agent has stored.
func predictions(t *testing.T, c *config) (all []payload.Prediction) {
	t.Helper()
	out, errs, code := egret(t, nil, "outbox", "export", "--config", c.path)
	if code != 0 {
		t.Fatalf("egret outbox export: exit %d: %s", code, errs)
	}
	for line := range strings.Lines(out) {
		var p payload.Prediction
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, p)
	}
	return all
}

// printed tells whether the log holds something n times.
func printed(d *daemon, what string, n int) func() bool {
	return func() bool { return strings.Count(d.log.String(), what) >= n }
}

// inference is the configuration's section for a list of delegates.
func inference(specs ...string) string { return inferenceWithin(5*time.Second, specs...) }

func inferenceWithin(timeout time.Duration, specs ...string) string {
	quoted := make([]string, len(specs))
	for i, s := range specs {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("inference: {delegate: [%s], threads: 1, probe_timeout: %s}\n", strings.Join(quoted, ", "), min(slowdown.Of(timeout), 10*time.Minute))
}

// TestDelegatesThatFail: with one that crashes, one that hangs and one that
// refuses first, the agent starts on the CPU, says each reason once, and keeps
// predicting.
func TestDelegatesThatFail(t *testing.T) {
	lib := delegates.Build(t)
	c := newConfig(t, offline+inference(delegates.Spec(lib, "crash", ""), delegates.Spec(lib, "hang", ""), delegates.Spec(lib, "refuse", "")))
	d := run(t, c, "--print")
	d.waitLog("msg=started")
	waitFor(t, "predictions", printed(d, " cam ", 5))
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, reason := range []string{"crashed (segmentation violation)", fmt.Sprintf("no answer within %v: killed", slowdown.Of(5*time.Second)), "no device found"} {
		if n := strings.Count(d.log.String(), reason); n != 1 {
			t.Errorf("%q is said %d times, want once", reason, n)
		}
	}
	all := predictions(t, c)
	if len(all) < 5 {
		t.Errorf("%d predictions stored, want at least 5", len(all))
	}
	for _, p := range all {
		if p.Delegate != "cpu" {
			t.Fatalf("prediction %s was made by %q", p.ID, p.Delegate)
		}
	}
}

// TestLostDelegate: an accelerator that vanishes while the agent runs costs the
// frame that shows it.
func TestLostDelegate(t *testing.T) {
	lost := filepath.Join(t.TempDir(), "lost")
	c := newConfig(t, offline+inference(delegates.Spec(delegates.Build(t), "take", lost)))
	d := run(t, c, "--print")
	d.waitLog("msg=started")
	waitFor(t, "predictions", printed(d, " cam ", 3))
	if err := os.WriteFile(lost, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d.waitLog("the delegate is lost, going on without it")
	before := strings.Count(d.log.String(), " cam ")
	waitFor(t, "more predictions", printed(d, " cam ", before+3))
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	made := map[string]int{}
	last := uint64(0)
	for _, p := range predictions(t, c) {
		made[p.Delegate]++
		if p.Seq != last+1 {
			t.Errorf("number %d follows %d", p.Seq, last)
		}
		last = p.Seq
	}
	if made["external:libtest_delegate.so"] < 3 || made["cpu"] < 3 || len(made) != 2 {
		t.Errorf("predictions by delegate: %v, want some of both", made)
	}
}

// TestCrashLoop: what crashes the agent itself, after it passed its trial, is
// not run for ever.
func TestCrashLoop(t *testing.T) {
	fatal := filepath.Join(t.TempDir(), "fatal")
	// On a busy machine the trial after a bad end must not be what gives up.
	c := newConfig(t, offline+inferenceWithin(time.Minute, delegates.Spec(delegates.Build(t), "die", fatal)))
	d := run(t, c, "--print")
	d.waitLog("msg=started")
	waitFor(t, "predictions", printed(d, " cam ", 1))
	if err := os.WriteFile(fatal, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	starts := 1
	for ; d.wait() != 0; starts++ {
		if starts > 10 {
			t.Fatal("the agent crashes again and again")
		}
		if d = run(t, c, "--print"); starts >= 3 {
			d.waitLog("running the models on the CPU")
			waitFor(t, "predictions", printed(d, " cam ", 3))
			_ = d.stop()
		}
	}
	if starts != 4 {
		t.Errorf("%d starts until it ran on the CPU, want 4", starts)
	}
	for _, p := range predictions(t, c)[1:] {
		if p.Boot == uint64(starts) && p.Delegate != "cpu" {
			t.Errorf("prediction %s was made by %q", p.ID, p.Delegate)
		}
	}
}
