// Package schema reads and writes TensorFlow Lite's model files: FlatBuffers
// of the published schema, version 3 (tensorflow/lite/schema/schema.fbs), as
// plain Go values.
//
// It is for programs that make models or change them. It does not run them, and
// it does not say whether what a model's operators do makes sense. A field that
// it has no name for is an error: what was read can always be written again
// without loss.
package schema

// Limits on what Read takes. Models for the edge have hundreds of tables and
// tens of megabytes.
const (
	MaxBytes  = 256 << 20
	maxTables = 1 << 16
)

// Identifier stands at offset 4 of every model file.
const Identifier = "TFL3"

// Model is the table Model.
type Model struct {
	Version     uint32
	Codes       []OperatorCode
	Graphs      []SubGraph
	Description string
	// Buffers hold the values of constants and metadata; the first is empty.
	// Those of a model that was read are parts of the file's bytes.
	Buffers        [][]byte
	MetadataBuffer []int32
	Metadata       []Metadata
	Signatures     []Signature
}

// OperatorCode is the table OperatorCode: which operator, and which version of
// it. Custom is the name of an operator that is not built in.
type OperatorCode struct {
	Builtin Operator
	Custom  string
	Version int32
}

// String is the operator's name.
func (c OperatorCode) String() string {
	if c.Builtin == Custom && c.Custom != "" {
		return c.Custom
	}
	return c.Builtin.String()
}

// SubGraph is the table SubGraph.
type SubGraph struct {
	Tensors         []Tensor
	Inputs, Outputs []int32 // indices of tensors
	Nodes           []Node
	Name            string
}

// Tensor is the table Tensor.
type Tensor struct {
	Shape  []int32
	Type   Type
	Buffer uint32 // an empty one for what an operator computes
	Name   string
	Quant  *Quantization // nil: not quantized
	// Variable tensors keep their values from one Invoke to the next.
	Variable       bool
	ShapeSignature []int32
	HasRank        bool
}

// Quantization is the table QuantizationParameters: one scale for the tensor,
// or one for each index of the dimension Dim. The real value of q is
// Scale × (q − Zero).
type Quantization struct {
	Min, Max []float32 // of the training; nothing computes with them
	Scale    []float32
	Zero     []int64
	Dim      int32
}

// Node is the table Operator: one operator of a graph at work.
type Node struct {
	Code            uint32
	Inputs, Outputs []int32 // −1 for an input that is left out
	Options         Options
	CustomOptions   []byte
}

// Metadata is the table Metadata.
type Metadata struct {
	Name   string
	Buffer uint32
}

// Signature is the table SignatureDef.
type Signature struct {
	Inputs, Outputs []TensorMap
	Key             string
	Graph           uint32
}

// TensorMap is the table TensorMap.
type TensorMap struct {
	Name   string
	Tensor uint32
}
