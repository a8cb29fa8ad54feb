package pixel

import (
	"errors"
	"fmt"
)

// The limits on a picture from outside. They bound what one hostile file can
// cost before any of its pixels are looked at.
const (
	// MaxBytes is the largest encoded or raw picture, in bytes.
	MaxBytes = 64 << 20
	// MaxSide is the largest width or height, in pixels.
	MaxSide = 16384
	// MaxPixels is the largest area: decoded, it is 200 MB at four bytes a
	// pixel, the most that a board with 512 MB can stand. Progressive JPEG
	// and 16-bit PNG, which take twice as much, may have half of it.
	MaxPixels = 50_000_000
)

// The reasons for which a picture cannot be used; errors of this package wrap
// one of them.
var (
	// ErrTooLarge: over MaxBytes, MaxSide or MaxPixels.
	ErrTooLarge = errors.New("picture too large")
	// ErrFormat: not a picture of the format, or one that is not supported.
	ErrFormat = errors.New("not a usable picture")
	// ErrTruncated: the bytes end before the picture does.
	ErrTruncated = errors.New("picture is truncated")
)

// Error is what every failing operation of this package returns: one line that
// says what was decoded and why that failed.
type Error struct {
	Format Format
	// Kind is ErrTooLarge, ErrFormat or ErrTruncated.
	Kind error
	// Detail is the reason; empty means Kind's own words.
	Detail string
}

func (e *Error) Error() string {
	detail := e.Detail
	if detail == "" {
		detail = e.Kind.Error()
	}
	return fmt.Sprintf("decode %s: %s", e.Format, detail)
}

func (e *Error) Unwrap() error { return e.Kind }

func fail(f Format, kind error, detail string, args ...any) error {
	return &Error{Format: f, Kind: kind, Detail: fmt.Sprintf(detail, args...)}
}

// checkSize applies the limits to the dimensions a header claims.
func checkSize(f Format, w, h int) error {
	switch {
	case w <= 0 || h <= 0:
		return fail(f, ErrFormat, "picture is %d×%d pixels", w, h)
	case w > MaxSide || h > MaxSide:
		return fail(f, ErrTooLarge, "picture is %d×%d pixels, limit is %d a side", w, h, MaxSide)
	case w*h > MaxPixels:
		return fail(f, ErrTooLarge, "picture is %d×%d pixels, limit is %d in all", w, h, MaxPixels)
	}
	return nil
}
