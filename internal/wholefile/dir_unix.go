//go:build unix

package wholefile

import (
	"errors"
	"os"
)

// SyncDir makes what was renamed, made or removed in a folder last. Where
// folders cannot be synced it does nothing.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
