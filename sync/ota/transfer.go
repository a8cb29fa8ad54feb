package ota

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/egret-edge/egret/internal/wholefile"
)

// transfer is one bundle on its way.
type transfer struct {
	f                     *fetcher
	free                  func(string) (uint64, error)
	progress              func(done, total int64) // may be nil
	url, path, part, etag string
	length                int64
	sum                   string // SHA-256 in hex
}

func (d *transfer) run(ctx context.Context, dir string) error {
	for _, suffix := range []string{partSuffix, etagSuffix} {
		others, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
		for _, other := range others {
			if other != d.part && other != d.etag {
				_ = os.Remove(other)
			}
		}
	}
	if n, h, err := hashFile(d.path, d.length); err == nil && n == d.length && hex.EncodeToString(h.Sum(nil)) == d.sum {
		return nil
	}
	anew := false
	for try := 0; ; try++ {
		before := sizeOf(d.part)
		resumed, err := d.once(ctx, dir)
		if err == nil {
			break
		}
		switch after := sizeOf(d.part); {
		case errors.Is(err, ErrCorrupt) && resumed && !anew:
			anew = true // the file changed between the tries: once more from the start
			continue
		case ctx.Err() != nil, !errors.Is(err, ErrNetwork), errors.As(err, new(final)):
			return err
		case after > before:
			try = -1 // progress: the count begins again
		case try >= d.f.h.Retries:
			return err
		}
		d.f.pause(ctx, max(try, 0))
	}
	if err := os.Rename(d.part, d.path); err != nil {
		return err
	}
	_ = os.Remove(d.etag)
	return wholefile.SyncDir(dir)
}

// once asks for what is missing. It tells whether what was there counted.
func (d *transfer) once(ctx context.Context, dir string) (resumed bool, err error) {
	have, sum, err := hashFile(d.part, d.length)
	if err != nil || have > d.length {
		d.forget()
		have, sum = 0, sha256.New()
	}
	out, err := os.OpenFile(d.part, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return false, err
	}
	defer out.Close()
	if have < d.length {
		if free, err := d.free(dir); err == nil && free < uint64(d.length-have)+spare {
			return false, fmt.Errorf("%w in %s: %d MB are needed, %d MB are free", ErrNoSpace, dir, (d.length-have+spare)>>20, free>>20)
		}
		if resumed, err = d.receive(ctx, out, have, sum); err != nil {
			return resumed, err
		}
	} else {
		resumed = true
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != d.sum {
		d.forget()
		return resumed, fmt.Errorf("%w: its SHA-256 is %s", ErrCorrupt, got)
	}
	return resumed, errors.Join(out.Sync(), out.Close())
}

func (d *transfer) receive(ctx context.Context, out *os.File, have int64, sum hash.Hash) (resumed bool, err error) {
	header := http.Header{}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		// Without a validator the hash alone tells whether the parts fit.
		if tag, err := readLimited(d.etag, 1024); err == nil && len(tag) > 0 && len(tag) <= 1024 {
			header.Set("If-Range", string(tag))
		}
	}
	res, err := d.f.get(ctx, d.url, header)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	switch start, total := contentRange(res.Header.Get("Content-Range")); {
	case res.StatusCode == http.StatusPartialContent && have > 0 && start == have && (total < 0 || total == d.length):
		resumed = true
	case res.StatusCode == http.StatusOK:
		have = 0
		sum.Reset()
		if err := out.Truncate(0); err != nil {
			return false, err
		}
	case have > 0 && (res.StatusCode == http.StatusPartialContent || res.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		d.forget()
		return true, fmt.Errorf("%w: the server has another file", ErrCorrupt)
	default:
		return false, final{fmt.Errorf("%w: %s says %s", ErrNetwork, d.url, res.Status)}
	}
	if res.ContentLength > d.length-have {
		d.forget()
		return resumed, fmt.Errorf("%w: the server sends %d bytes, %d were signed", ErrTooLarge, have+res.ContentLength, d.length)
	}
	if tag := res.Header.Get("ETag"); !resumed && strings.HasPrefix(tag, `"`) && len(tag) <= 1024 {
		if err := wholefile.Write(d.etag, []byte(tag)); err != nil {
			return false, err
		}
	} else if !resumed {
		_ = os.Remove(d.etag)
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return resumed, err
	}
	m := &meter{done: have, said: have, total: d.length, report: d.progress}
	n, err := io.CopyBuffer(io.MultiWriter(out, sum, m), io.LimitReader(res.Body, d.length-have), make([]byte, 64<<10))
	switch {
	case err != nil:
		return resumed, err
	case n < d.length-have:
		return resumed, fmt.Errorf("%w: it ended after %d of %d bytes", ErrNetwork, have+n, d.length)
	}
	if more, _ := res.Body.Read(make([]byte, 1)); more > 0 {
		d.forget()
		return resumed, fmt.Errorf("%w: the server sends more than the %d bytes that were signed", ErrTooLarge, d.length)
	}
	return resumed, nil
}

// progressStep is how many bytes Options.Progress is told of at once.
const progressStep = 256 << 10

// meter counts what is written to it.
type meter struct {
	done, said, total int64
	report            func(done, total int64)
}

func (m *meter) Write(p []byte) (int, error) {
	m.done += int64(len(p))
	if m.report != nil && (m.done-m.said >= progressStep || m.done == m.total) {
		m.said = m.done
		m.report(m.done, m.total)
	}
	return len(p), nil
}

func (d *transfer) forget() {
	_ = os.Remove(d.part)
	_ = os.Remove(d.etag)
}

// contentRange reads "bytes 5-9/10"; total is below 0 when it is not said.
func contentRange(s string) (start, total int64) {
	span, size, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	first, _, ok2 := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	if !ok || !ok2 || err != nil {
		return -1, -1
	}
	if total, err = strconv.ParseInt(size, 10, 64); err != nil {
		total = -1
	}
	return start, total
}

// hashFile hashes a file of at most limit bytes, and one more of a longer one.
func hashFile(path string, limit int64) (int64, hash.Hash, error) {
	h := sha256.New()
	f, err := os.Open(path)
	if err != nil {
		return 0, h, err
	}
	defer f.Close()
	n, err := io.Copy(h, io.LimitReader(f, limit+1))
	return n, h, err
}

func sizeOf(path string) int64 {
	if i, err := os.Stat(path); err == nil {
		return i.Size()
	}
	return 0
}
