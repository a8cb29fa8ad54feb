//go:build !cgo

package pixel

// native is the part of a scaler that has a faster twin in C: here it is all
// Go, for the operator's tool.
type native struct{ planar }

func (n *native) render(dst []byte, t *Target, src Image) (region, error) {
	p, err := decode(src)
	if err != nil {
		return region{}, err
	}
	return n.planar.render(dst, t, p), nil
}

func (n *native) close() {}

// nativeJPEG tells whether JPEG is decoded without allocating.
const nativeJPEG = false
