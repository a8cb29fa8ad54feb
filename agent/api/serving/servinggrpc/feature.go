package servinggrpc

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/egret-edge/egret/agent/api/serving/tfproto"
)

// features turns a classification's input into examples.
func (s *Server) features(ctx context.Context, in *input, from *tfproto.Input) (batch, error) {
	examples, shared := from.GetExampleList().GetExamples(), (*tfproto.Example)(nil)
	if with := from.GetExampleListWithContext(); with != nil {
		examples, shared = with.GetExamples(), with.GetContext()
	}
	if len(examples) == 0 {
		return batch{}, invalid("Input is empty: send an example_list")
	}
	n, err := in.examples(int64(len(examples)), s.opts.MaxExamples)
	if err != nil {
		return batch{}, err
	}
	return s.fill(ctx, in, n, func(ctx context.Context, i int, dst []byte) error {
		f, err := in.feature(examples[i], shared)
		if err != nil {
			return err
		}
		return s.feature(ctx, in, dst, f)
	})
}

// feature picks the one that holds the picture: the one of the input's name, or
// the only one. Those of the context count as the example's.
func (in *input) feature(e, shared *tfproto.Example) (*tfproto.Feature, error) {
	own, common := e.GetFeatures().GetFeature(), shared.GetFeatures().GetFeature()
	for _, features := range []map[string]*tfproto.Feature{own, common} {
		if f := features[in.Name]; f != nil {
			return f, nil
		}
	}
	if len(own)+len(common) != 1 {
		return nil, invalid("an example has %d features and none is called %q: send it, or one feature alone", len(own)+len(common), in.Name)
	}
	for _, f := range own {
		return f, nil
	}
	for _, f := range common {
		return f, nil
	}
	panic("one of the two has a feature")
}

// feature writes one as a tensor: an encoded picture, or all values of the
// input in a flat list.
func (s *Server) feature(ctx context.Context, in *input, dst []byte, f *tfproto.Feature) error {
	switch kind := f.GetKind().(type) {
	case *tfproto.Feature_BytesList:
		if n := len(kind.BytesList.GetValue()); n != 1 {
			return invalid("a feature has %d byte strings: send one, an encoded picture", n)
		}
		return s.picture(ctx, in, dst, kind.BytesList.Value[0])
	case *tfproto.Feature_FloatList:
		values := kind.FloatList.GetValue()
		if in.dtype != tfproto.DataType_DT_FLOAT {
			return invalid("input %q is %v and the feature is a float_list: send an int64_list, or a picture in a bytes_list", in.Name, in.dtype)
		}
		if err := in.length(len(values)); err != nil {
			return err
		}
		putFloats(dst, values, 0)
		return nil
	case *tfproto.Feature_Int64List:
		values := kind.Int64List.GetValue()
		if err := in.length(len(values)); err != nil {
			return err
		}
		if in.dtype != tfproto.DataType_DT_FLOAT {
			return putWhole(in, dst, values, 0)
		}
		for i, v := range values {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(v)))
		}
		return nil
	}
	return invalid("a feature has no values: send a bytes_list with a picture, an int64_list or a float_list")
}

func (in *input) length(n int) error {
	if want := in.Shape[1] * in.Shape[2] * 3; n != want {
		return invalid("a feature has %d values, input %q has %d", n, in.Name, want)
	}
	return nil
}
