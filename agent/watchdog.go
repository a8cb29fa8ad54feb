package agent

import (
	"context"
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

// watchdog feeds systemd's watchdog for as long as the pipeline makes
// progress: a frame that is in hand or waits for longer than the limit means
// that Invoke hangs, and only a new process helps against that. A camera that
// delivers nothing is the supervisor's business: a restart would not bring it
// back, and the other cameras would suffer.
type watchdog struct {
	notify *notifier
	limit  time.Duration
	view   func() snapshot
	log    *slog.Logger
}

// newWatchdog reads the interval that systemd asks for; nil when it asks for
// none.
func newWatchdog(n *notifier, view func() snapshot, log *slog.Logger) *watchdog {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog settings are not usable", "error", err)
	}
	if limit <= 0 {
		return nil
	}
	return &watchdog{notify: n, limit: limit, view: view, log: log}
}

func (d *watchdog) run(ctx context.Context) error {
	tick := time.NewTicker(d.limit / 4)
	defer tick.Stop()
	said := false
	for {
		if err := d.view().stuck(time.Now(), d.limit/2); err == nil {
			d.notify.send(daemon.SdNotifyWatchdog)
			said = false
		} else if !said {
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
			if d := now.Sub(time.Unix(0, since)); d > limit {
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
