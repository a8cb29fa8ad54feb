//go:build !unix

package wholefile

// SyncDir does nothing: folders cannot be synced here.
func SyncDir(string) error { return nil }
