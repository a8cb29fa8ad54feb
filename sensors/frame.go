// Package sensors gets frames: from V4L2 cameras, folders, commands, HTTP
// streams and a test pattern, all behind one blocking interface, and reads the
// host's own sensors (temperature, memory, disk, clock).
//
// It neither decodes nor scales pixels (that is sensors/pixel) and starts no
// long-lived goroutine on its own account: the agent runs a Source.
package sensors

import (
	"context"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

// Frame is one picture from a source. It is borrowed: Image.Data is valid only
// until the callback it was passed to returns, because it may lie in a
// camera's memory-mapped buffer. Who needs it longer copies it.
type Frame struct {
	// Seq counts the frames that the source delivered since its Run began,
	// from 1.
	Seq uint64
	// Time is when the frame was captured, with Go's monotonic reading.
	Time time.Time
	// Name is the file a folder's frame came from, else empty.
	Name  string
	Image pixel.Image
}

// Source delivers frames.
//
// Run blocks until ctx is done (then it returns nil or ctx's error), the input
// ends (then it returns ErrEnd) or it fails; it may be called again afterwards,
// but never twice at once. It calls emit from one goroutine at a time and
// borrows it the frame for the length of the call. A corrupt frame is not a
// failure of the source: it is emitted as it came, and the decoder counts it.
type Source interface {
	Run(ctx context.Context, emit func(*Frame)) error
	// String is the source's specification with secrets redacted.
	String() string
}
