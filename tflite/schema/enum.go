package schema

import "fmt"

// Type is the enum TensorType.
type Type int8

// The types that are told apart here; the others are numbers to us.
const (
	Float32 Type = 0
	Int32   Type = 2
	UInt8   Type = 3
	Int8    Type = 9
)

var typeNames = []string{"float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8"}

func (t Type) String() string {
	if t >= 0 && int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", int8(t))
}

// Size is the bytes of one value of the types above; 0 for others.
func (t Type) Size() int {
	switch t {
	case UInt8, Int8:
		return 1
	case Float32, Int32:
		return 4
	}
	return 0
}

// Operator is the enum BuiltinOperator.
type Operator int32

// The operators that are told apart here; the others are numbers to us.
const (
	Add             Operator = 0
	AveragePool2D   Operator = 1
	Concatenation   Operator = 2
	Conv2D          Operator = 3
	DepthwiseConv2D Operator = 4
	Dequantize      Operator = 6
	FullyConnected  Operator = 9
	Logistic        Operator = 14
	MaxPool2D       Operator = 17
	Reshape         Operator = 22
	Softmax         Operator = 25
	Custom          Operator = 32
	Pad             Operator = 34
	Mean            Operator = 40
	Squeeze         Operator = 43
	Quantize        Operator = 114
	// placeholder is what the old byte-sized field holds for larger numbers.
	placeholder Operator = 127
)

var operatorNames = map[Operator]string{
	Add: "ADD", AveragePool2D: "AVERAGE_POOL_2D", Concatenation: "CONCATENATION", Conv2D: "CONV_2D", DepthwiseConv2D: "DEPTHWISE_CONV_2D",
	Dequantize: "DEQUANTIZE", FullyConnected: "FULLY_CONNECTED", Logistic: "LOGISTIC", MaxPool2D: "MAX_POOL_2D", Reshape: "RESHAPE",
	Softmax: "SOFTMAX", Custom: "CUSTOM", Pad: "PAD", Mean: "MEAN", Squeeze: "SQUEEZE", Quantize: "QUANTIZE",
	// Not handled by anything here, but likely to be named in an error.
	5: "DEPTH_TO_SPACE", 8: "FLOOR", 11: "L2_NORMALIZATION", 16: "LSTM", 18: "MUL", 19: "RELU", 21: "RELU6", 23: "RESIZE_BILINEAR",
	27: "SVDF", 28: "TANH", 36: "GATHER", 39: "TRANSPOSE", 41: "SUB", 42: "DIV", 45: "STRIDED_SLICE", 49: "SPLIT", 53: "CAST",
	54: "PRELU", 55: "MAXIMUM", 56: "ARG_MAX", 57: "MINIMUM", 65: "SLICE", 67: "TRANSPOSE_CONV", 83: "PACK", 97: "RESIZE_NEAREST_NEIGHBOR",
	98: "LEAKY_RELU", 117: "HARD_SWISH",
}

func (o Operator) String() string {
	if name, ok := operatorNames[o]; ok {
		return name
	}
	return fmt.Sprintf("operator %d", int32(o))
}

// Activation is the enum ActivationFunctionType.
type Activation int8

// The activations that operators fuse into themselves.
const (
	NoActivation Activation = 0
	ReLU         Activation = 1
	ReLUN1To1    Activation = 2
	ReLU6        Activation = 3
)

// The enum Padding.
const (
	Same  = 0
	Valid = 1
)
