package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier speaks to systemd; without it (no NOTIFY_SOCKET) every call does
// nothing.
type notifier struct {
	log  *slog.Logger
	once sync.Once
}

func (n *notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.once.Do(func() { n.log.Warn("cannot notify systemd", "error", err) })
	}
}

func (n *notifier) ready(status string) {
	n.send(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

// extend asks systemd to wait for readiness for so much longer from now on.
func (n *notifier) extend(d time.Duration) {
	n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()))
}

func (n *notifier) stopping() { n.send(daemon.SdNotifyStopping) }

// watchdog looks whether the pipeline makes progress: a frame that is in hand
// or waits for longer than half the limit means that Invoke hangs, and only a
// new process helps against that. systemd's watchdog is fed until then;
// without one the agent ends by itself, for whoever restarts it. A camera that
// delivers nothing is the supervisor's business: a restart would not bring it
// back, and the other cameras would suffer.
type watchdog struct {
	notify  *notifier
	limit   time.Duration
	systemd bool // it asks to be fed
	view    func() snapshot
	log     *slog.Logger
}

// ownWatchdog is the limit without systemd's: half of it is far more than any
// model takes for a frame.
const ownWatchdog = 4 * time.Minute

// errStuck ends an agent that makes no progress.
var errStuck = errors.New("no progress")

// newWatchdog reads the interval that systemd asks for.
func newWatchdog(n *notifier, view func() snapshot, log *slog.Logger) *watchdog {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog settings are not usable", "error", err)
	}
	d := &watchdog{notify: n, limit: limit, systemd: limit > 0, view: view, log: log}
	if !d.systemd {
		d.limit = ownWatchdog
	}
	return d
}

func (d *watchdog) run(ctx context.Context) error {
	tick := time.NewTicker(d.limit / 4)
	defer tick.Stop()
	said := false
	for {
		err := d.view().stuck(time.Now(), d.limit/2)
		switch {
		case err == nil:
			if d.systemd {
				d.notify.send(daemon.SdNotifyWatchdog)
			}
			said = false
		case !d.systemd:
			return fmt.Errorf("%w: %w", errStuck, err)
		case !said:
			said = true
			d.log.Error("no progress, systemd will restart the agent", "reason", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stuck says which worker has had a frame in hand, or which camera's frame has
// waited, for longer than limit; nil when all make progress.
func (s snapshot) stuck(now time.Time, limit time.Duration) error {
	for _, w := range s.workers {
		if since := w.busySince.Load(); since != 0 {
			if d := monotonic(now) - time.Duration(since); d > limit {
				return fmt.Errorf("model %s has worked on one frame for %v", w.name, d.Round(time.Second))
			}
		}
	}
	for _, c := range s.cameras {
		if since := c.slot.waiting(); !since.IsZero() && now.Sub(since) > limit {
			return fmt.Errorf("a frame of camera %s has waited for %v", c.name, now.Sub(since).Round(time.Second))
		}
	}
	return nil
}

// reloadingState tells systemd that a reload began; it wants the monotonic
// time of it (sd_notify(3), RELOADING=1).
func reloadingState() string {
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonicMicros())
}
