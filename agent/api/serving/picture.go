package serving

import (
	"context"
	"encoding/base64"
	"mime"
	"strings"

	"github.com/egret-edge/egret/sensors/pixel"
)

// Decoder turns pictures into tensors, so many at a time and no more: a decoded
// picture is what takes most of a request's memory. Any goroutine may call it.
type Decoder struct {
	scalers chan *pixel.Scaler // one for each decoding that may be under way
}

// NewDecoder makes one that decodes at most n pictures at a time.
func NewDecoder(n int) *Decoder {
	d := &Decoder{scalers: make(chan *pixel.Scaler, n)}
	for range n {
		d.scalers <- new(pixel.Scaler)
	}
	return d
}

// DecodePicture fills dst, whose length is target.Bytes(), with an encoded
// picture of any format that pixel.Sniff knows. It waits for its turn until ctx
// is done. The view is the part of the picture that the tensor shows. An error
// of the picture itself is a *pixel.Error.
func (d *Decoder) DecodePicture(ctx context.Context, dst []byte, target *pixel.Target, data []byte) (pixel.View, error) {
	format := pixel.Sniff(data)
	if format == pixel.Unknown {
		return pixel.View{}, &pixel.Error{Kind: pixel.ErrFormat, Detail: "want JPEG, PNG, BMP or WebP"}
	}
	select {
	case s := <-d.scalers:
		img := pixel.Image{Format: format, Data: data}
		defer d.release(s, img)
		return s.Tensor(dst, target, img)
	case <-ctx.Done():
		return pixel.View{}, ctx.Err()
	}
}

// keptPixels is the largest picture whose buffers a scaler keeps: some cameras'
// full size, 16 MB as pixels.
const keptPixels = 4_000_000

// release gives the scaler back, without what it would keep of a large picture.
func (d *Decoder) release(s *pixel.Scaler, img pixel.Image) {
	if w, h, err := pixel.Size(img); err != nil || w*h > keptPixels {
		s.Close()
	}
	d.scalers <- s
}

// isPicture tells whether the body is a picture itself.
func isPicture(contentType string) bool {
	if !strings.HasPrefix(contentType, "image/") {
		return false
	}
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "image/jpeg" || t == "image/png")
}

// picture is where an example's picture lies in the request's text.
type picture struct {
	example int
	at, end int  // of a base64 string, between its quotes
	plain   bool // it is the bytes themselves
	place   place
}

// place is where an example stands in a request.
type place uint8

const (
	elsewhere  place = iota
	inRow            // an instance
	inNamedRow       // an instance's named input
)

// wrap puts the place before an example's fault, as TensorFlow Serving does.
func (d *desk) wrap(err error, p place, example int) error {
	switch p {
	case inRow:
		return within(err, "Failed to process element: %d of 'instances' list. Error:", example)
	case inNamedRow:
		return within(err, "Failed to process element: %d key: %s of 'instances' list. Error:", example, d.in.name)
	}
	return err
}

// decode fills the examples that are pictures.
func (d *desk) decode(ctx context.Context) error {
	for _, p := range d.pictures {
		data := d.text[p.at:p.end]
		if !p.plain {
			var err error
			if data, err = d.unbase64(data); err != nil {
				return d.wrap(err, p.place, p.example)
			}
		}
		if _, err := d.decoder.DecodePicture(ctx, d.tensors[p.example], &d.in.target, data); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return d.wrap(bad("%s", err), p.place, p.example)
		}
	}
	return nil
}

// unbase64 decodes a JSON string's content, with or without padding. The answer
// is valid until the next call.
func (d *desk) unbase64(s []byte) ([]byte, error) {
	if n := len(s); cap(d.raw) < n {
		if err := d.take(int64(n - cap(d.raw))); err != nil {
			return nil, err
		}
		d.raw = make([]byte, 0, n)
	}
	plain := d.raw[:0]
	if p := unescape(plain, s); p != nil { // \/ and \n are common
		s = p
	}
	for len(s) > 0 && s[len(s)-1] == '=' {
		s = s[:len(s)-1]
	}
	// In place: three bytes are written after four were read.
	n, err := base64.RawStdEncoding.Decode(d.raw[:cap(d.raw)], s)
	if err != nil {
		return nil, bad("Unable to base64 decode")
	}
	return d.raw[:n], nil
}
