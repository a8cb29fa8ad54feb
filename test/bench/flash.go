package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	bolt "go.etcd.io/bbolt"

	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/outbox"
)

// flash counts what a prediction costs the flash, at the block device.
func (m *bench) flash(ctx context.Context, addr string) (err error) {
	d, err := newDevice(m.dir)
	if err != nil {
		fmt.Println("  the flash_… figures are left out, they need root and a loop device:", err)
		return nil
	}
	defer func() { err = errors.Join(err, d.close()) }()
	online, err := d.online(ctx, addr)
	if err != nil {
		return err
	}
	m.add("flash_bytes_per_prediction_online", online, "bytes", budget(0), true)
	var hundred float64
	for _, batch := range []struct {
		records, flushes int // the latter are as many as fit what a new file reserves
		budget           float64
	}{{100, 200, 250}, {1000, 60, 60}} {
		name := fmt.Sprintf("flash_bytes_per_prediction_offline_%d", batch.records)
		bytes, err := d.offline(ctx, batch.records, batch.flushes, 0)
		if err != nil {
			return err
		}
		if batch.records == 100 {
			hundred = bytes
		}
		m.add(name, bytes, "bytes", &batch.budget, true)
		if bytes, err = d.offline(ctx, batch.records, 20, commitEvery); err != nil {
			return err
		}
		m.add(name+"_paced", bytes, "bytes", nil, true)
	}
	for _, peer := range []struct {
		name  string
		write func(n int) (float64, error)
	}{{"naive_bbolt_over_egret_flash", d.naive}, {"filestore_over_egret_flash", d.fileStore}} {
		bytes, err := peer.write(400)
		if err != nil {
			return err
		}
		m.add(peer.name, bytes/hundred, "bytes ratio", nil, false)
	}
	return nil
}

// online is the agent's own flush loop over 40 intervals, while a broker
// acknowledges. The interval is short only to have many of them.
func (d *device) online(ctx context.Context, addr string) (_ float64, err error) {
	const interval, intervals, rate = 200 * time.Millisecond, 40, 100
	box, err := outbox.Open(outbox.Options{Path: filepath.Join(d.dir, "online"), FlushInterval: interval})
	if err != nil {
		return 0, err
	}
	client, err := mqtt.New(clientOptions(addr, box.Boot()), box)
	if err != nil {
		return 0, err
	}
	stop := background(ctx, box.Run, client.Run)
	for !client.State().Connected {
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return 0, errors.Join(err, stop())
		}
	}
	s := newScene(liveCamera, box.Boot())
	n := int(intervals * interval.Seconds() * rate)
	bytes, err := d.during(n, func() error {
		for range n {
			if err := errors.Join(box.Append(s.next()), sleep(ctx, time.Second/rate)); err != nil {
				return err
			}
		}
		return sleep(ctx, 2*interval)
	})
	if st := box.Stats(); err == nil && st.Acknowledged != uint64(n) {
		err = fmt.Errorf("%d of %d predictions were acknowledged", st.Acknowledged, n)
	}
	return bytes, errors.Join(err, stop(), box.Close())
}

// offline is the bytes per record of flushes of that many. The first ones are
// not counted: they are to a new file.
func (d *device) offline(ctx context.Context, records, flushes int, pause time.Duration) (float64, error) {
	path := filepath.Join(d.dir, fmt.Sprint("offline", records, pause))
	box, err := outbox.Open(outbox.Options{Path: path, FlushInterval: time.Hour, MaxBytes: backlogBytes})
	if err != nil {
		return 0, err
	}
	s := newScene(storedCamera, box.Boot())
	run := func(flushes int, pause time.Duration) error {
		for range flushes {
			for range records {
				if err := box.Append(s.next()); err != nil {
					return err
				}
			}
			if err := errors.Join(box.Flush(), sleep(ctx, pause)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(20, 0); err != nil {
		return 0, err
	}
	bytes, err := d.during(flushes*records, func() error { return run(flushes, pause) })
	return bytes, errors.Join(err, box.Close())
}

// naive is a bbolt transaction per record: what one writes first.
func (d *device) naive(n int) (float64, error) {
	db, err := bolt.Open(filepath.Join(d.dir, "naive"), 0o600, nil)
	if err != nil {
		return 0, err
	}
	s := newScene(storedCamera, 1)
	bytes, err := d.during(n, func() error {
		for range n {
			err := db.Update(func(tx *bolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists([]byte("queue"))
				if err != nil {
					return err
				}
				key, err := b.NextSequence()
				if err != nil {
					return err
				}
				return b.Put(binary.BigEndian.AppendUint64(nil, key), s.next())
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return bytes, errors.Join(err, db.Close())
}

// fileStore is paho's own store, a file per message, which it never fsyncs:
// the file system writes them all together at the end.
func (d *device) fileStore(n int) (float64, error) {
	store := paho.NewFileStore(filepath.Join(d.dir, "filestore"))
	store.Open()
	defer store.Close()
	s := newScene(storedCamera, 1)
	return d.during(n, func() error {
		for i := 1; i <= n; i++ {
			msg := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			msg.Qos, msg.MessageID, msg.TopicName, msg.Payload = 1, uint16(i), topics.Predictions(), s.next()
			store.Put(fmt.Sprintf("o.%d", i), msg)
		}
		return nil
	})
}
