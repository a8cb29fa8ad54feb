//go:build !cgo

package pixel

// native has nothing in a build without cgo.
type native struct{}

const hasNative = false

func (*native) jpeg([]byte, *job, jpegInfo, []byte) error { return nil }
func (*native) scale([]byte, *job, *picture) error        { return nil }
func (*native) close()                                    {}
