package serving

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// desk is the memory that one request works with. Desks go round, since a
// request of numbers is half a megabyte that the collector need not see.
type desk struct {
	decoder      *Decoder
	budget       *budget
	held         int64 // of the budget
	maxBody      int64
	maxInstances int

	text     []byte // the body, and padding zeros
	raw      []byte // a picture's bytes
	in       input
	tensors  [][]byte // the examples' bytes; n of them are in use
	n        int
	pictures []picture
	answers  []Answer
	out      []byte
}

const (
	// padding is how many zeros follow the body, so that a number is read as
	// eight bytes at once. A zero ends every JSON token, too.
	padding = 8
	// keptDesks and keptBytes bound what stays between requests: 16 MiB.
	keptDesks = 4
	keptBytes = 4 << 20
	// firstRead is what is set aside for a body before any of it came: who
	// only promises a large one shall not have the memory.
	firstRead = 1 << 20
)

func (r *REST) takeDesk() *desk {
	var d *desk
	select {
	case d = <-r.desks:
	default:
		d = &desk{decoder: r.decoder, budget: &r.budget, maxBody: r.maxBody, maxInstances: r.maxInstances}
	}
	return d
}

// putDesk keeps the desk for the next request, unless enough are kept or it has
// grown large.
func (r *REST) putDesk(d *desk) {
	d.budget.used.Add(-d.held)
	d.held = 0
	if d.size() > keptBytes {
		return
	}
	select {
	case r.desks <- d:
	default:
	}
}

// size is the memory that the desk holds.
func (d *desk) size() int64 {
	n := cap(d.text) + cap(d.raw) + cap(d.out)
	for _, t := range d.tensors[:cap(d.tensors)] {
		n += cap(t)
	}
	for _, a := range d.answers[:cap(d.answers)] {
		for _, o := range a.Outputs {
			n += cap(o)
		}
	}
	return int64(n)
}

// begin makes the desk ready to parse for an input.
func (d *desk) begin(in input) {
	d.in, d.n, d.pictures = in, 0, d.pictures[:0]
}

// add gives the next example its bytes and returns its number.
func (d *desk) add() (int, error) {
	k, size := d.n, d.in.target.Bytes()
	if k >= d.maxInstances {
		return 0, bad("more than %d examples in one request: send fewer at a time", d.maxInstances)
	}
	if k == len(d.tensors) {
		d.tensors = append(d.tensors, nil)
	}
	if cap(d.tensors[k]) < size {
		if err := d.take(int64(size - cap(d.tensors[k]))); err != nil {
			return 0, err
		}
		d.tensors[k] = make([]byte, size)
	}
	d.tensors[k] = d.tensors[k][:size]
	d.n++
	return k, nil
}

// read takes in the body.
func (d *desk) read(w http.ResponseWriter, req *http.Request) error {
	if err := d.take(d.size()); err != nil {
		return err
	}
	if req.ContentLength > d.maxBody {
		return d.tooLarge()
	}
	// Beyond the limit, the server closes the connection instead of reading on.
	var body io.Reader = http.MaxBytesReader(w, req.Body, d.maxBody)
	if strings.EqualFold(req.Header.Get("Content-Encoding"), "gzip") {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return bad("the body is not gzip, as its Content-Encoding says: %v", err)
		}
		body = io.LimitReader(unpacked, d.maxBody+1)
	}
	return d.fill(body, max(0, int(req.ContentLength)))
}

// fill reads all of body, of which the caller said the length, or 0.
func (d *desk) fill(body io.Reader, said int) error {
	d.text = d.text[:0]
	if err := d.grow(min(said, firstRead) + 1); err != nil { // one more to see the end
		return err
	}
	for {
		n, err := body.Read(d.text[len(d.text) : cap(d.text)-padding])
		d.text = d.text[:len(d.text)+n]
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large), int64(len(d.text)) > d.maxBody:
			return d.tooLarge()
		case errors.Is(err, io.EOF):
			d.text = append(d.text, make([]byte, padding)...)
			return nil
		case err != nil:
			return bad("the body ended early: %v", err)
		}
		if err := d.grow(1); err != nil {
			return err
		}
	}
}

// grow makes room for n more bytes and the padding.
func (d *desk) grow(n int) error {
	if cap(d.text)-len(d.text) >= n+padding {
		return nil
	}
	before := cap(d.text)
	// At least half as much again, so that a slow body is not copied for each
	// packet; never more than the limit asks for.
	n = max(n, min(before/2, int(d.maxBody)+1-len(d.text)), 4096) + padding
	if err := d.take(int64(len(d.text) + n - before)); err != nil {
		return err
	}
	larger := make([]byte, len(d.text), len(d.text)+n) // append would take more than was asked for
	copy(larger, d.text)
	d.text = larger
	return nil
}

func (d *desk) tooLarge() error {
	return &failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes: send fewer instances at a time, or pictures as they are", d.maxBody)}
}

// take asks the budget for n bytes more.
func (d *desk) take(n int64) error {
	if d.budget.used.Add(n) > d.budget.limit {
		d.budget.used.Add(-n)
		return errBudget
	}
	d.held += n
	return nil
}

// budget counts the bytes of all requests under way.
type budget struct {
	limit int64
	used  atomic.Int64
}

var errBudget = errors.New("requests under way hold all the memory that they may: try again in a second")
