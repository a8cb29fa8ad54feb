package agent

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// TestPublisherCorrects: what was recorded before the clock was set is
// published with its true time after that, in its place.
func TestPublisherCorrects(t *testing.T) {
	b, err := listen("127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	box, err := outbox.Open(outbox.Options{Path: t.TempDir() + "/outbox.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	a := &Agent{box: box, log: quiet, tasks: newTasks(quiet), remoteLog: newRemoteLog(), updates: &updates{}, confirmer: &confirmer{Queue: box}}
	a.clock = &clockState{now: time.Now, ask: func() payload.Clock { return payload.ClockSynced }}
	cfg := configs.Default()
	cfg.Device, cfg.MQTT.Embedded, cfg.MQTT.EmbeddedListen = "dev", true, b.Addr()
	client, err := a.newClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	brokerTask := a.tasks.start("broker", otherBound, b.Run)
	defer func() { a.tasks.end(brokerTask) }()

	got := make(chan payload.Prediction, 8)
	sub := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + b.Addr()).SetClientID("sub").SetAutoReconnect(false))
	wait(t, sub.Connect())
	defer sub.Disconnect(100)
	topic := payload.Topics{Fleet: cfg.Fleet, Device: "dev"}.Predictions()
	wait(t, sub.Subscribe(topic, 1, func(_ paho.Client, m paho.Message) {
		var all []payload.Prediction
		if err := json.Unmarshal(m.Payload(), &all); err != nil {
			t.Error(err)
		}
		for _, p := range all {
			got <- p
		}
	}))

	began := time.Now().Add(-2 * time.Millisecond) // times are cut to the millisecond
	early := time.Date(1970, 1, 1, 0, 0, 9, 0, time.UTC)
	for _, rec := range [][]byte{
		unsynced(t, 1, early, bootMicros(), "another-boot"),
		unsynced(t, 2, early, bootMicros(), kernelBoot()),
		unsynced(t, 3, early.AddDate(80, 0, 0), bootMicros(), kernelBoot()),
	} {
		if err := box.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	a.startClient(client)
	defer func() { a.tasks.end(a.clientTask) }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for seq := uint64(1); seq <= 3; seq++ {
		var p payload.Prediction
		select {
		case p = <-got:
		case <-ctx.Done():
			t.Fatalf("prediction %d never came", seq)
		}
		want := payload.ClockCorrected
		if seq == 1 {
			want = payload.ClockUnsynced
		}
		right := !p.Time.Before(began) && !p.Time.After(time.Now())
		if p.Seq != seq || p.Clock != want || right != (want == payload.ClockCorrected) {
			t.Errorf("prediction %d: number %d, %s at %v", seq, p.Seq, p.Clock, p.Time)
		}
	}
}

func wait(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(time.Minute) || token.Error() != nil {
		t.Fatalf("MQTT: %v", token.Error())
	}
}
