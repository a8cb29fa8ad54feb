package ota

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.etcd.io/bbolt"
)

// floors are the newest versions that were ever believed, and the latest time
// at which metadata was good.
type floors struct {
	Roles versions  `json:"roles"`
	Time  time.Time `json:"time"`
}

var (
	floorsBucket = []byte("ota")
	floorsKey    = []byte("floors")
)

func openFloors(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("open %q: %w", path, ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	return db, nil
}

func readFloors(db *bbolt.DB) (floors, error) {
	fl := floors{Roles: versions{}}
	err := db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(floorsBucket); b != nil {
			if data := b.Get(floorsKey); data != nil {
				return json.Unmarshal(data, &fl)
			}
		}
		return nil
	})
	if err != nil {
		return floors{}, fmt.Errorf("read version floors: %w", err)
	}
	return fl, nil
}

func writeFloors(db *bbolt.DB, fl floors) error {
	data, err := json.Marshal(fl)
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(floorsBucket)
			if err != nil {
				return err
			}
			return b.Put(floorsKey, data)
		})
	}
	if err != nil {
		return fmt.Errorf("write version floors: %w", err)
	}
	return nil
}

// check refuses a version below its floor, unless other keys sign the role now.
func (fl floors) check(vs versions) error {
	for name, v := range vs {
		if low, ok := fl.Roles[name]; ok && low.Keys == v.Keys && v.Version < low.Version {
			return fmt.Errorf("%s version %d: %w (version %d)", name, v.Version, ErrRollback, low.Version)
		}
	}
	return nil
}

// raise returns the floors after vs was believed at that time.
func (fl floors) raise(vs versions, at time.Time) floors {
	next := floors{Roles: versions{}, Time: fl.Time}
	maps.Copy(next.Roles, fl.Roles)
	maps.Copy(next.Roles, vs)
	if at.After(next.Time) {
		next.Time = at
	}
	return next
}
