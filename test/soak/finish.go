package main

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
)

// finish ends the agent and looks whether all that it said is true.
func (r *run) finish(ctx context.Context) error {
	missed := fmt.Sprintf("%d of %d", len(r.result.Missed), len(r.result.Missed)+len(r.result.Windows))
	if len(r.result.Missed) > 0 {
		missed += ", the first at " + r.result.Missed[0]
	}
	r.check("calm windows that could not be measured", missed, 10*len(r.result.Missed) <= len(r.result.Windows))
	code, err := r.agent.stop()
	if err != nil {
		return err
	}
	r.check("exit code on SIGTERM", fmt.Sprint(code), code == 0)
	left := r.programs.left(ctx)
	r.check("children that outlived it", fmt.Sprint(left), left == 0)
	files, _, err := size(r.tmp())
	if err != nil {
		return err
	}
	r.check("temporary files left", fmt.Sprint(files), files == 0)
	if err := r.checkDelivery(ctx); err != nil {
		return err
	}
	r.checkLog()
	r.result.Faults = maps.Clone(r.faults.counts)
	r.result.Clients = maps.Clone(r.clients.counts)
	return nil
}

func (r *run) check(what, found string, ok bool) {
	r.result.Checks = append(r.result.Checks, check{what, found, ok})
}

// checkDelivery compares the account, what is left in the outbox and what the
// subscriber has seen.
func (r *run) checkDelivery(ctx context.Context) error {
	path := filepath.Join(r.state(), "outbox.db")
	acc, err := outbox.Inspect(path)
	if err != nil {
		return err
	}
	stored := map[uint64]bool{}
	err = outbox.Export(path, func(seq uint64, _ []byte) error {
		stored[seq] = true
		return nil
	})
	if err != nil {
		return err
	}
	var dropped uint64
	for _, n := range acc.Dropped {
		dropped += n
	}
	r.check("the account adds up", fmt.Sprintf("%d produced = %d acknowledged + %d stored + %d held + %d dropped", acc.Produced, acc.Acknowledged, acc.Stored, acc.Held, dropped),
		acc.Produced == acc.Acknowledged+acc.Stored+acc.Held+dropped && acc.Produced > 0)
	r.check("dropped", fmt.Sprint(dropped), dropped == 0)
	r.check("stored ones are in the file", fmt.Sprintf("%d of %d", len(stored), acc.Stored), uint64(len(stored)) == acc.Stored)
	// What was acknowledged a moment ago may still be on its way here.
	for deadline := time.Now().Add(10 * time.Second); r.subscriber.missing(acc.Boot, acc.Produced, stored) > 0 && time.Now().Before(deadline); {
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	missing := r.subscriber.missing(acc.Boot, acc.Produced, stored)
	unique, again, broken := r.subscriber.counts()
	r.check("acknowledged and not seen, or a gap in seq", fmt.Sprint(missing), missing == 0)
	r.check("seen by the subscriber", fmt.Sprintf("%d, %d of them more than once", unique, again), unique >= acc.Acknowledged && unique <= acc.Produced)
	r.check("messages that are no predictions", fmt.Sprint(len(broken)), len(broken) == 0)
	return nil
}

// checkLog: what the faults explain are warnings, and refused reloads.
func (r *run) checkLog() {
	a := r.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	r.check("lines of level error, but refused reloads", first(a.errs), len(a.errs) == 0)
	r.check("lines that are no log (a crash, a dump)", first(a.strays), len(a.strays) == 0)
	r.result.Warns = maps.Clone(a.warns)
}

// first is how many lines there are, and the first one.
func first(lines []string) string {
	if len(lines) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d, the first: %.300s", len(lines), lines[0])
}

// version is what the program says of itself.
func version(program string) string {
	out, err := exec.Command(program, "version").Output()
	if err != nil {
		out, err = exec.Command(program, "--version").Output()
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || text == "" {
		return "unknown"
	}
	return text
}

// machine says in a word where it was measured.
func machine() string {
	return fmt.Sprintf("cores: %d, %s/%s", runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH)
}
