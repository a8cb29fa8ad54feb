//go:build !linux

package outbox

import "os"

// lockHolder is known on Linux only.
func lockHolder(string) int { return 0 }

// allocated is what a file takes on disk; elsewhere than on Linux it is taken
// to have no holes.
func allocated(info os.FileInfo) int64 { return info.Size() }
