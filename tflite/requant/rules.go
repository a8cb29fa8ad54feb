package requant

import "github.com/egret-edge/egret/tflite/schema"

// detection is the custom operator at the end of SSD models. It takes uint8 and
// float32, and no int8; it says so only when it runs.
const detection = "TFLite_Detection_PostProcess"

// rule is how an operator is converted.
type rule struct {
	version int32 // of the operator's int8 kernel
	int8    func(*conversion, *schema.Node) error
	float32 func(*conversion, *schema.Node) error
}

// rules are the operators that can be converted: those of MobileNet v1, v2 and
// v3-minimal, of SSD and of Inception.
var rules = map[schema.OperatorCode]rule{
	{Builtin: schema.Add}:                       {2, int8Add, floatAdd},
	{Builtin: schema.AveragePool2D}:             {2, int8Average, floatActivation},
	{Builtin: schema.Concatenation}:             {2, int8Concatenation, floatConstants},
	{Builtin: schema.Conv2D}:                    {3, int8Conv, floatWeights},
	{Builtin: schema.DepthwiseConv2D}:           {3, int8Depthwise, floatWeights},
	{Builtin: schema.Dequantize}:                {2, int8Dequantize, floatCopy},
	{Builtin: schema.FullyConnected}:            {4, int8FullyConnected, floatWeights},
	{Builtin: schema.Logistic}:                  {2, int8Logistic, floatConstants},
	{Builtin: schema.MaxPool2D}:                 {2, int8Copy, floatActivation},
	{Builtin: schema.Mean}:                      {2, int8Average, floatConstants},
	{Builtin: schema.Pad}:                       {2, int8Copy, floatConstants},
	{Builtin: schema.Quantize}:                  {1, int8Quantize, floatCopy},
	{Builtin: schema.Reshape}:                   {1, int8Copy, floatConstants},
	{Builtin: schema.Softmax}:                   {2, int8Softmax, floatConstants},
	{Builtin: schema.Squeeze}:                   {1, int8Copy, floatConstants},
	{Builtin: schema.Custom, Custom: detection}: {1, int8Detection, floatConstants},
}

// ruleKey is an operator's key in rules: the version does not matter, for
// uint8 kernels of all versions compute the same.
func ruleKey(c schema.OperatorCode) schema.OperatorCode {
	if c.Builtin != schema.Custom {
		c.Custom = ""
	}
	c.Version = 0
	return c
}

// simple checks an operator that turns uint8 activations into one.
func (c *conversion) simple(n *schema.Node) error {
	if len(n.Inputs) == 0 || !c.isBytes(n.Inputs[0]) {
		return refuse("its input is not a uint8 that is computed")
	}
	if len(n.Outputs) != 1 || !c.isBytes(n.Outputs[0]) {
		return refuse("its output is not one of uint8")
	}
	return nil
}

// sameLayout tells whether two original tensors have the same scale and zero
// point.
func (c *conversion) sameLayout(a, b int32) bool {
	x, y := c.was[a].Quant, c.was[b].Quant
	return x.Scale[0] == y.Scale[0] && x.Zero[0] == y.Zero[0]
}
