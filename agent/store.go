package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// OutboxFile is the outbox's name in the state folder.
const OutboxFile = "outbox.db"

func (a *Agent) openOutbox() error {
	if err := os.MkdirAll(a.cfg.StateDir, 0o750); err != nil {
		return fmt.Errorf("make state folder: %w: set state_dir to a folder that this user may write", err)
	}
	o := a.cfg.Outbox
	opts := outbox.Options{
		Path:          filepath.Join(a.cfg.StateDir, OutboxFile),
		FlushInterval: time.Duration(o.FlushInterval), FlushBytes: int(o.FlushBytes), MaxBytes: int64(o.MaxBytes),
		FlashBudget: int64(o.FlashBudget),
		Logger:      a.log,
	}
	if o.OnFull == "thin" {
		opts.Thin = thin
	}
	box, err := outbox.Open(opts)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("%w: set state_dir to a folder that this user may write", err)
		}
		return err
	}
	a.box = box
	return nil
}

// append stores a prediction and remembers it.
func (a *Agent) append(rec []byte) error {
	if err := a.box.Append(rec); err != nil {
		return err
	}
	a.recent.add(rec)
	return nil
}

func (a *Agent) account() payload.Account { return Account(a.box.Stats()) }

// Account is the outbox's delivery account in the contract's words.
func Account(s outbox.Stats) payload.Account {
	return payload.Account{
		Produced: s.Produced, Acknowledged: s.Acknowledged,
		Held: s.Held, Stored: s.Stored, StoredBytes: s.StoredBytes,
		Dropped: s.Dropped, Duplicated: s.Duplicated,
	}
}

// flash is what the outbox writes.
func (a *Agent) flash() payload.FlashTelemetry {
	s := a.box.Stats()
	return payload.FlashTelemetry{
		Written: s.Written, PerPrediction: s.WrittenPerRecord, PerDay: s.WrittenPerDay,
		Budget: int64(a.config.Load().Outbox.FlashBudget), Postponed: s.Postponed,
	}
}
