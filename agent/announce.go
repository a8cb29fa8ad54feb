package agent

import (
	"cmp"
	"fmt"
)

// announce says in one line each what runs.
func (a *Agent) announce(what string) {
	v := a.view()
	for _, w := range v.workers {
		info := w.info.Load()
		a.log.Info("model loaded", "model", w.name, "version", info.Version, "task", info.Task,
			"delegate", info.Delegate, "threads", info.Threads, "converted", cmp.Or(info.Converted, "no"), "digest", info.Digest)
	}
	for _, c := range v.cameras {
		c.log.Info("camera", "source", c.sup.Source.String(), "model", c.worker.Load().name)
	}
	a.log.Info(what, "device", a.cfg.Device, "boot", a.box.Boot(), "version", a.opts.Version, "config", a.opts.ConfigPath)
}

// status is the one line that `systemctl status` shows.
func (a *Agent) status() string {
	v := a.view()
	return fmt.Sprintf("%d cameras, %d models, boot %d", len(v.cameras), len(v.workers), a.box.Boot())
}
