package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/ota/store"
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
	// Whether there is a broker is part of what a trial waits for.
	newUpdates := a.cfg.Updates != cfg.Updates || a.cfg.MQTT.Enabled != cfg.MQTT.Enabled || !slices.Equal(a.cfg.Models, cfg.Models) || !slices.Equal(labels(a.cfg), labels(cfg))
	// Home Assistant is told anew when a connection begins.
	newClient := a.cfg.Updates.Cohort != cfg.Updates.Cohort || a.cfg.MQTT != cfg.MQTT || !reflect.DeepEqual(a.homeAssistant(a.cfg), a.homeAssistant(cfg))
	var before *store.Record
	if newUpdates {
		if before, err = a.changeUpdates(cfg); err != nil {
			return err
		}
	}
	doors, err := a.openDoors(cfg.API)
	var client *mqtt.Client
	var pl *plan
	if err == nil {
		client, pl, err = a.prepareReload(ctx, cfg, newClient)
	}
	if err != nil {
		if newUpdates {
			err = errors.Join(err, a.updates.close(), a.restoreUpdates(before))
		}
		return err
	}
	newDoors := !reflect.DeepEqual(a.cfg.API, cfg.API) || !sameClients(a.doors, doors)
	newInterval, newGovernor := a.cfg.Telemetry != cfg.Telemetry, a.cfg.Governor != cfg.Governor
	if newInterval {
		a.tasks.end(a.telemetryTask)
	}
	a.setConfig(cfg)
	a.remoteLog.configure(cfg.Log.MQTT)
	if newClient {
		a.tasks.end(a.clientTask)
		a.startClient(client)
	}
	a.applyPlan(pl)
	a.restartUpdates(newUpdates)
	if newInterval {
		a.startTelemetry()
	}
	if newDoors {
		a.tasks.endAll(a.doorTasks)
		a.startDoors(doors)
	}
	if newGovernor {
		a.tasks.end(a.governorTask)
		a.startGovernor()
	}
	return nil
}

// prepareReload builds everything that can fail.
func (a *Agent) prepareReload(ctx context.Context, cfg configs.Config, newClient bool) (client *mqtt.Client, pl *plan, err error) {
	if newClient {
		if client, err = a.newClient(cfg); err != nil {
			return nil, nil, err
		}
	}
	pl, err = a.prepare(ctx, versions{machine: a.updates.machine, store: store.New(cfg.StateDir), log: a.log}, cfg, nil)
	return client, pl, err
}

// changeUpdates ends updates and opens them as cfg has them, to be started
// later. before is what restoreUpdates wants: opening them drops what belongs to
// another configuration. When it fails, they go on as before.
func (a *Agent) changeUpdates(cfg configs.Config) (before *store.Record, err error) {
	if err := a.updates.end(a.tasks); err != nil {
		a.log.Error("end of updates", "error", err)
	}
	if rec, err := store.New(a.cfg.StateDir).Peek(); err == nil {
		before = &rec
	}
	u, err := a.openUpdates(cfg)
	if err != nil {
		return nil, errors.Join(err, a.restoreUpdates(before))
	}
	a.updates = u
	return before, nil
}

// restoreUpdates starts updates as they were.
func (a *Agent) restoreUpdates(before *store.Record) error {
	var lost error
	if before != nil {
		lost = store.New(a.cfg.StateDir).Save(*before)
	}
	u, err := a.openUpdates(a.cfg)
	if err != nil {
		return errors.Join(lost, err)
	}
	a.updates = u
	a.updates.run(a)
	return lost
}

func (a *Agent) restartUpdates(changed bool) {
	if changed {
		a.updates.run(a)
	}
}

// labels lists the models as the cameras name them: those of versions are kept
// on the device.
func labels(cfg configs.Config) (all []string) {
	for _, c := range cfg.Cameras {
		all = append(all, c.Model)
	}
	return all
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
