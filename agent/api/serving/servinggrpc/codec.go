package servinggrpc

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec below is built on it
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// expansion is how many times its largest size a message may take when it
	// is unpacked. A list of whole numbers takes four to eight times its bytes,
	// messages without content some hundred times.
	expansion = 4
	// fieldCost is about what a message in a message takes, or a map's entry.
	fieldCost = 128
)

// codec is gRPC's own, with a bound on what a message unpacks to.
type codec struct {
	encoding.CodecV2
	maxCost int
}

func newCodec(maxMessage int) codec {
	return codec{encoding.GetCodecV2("proto"), expansion * maxMessage}
}

// received is a message and its size on the wire, which the codec notes.
type received struct {
	message any
	size    int
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if r, ok := v.(*received); ok {
		r.size = data.Len()
		v = r.message
	}
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	left := c.maxCost
	if spend(buf.ReadOnlyData(), m.ProtoReflect().Descriptor(), &left); left < 0 {
		return fmt.Errorf("message takes more than %d bytes when it is unpacked: send fewer or larger values", c.maxCost)
	}
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(buf.ReadOnlyData(), m)
}

// spend takes from left what the message of type md costs in memory, and ends
// when that is below zero. What is broken in it is left to who unpacks it. None
// of the messages holds one of its own type, so the depth is bounded.
func spend(b []byte, md protoreflect.MessageDescriptor, left *int) {
	for len(b) > 0 && *left >= 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		field := md.Fields().ByNumber(number)
		if wire != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
				return
			}
			b = b[n:]
			if field != nil {
				*left -= 8
			}
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return
		}
		b = b[n:]
		if field != nil {
			spendBytes(value, field, left)
		}
	}
}

func spendBytes(value []byte, field protoreflect.FieldDescriptor, left *int) {
	switch field.Kind() {
	case protoreflect.MessageKind:
		*left -= fieldCost
		spend(value, field.Message(), left)
	case protoreflect.BytesKind, protoreflect.StringKind:
		*left -= len(value) + 24 // and the slice's header
	case protoreflect.Int32Kind, protoreflect.EnumKind:
		*left -= 4 * numbers(value)
	case protoreflect.Int64Kind:
		*left -= 8 * numbers(value)
	default:
		*left -= len(value) // floats are as large as on the wire
	}
}

// numbers counts the varints of a packed list: each ends with a byte below 128.
func numbers(b []byte) (n int) {
	for _, c := range b {
		n += int(^c >> 7)
	}
	return n
}
