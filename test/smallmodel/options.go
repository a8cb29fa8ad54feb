package smallmodel

import "github.com/egret-edge/egret/tflite/schema"

// quantization has a zero point for each scale, as the library wants it.
func quantization(scales []float32, zero int64, dim int32) *schema.Quantization {
	q := &schema.Quantization{Scale: scales, Dim: dim}
	for range scales {
		q.Zero = append(q.Zero, zero)
	}
	return q
}

// The slots below are those of the options in the published schema.

func conv2DOptions(stride int32, a schema.Activation) schema.Options {
	o, _ := schema.NewOptions(schema.Conv2DOptions).With(1, stride).With(2, stride).WithActivation(a)
	return o
}

// depthwiseOptions have a depth_multiplier of 1.
func depthwiseOptions(stride int32, a schema.Activation) schema.Options {
	o, _ := schema.NewOptions(schema.DepthwiseConv2DOptions).With(1, stride).With(2, stride).With(3, 1).WithActivation(a)
	return o
}

// poolOptions are for a filter as large as the picture.
func poolOptions(side int32) schema.Options {
	o := schema.NewOptions(schema.Pool2DOptions).With(0, schema.Valid)
	for slot := 1; slot <= 4; slot++ { // stride_w, stride_h, filter_width, filter_height
		o = o.With(slot, side)
	}
	return o
}

func keepDims() schema.Options { return schema.NewOptions(schema.ReducerOptions).With(0, 1) }

func reshapeOptions(shape []int32) schema.Options {
	return schema.NewOptions(schema.ReshapeOptions).WithInts(0, shape)
}

// softmaxOptions have a beta of 1.
func softmaxOptions() schema.Options { return schema.NewOptions(schema.SoftmaxOptions).WithFloat(0, 1) }

// bytes is the model's file.
func (n *network) bytes(input int32, description string) []byte {
	data, err := n.graph.Model(description, []int32{input}, []int32{n.at}).Write()
	if err != nil {
		panic(err) // a model of a few hundred kilobytes always fits
	}
	return data
}
