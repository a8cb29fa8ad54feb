package agent

import (
	"context"
	"fmt"
	"reflect"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/mqtt"
)

// reload reads the configuration again, builds everything that it changes and
// only then swaps. Whatever goes wrong before the swap changes nothing.
func (a *Agent) reload(ctx context.Context) {
	a.notify.send(reloadingState())
	if err := a.tryReload(ctx); err != nil {
		a.log.Error("reload refused, running on as before", "error", err)
	} else {
		a.announce("reloaded")
	}
	a.notify.ready(a.status())
}

func (a *Agent) tryReload(ctx context.Context) error {
	cfg, err := LoadConfig(a.opts.ConfigPath)
	if err != nil {
		return err
	}
	if field := needsRestart(a.cfg, cfg); field != "" {
		return fmt.Errorf("%s: %s changed, which takes a restart: run systemctl restart egret", a.opts.ConfigPath, field)
	}
	// Home Assistant is told anew when a connection begins.
	newClient := a.cfg.MQTT != cfg.MQTT || !reflect.DeepEqual(a.homeAssistant(a.cfg), a.homeAssistant(cfg))
	var client *mqtt.Client
	if newClient {
		if client, err = a.newClient(cfg); err != nil {
			return err
		}
	}
	pl, err := a.pipeline.prepare(ctx, cfg)
	if err != nil {
		return err
	}
	newInterval, newGovernor := a.cfg.Telemetry != cfg.Telemetry, a.cfg.Governor != cfg.Governor
	if newInterval {
		a.tasks.end(a.telemetryTask)
	}
	a.cfg = cfg
	a.setLevel()
	if newClient {
		a.tasks.end(a.clientTask)
		a.startClient(client)
	}
	a.applyPlan(pl)
	if newInterval {
		a.startTelemetry()
	}
	if newGovernor {
		a.tasks.end(a.governorTask)
		a.startGovernor()
	}
	return nil
}

// needsRestart names the first setting that cannot change while the daemon
// runs; empty when there is none. Predictions carry the device's name, and
// the store and the listening socket cannot move under their users.
func needsRestart(old, new configs.Config) string {
	switch {
	case old.Device != new.Device:
		return "device"
	case old.Fleet != new.Fleet:
		return "fleet"
	case old.StateDir != new.StateDir:
		return "state_dir"
	case old.Outbox != new.Outbox:
		return "outbox"
	case old.MQTT.Embedded != new.MQTT.Embedded || old.MQTT.EmbeddedListen != new.MQTT.EmbeddedListen:
		return "mqtt.embedded"
	case old.Log.Format != new.Log.Format:
		return "log.format"
	}
	return ""
}
