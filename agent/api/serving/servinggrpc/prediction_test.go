package servinggrpc_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/egret-edge/egret/agent/api/serving/servinggrpc"
)

// Types by the numbers of types.proto.
const (
	dtFloat  = 1
	dtDouble = 2
	dtUint8  = 4
	dtInt8   = 6
	dtString = 7
)

var (
	one     = []int64{1, 2, 2, 3}
	two     = []int64{2, 2, 2, 3}
	bytes12 = []byte{7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}
)

// request is a PredictRequest for a model with its one input.
func request(model string, tensor []byte, extra ...[]byte) []byte {
	return join(spec(1, model), inputs("input", tensor), join(extra...))
}

// predictions are requests that are answered, and seeds of the fuzz target.
func predictions(t testing.TB) []struct {
	name         string
	request      []byte
	scores, echo string
} {
	red, blue := picture(t, 200, 20, 2), picture(t, 1, 2, 250)
	return []struct {
		name         string
		request      []byte
		scores, echo string
	}{
		{"tensor_content", request("uint8", tensor(dtUint8, one, content(bytes12...))),
			"type 4 [1 3] int_val [7 8 9]", "type 1 [1 2] float_val [7 8]"},
		{"two examples", request("uint8", tensor(dtUint8, two, content(append(slices.Clone(bytes12), bytes12[3:]...)...), content(append(slices.Clone(bytes12), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)...))),
			"type 4 [2 3] int_val [7 8 9 1 2 3]", "type 1 [2 2] float_val [7 8 1 2]"},
		{"int_val", request("uint8", tensor(dtUint8, one, whole(7, 255, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10))),
			"type 4 [1 3] int_val [255 0 1]", "type 1 [1 2] float_val [255 0]"},
		{"int_val not packed", request("uint8", tensor(dtUint8, one, number(7, 5), number(7, 6), number(7, 7))),
			"type 4 [1 3] int_val [5 6 7]", "type 1 [1 2] float_val [5 6]"},
		{"last value again", request("uint8", tensor(dtUint8, two, whole(7, 9, 8))),
			"type 4 [2 3] int_val [9 8 8 8 8 8]", "type 1 [2 2] float_val [9 8 8 8]"},
		{"no value is zeros", request("uint8", tensor(dtUint8, one)),
			"type 4 [1 3] int_val [0 0 0]", "type 1 [1 2] float_val [0 0]"},
		{"int8", request("int8", tensor(dtInt8, one, whole(7, -128, 127, -1))),
			"type 6 [1 3] int_val [-128 127 -1]", "type 1 [1 2] float_val [128 127]"},
		{"int8 content", request("int8", tensor(dtInt8, one, content(0x80, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0))),
			"type 6 [1 3] int_val [-128 127 -1]", "type 1 [1 2] float_val [128 127]"},
		{"float_val", request("float32", tensor(dtFloat, one, floats(5, 0.5, -2))),
			"type 4 [1 3] int_val [0 0 0]", "type 1 [1 2] float_val [0.5 -2]"},
		{"float_val NaN", request("float32", tensor(dtFloat, one, floats(5, float32(math.NaN()), float32(math.Inf(1))))),
			"type 4 [1 3] int_val [0 0 192]", "type 1 [1 2] float_val [NaN +Inf]"},
		{"picture", request("uint8", tensor(dtString, []int64{1}, sub(8, red))),
			"type 4 [1 3] int_val [200 20 2]", "type 1 [1 2] float_val [200 20]"},
		{"picture as a scalar", request("uint8", tensor(dtString, nil, sub(8, red))),
			"type 4 [1 3] int_val [200 20 2]", "type 1 [1 2] float_val [200 20]"},
		{"pictures", request("uint8", tensor(dtString, []int64{3}, sub(8, red), sub(8, blue))),
			"type 4 [3 3] int_val [200 20 2 1 2 250 1 2 250]", "type 1 [3 2] float_val [200 20 1 2 1 2]"},
		{"picture for int8", request("int8", tensor(dtString, []int64{1}, sub(8, red))),
			"type 6 [1 3] int_val [72 -108 -126]", "type 1 [1 2] float_val [72 148]"},
		{"picture for float32", request("float32", tensor(dtString, []int64{1}, sub(8, red))),
			"type 4 [1 3] int_val [0 0 72]", "type 1 [1 2] float_val [200 20]"},
		{"filter", request("uint8", tensor(dtUint8, one, content(bytes12...)), sub(3, "echo")),
			"", "type 1 [1 2] float_val [7 8]"},
		{"filter of both", request("uint8", tensor(dtUint8, one, content(bytes12...)), sub(3, "echo"), sub(3, "scores")),
			"type 4 [1 3] int_val [7 8 9]", "type 1 [1 2] float_val [7 8]"},
		{"version, signature and unknown fields", join(spec(1, "uint8", version(3), signature("serving_default")), inputs("input", tensor(dtUint8, one, content(bytes12...), number(3, 0))), sub(6, "client"), sub(999, "new")),
			"type 4 [1 3] int_val [7 8 9]", "type 1 [1 2] float_val [7 8]"},
		{"label", join(spec(1, "uint8", label("stable")), inputs("input", tensor(dtUint8, one, content(bytes12...)))),
			"type 4 [1 3] int_val [7 8 9]", "type 1 [1 2] float_val [7 8]"},
	}
}

func TestPredict(t *testing.T) {
	conn := start(t, servinggrpc.Options{})
	for _, tt := range predictions(t) {
		t.Run(tt.name, func(t *testing.T) {
			answer, err := invoke(t.Context(), conn, predict, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			f := parse(t, answer)
			model := string(parse(t, tt.request).sub(t, 1).one(1))
			if got, want := specOf(t, f.sub(t, 2)), model+" 3 serving_default"; got != want {
				t.Errorf("model_spec is %q, want %q", got, want)
			}
			outputs := f.entries(t, 1)
			for name, want := range map[string]string{"scores": tt.scores, "echo": tt.echo} {
				got := ""
				if o, found := outputs[name]; found {
					got = describe(t, o)
				}
				if got != want {
					t.Errorf("output %q is\n%s, want\n%s", name, got, want)
				}
			}
		})
	}
}

// TestGolden holds answers byte for byte. Members of a oneof, such as a spec's
// version, come last: their place is the encoder's choice.
func TestGolden(t *testing.T) {
	conn := start(t, servinggrpc.Options{})
	for _, tt := range []struct {
		name, method string
		request      []byte
		want         string
	}{
		{"Predict", predict, request("uint8", tensor(dtUint8, one, content(bytes12...)), sub(3, "scores")),
			"0a1b" + "0a0673636f726573" + "1211" + "0804" + "1208" + "12020801" + "12020803" + "3a03070809" +
				"121c" + "0a0575696e7438" + "1a0f" + hex.EncodeToString([]byte("serving_default")) + "12020803"},
		{"Classify", classify, join(spec(1, "uint8"), sub(2, sub(1, example("input", sub(3, whole(1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)))))),
			"0a20" + "0a1e" + "0a0e" + "0a07636c6173732037" + "150000403f" + "0a0c" + "0a056f74686572" + "150000803e" +
				"121c" + "0a0575696e7438" + "1a0f" + hex.EncodeToString([]byte("serving_default")) + "12020803"},
		{"GetModelStatus", state, spec(1, "uint8"), "0a06" + "0803" + "101e" + "1a00" + "0a06" + "0802" + "1014" + "1a00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := invoke(t.Context(), conn, tt.method, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if want, _ := hex.DecodeString(tt.want); !bytes.Equal(got, want) {
				t.Errorf("the answer is\n%x, want\n%x", got, want)
			}
		})
	}
}

// classifications are requests that are answered, and seeds of the fuzz target.
func classifications(t testing.TB) []struct {
	name    string
	request []byte
	want    []string // the best label of each example
} {
	red, blue := picture(t, 200, 20, 2), picture(t, 1, 2, 250)
	numbers := sub(3, whole(1, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
	return []struct {
		name    string
		request []byte
		want    []string
	}{
		{"picture", join(spec(1, "uint8"), sub(2, sub(1, example("image/encoded", sub(1, sub(1, red)))))), []string{"class 200"}},
		{"numbers", join(spec(1, "uint8"), sub(2, sub(1, example("input", numbers)))), []string{"class 5"}},
		{"numbers for a float model", join(spec(1, "float32"), sub(2, sub(1, example("input", numbers)))), []string{"class 0"}},
		{"floats", join(spec(1, "float32"), sub(2, sub(1, example("x", sub(2, floats(1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)))))), []string{"class 0"}},
		{"two of them", join(spec(1, "uint8"), sub(2, sub(1, join(example("a", sub(1, sub(1, red))), example("b", sub(1, sub(1, blue))))))), []string{"class 200", "class 1"}},
		{"the input's name goes first", join(spec(1, "uint8"), sub(2, sub(1, sub(1, sub(1, join(
			sub(1, join(sub(1, "id"), sub(2, sub(3, whole(1, 4))))), sub(1, join(sub(1, "input"), sub(2, numbers))))))))), []string{"class 5"}},
		{"context", join(spec(1, "uint8"), sub(2, sub(2, join(sub(1, ""), sub(1, ""), sub(2, features("input", numbers)))))), []string{"class 5", "class 5"}},
	}
}

func TestClassify(t *testing.T) {
	conn := start(t, servinggrpc.Options{})
	for _, tt := range classifications(t) {
		t.Run(tt.name, func(t *testing.T) {
			answer, err := invoke(t.Context(), conn, classify, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range parse(t, answer).sub(t, 1).bytes[1] {
				classes := parse(t, c).bytes[1]
				if len(classes) != 2 {
					t.Fatalf("%d classes, want 2", len(classes))
				}
				best := parse(t, classes[0])
				if score := math.Float32frombits(uint32(best.number(2))); score != 0.75 {
					t.Errorf("score is %v, want 0.75", score)
				}
				got = append(got, string(best.one(1)))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("labels are %q, want %q", got, tt.want)
			}
		})
	}
}

func TestGetModelMetadata(t *testing.T) {
	conn := start(t, servinggrpc.Options{})
	answer, err := invoke(t.Context(), conn, signatures, join(spec(1, "float32"), sub(2, "signature_def")))
	if err != nil {
		t.Fatal(err)
	}
	f := parse(t, answer)
	if got := specOf(t, f.sub(t, 1)); got != "float32 3 " {
		t.Errorf("model_spec is %q", got)
	}
	packed := f.entries(t, 2)["signature_def"]
	if got := string(packed.one(1)); got != "type.googleapis.com/tensorflow.serving.SignatureDefMap" {
		t.Errorf("type_url is %q", got)
	}
	def, found := packed.sub(t, 2).entries(t, 1)["serving_default"]
	if !found || string(def.one(3)) != "tensorflow/serving/predict" {
		t.Errorf("method_name is %q", def.one(3))
	}
	for _, tt := range []struct {
		tensors fields
		name    string
		want    string
	}{
		{def.entries(t, 1)["input"], "input", "type 1 [-1 2 2 3]"},
		{def.entries(t, 2)["scores"], "scores", "type 4 [-1 3]"},
		{def.entries(t, 2)["echo"], "echo", "type 1 [-1 2]"},
	} {
		var dims []int64
		for _, d := range tt.tensors.sub(t, 3).bytes[2] {
			dims = append(dims, parse(t, d).number(1))
		}
		if got := fmt.Sprintf("type %d %v", tt.tensors.number(2), dims); got != tt.want || string(tt.tensors.one(1)) != tt.name {
			t.Errorf("tensor %q is %s called %q, want %s", tt.name, got, tt.tensors.one(1), tt.want)
		}
	}
}

func TestGetModelStatus(t *testing.T) {
	conn := start(t, servinggrpc.Options{})
	for _, tt := range []struct {
		name    string
		request []byte
		want    string
	}{
		{"all", spec(1, "uint8"), "3:30 2:20"},
		{"one by its version", spec(1, "uint8", version(2)), "2:20"},
		{"one by its label", spec(1, "uint8", label("stable")), "3:30"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, err := invoke(t.Context(), conn, state, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range parse(t, answer).bytes[1] {
				f := parse(t, v)
				got = append(got, fmt.Sprintf("%d:%d", f.number(1), f.number(2)))
				if ok, there := f.bytes[3]; !there || len(ok[0]) != 0 {
					t.Errorf("status is %x, want an empty one", ok)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("versions are %v, want %s", got, tt.want)
			}
		})
	}
}

// refused are requests that are not answered, and seeds of the fuzz target.
func refused(t testing.TB) []struct {
	name, method string
	request      []byte
	code         codes.Code
	message      string // a part of it
} {
	red := picture(t, 200, 20, 2)
	classified := func(model string, examples ...[]byte) []byte {
		return join(spec(1, model), sub(2, sub(1, join(examples...))))
	}
	shaped := func(dims ...int64) []byte { return request("uint8", tensor(dtUint8, dims, content(bytes12...))) }
	return []struct {
		name, method string
		request      []byte
		code         codes.Code
		message      string
	}{
		{"no spec", predict, nil, codes.InvalidArgument, "Missing ModelSpec"},
		{"no name", predict, sub(1, ""), codes.InvalidArgument, "no name"},
		{"no such model", predict, request("x", nil), codes.NotFound, "Servable not found for request: Latest(x)"},
		{"no such version", predict, spec(1, "uint8", version(9)), codes.NotFound, "Servable not found for request: Specific(uint8, 9)"},
		{"a negative version", predict, spec(1, "uint8", version(-1)), codes.NotFound, "Specific(uint8, -1)"},
		{"a huge version", predict, spec(1, "uint8", version(math.MinInt64+3)), codes.NotFound, "Servable not found"},
		{"no such label", predict, spec(1, "uint8", label("canary")), codes.InvalidArgument, `Unrecognized servable version label: "canary"`},
		{"a name with line breaks", predict, spec(1, "a\nb"), codes.NotFound, `Latest(a\nb)`},
		{"no such signature", predict, spec(1, "uint8", signature("x")), codes.FailedPrecondition, `Serving signature key "x" not found.`},
		{"no such signature to classify", classify, spec(1, "uint8", signature("x")), codes.InvalidArgument, "No signature was found with the name: x"},
		{"no input", predict, spec(1, "uint8"), codes.InvalidArgument, "input size does not match signature"},
		{"another input", predict, join(spec(1, "uint8"), inputs("image", tensor(dtUint8, one))), codes.InvalidArgument, `("image"), want one called "input"`},
		{"an input too many", predict, request("uint8", tensor(dtUint8, one), inputs("b", nil)), codes.InvalidArgument, "2 inputs were sent"},
		{"another type", predict, request("uint8", tensor(dtDouble, one)), codes.InvalidArgument, "DT_DOUBLE was sent: send DT_UINT8"},
		{"no type", predict, request("uint8", nil), codes.InvalidArgument, "DT_INVALID was sent"},
		{"a type of the future", predict, request("uint8", tensor(12345, one)), codes.InvalidArgument, "12345 was sent"},
		{"no shape", predict, request("uint8", tensor(dtUint8, nil, content(bytes12...))), codes.InvalidArgument, "one of 0 dimensions"},
		{"unknown rank", predict, request("uint8", join(number(1, dtUint8), sub(2, number(3, 1)))), codes.InvalidArgument, "needs the shape"},
		{"no batch", predict, shaped(2, 2, 3), codes.InvalidArgument, "[n,2,2,3], and one of 3 dimensions"},
		{"another height", predict, shaped(1, 3, 2, 3), codes.InvalidArgument, "dimension 1 of input \"input\" is 3: want 2"},
		{"a negative dimension", predict, shaped(-1, 2, 2, 3), codes.InvalidArgument, "has -1 examples: send 1 to 64"},
		{"no examples", predict, shaped(0, 2, 2, 3), codes.InvalidArgument, "has 0 examples"},
		{"too many examples", predict, shaped(65, 2, 2, 3), codes.InvalidArgument, "has 65 examples"},
		{"dimensions that overflow", predict, shaped(1<<62, 2, 2, 3), codes.InvalidArgument, "send 1 to 64"},
		{"dimensions whose product is right", predict, shaped(1, -2, -2, 3), codes.InvalidArgument, "is -2: want 2"},
		{"a thousand dimensions", predict, shaped(make([]int64, 1000)...), codes.InvalidArgument, "one of 1000 dimensions"},
		{"too few bytes", predict, request("uint8", tensor(dtUint8, two, content(bytes12...))), codes.InvalidArgument, "has 12 bytes, its shape needs 24"},
		{"too many values", predict, request("uint8", tensor(dtUint8, one, whole(7, make([]int64, 13)...))), codes.InvalidArgument, "has 13 values, its shape has 12"},
		{"a value out of range", predict, request("uint8", tensor(dtUint8, one, whole(7, 256))), codes.InvalidArgument, "has 256 among its values: want 0 to 255"},
		{"a value below the range", predict, request("int8", tensor(dtInt8, one, whole(7, -129))), codes.InvalidArgument, "want -128 to 127"},
		{"no picture", predict, request("uint8", tensor(dtString, []int64{1})), codes.InvalidArgument, "no string_val"},
		{"no known picture", predict, request("uint8", tensor(dtString, []int64{1}, sub(8, "GIF89a"))), codes.InvalidArgument, "JPEG, PNG"},
		{"half a picture", predict, request("uint8", tensor(dtString, []int64{1}, sub(8, red[:len(red)/2]))), codes.InvalidArgument, "picture for input"},
		{"pictures in another shape", predict, request("uint8", tensor(dtString, []int64{1, 1}, sub(8, red))), codes.InvalidArgument, "[n] or []"},
		{"a picture too many", predict, request("uint8", tensor(dtString, nil, sub(8, red), sub(8, red))), codes.InvalidArgument, "has 2 pictures, its shape has 1"},
		{"a picture that is repeated too often", predict, request("uint8", tensor(dtString, []int64{1 << 40}, sub(8, red))), codes.InvalidArgument, "send 1 to 64"},
		{"no such output", predict, request("uint8", tensor(dtUint8, one), sub(3, "x")), codes.InvalidArgument, `output tensor alias not found in signature: "x" Outputs expected to be in the set {scores,echo}.`},
		{"an output twice", predict, request("uint8", tensor(dtUint8, one), sub(3, "echo"), sub(3, "echo")), codes.InvalidArgument, "duplicate output tensor alias"},
		{"no room", predict, request("full", tensor(dtUint8, one)), codes.ResourceExhausted, "queue of requests is full"},
		{"too late", predict, request("late", tensor(dtUint8, one)), codes.DeadlineExceeded, "deadline"},
		{"gone twice", predict, request("gone", tensor(dtUint8, one)), codes.Unavailable, "being replaced"},
		{"a model that fails", predict, request("broken", tensor(dtUint8, one)), codes.Internal, "the model failed: operator 7 failed"},
		{"a bug", predict, request("panics", tensor(dtUint8, one)), codes.Internal, "written to its log"},
		{"no message", predict, []byte{0xff}, codes.Internal, "unmarshal"},
		{"no examples to classify", classify, spec(1, "uint8"), codes.InvalidArgument, "Input is empty"},
		{"detections", classify, classified("detector", example("input", sub(1, sub(1, red)))), codes.InvalidArgument, "task is detect: use Predict"},
		{"no feature", classify, classified("uint8", sub(1, "")), codes.InvalidArgument, "has 0 features"},
		{"features without the input's name", classify, classified("uint8", sub(1, sub(1, join(sub(1, sub(1, "a")), sub(1, sub(1, "b")))))), codes.InvalidArgument, "has 2 features"},
		{"a feature without values", classify, classified("uint8", example("input", nil)), codes.InvalidArgument, "no values"},
		{"floats for whole numbers", classify, classified("uint8", example("input", sub(2, floats(1, 1)))), codes.InvalidArgument, "send an int64_list"},
		{"a short list", classify, classified("uint8", example("input", sub(3, whole(1, 1)))), codes.InvalidArgument, "has 1 values, input \"input\" has 12"},
		{"a short list of floats", classify, classified("float32", example("input", sub(2, floats(1, 1)))), codes.InvalidArgument, "has 1 values"},
		{"a number out of range", classify, classified("uint8", example("input", sub(3, whole(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1<<40)))), codes.InvalidArgument, "want 0 to 255"},
		{"two pictures in one", classify, classified("uint8", example("input", sub(1, join(sub(1, red), sub(1, red))))), codes.InvalidArgument, "has 2 byte strings"},
		{"no field of metadata", signatures, spec(1, "uint8"), codes.InvalidArgument, "at least one metadata_field"},
		{"another field of metadata", signatures, join(spec(1, "uint8"), sub(2, "x")), codes.InvalidArgument, `Metadata field "x" is not supported`},
		{"metadata without spec", signatures, sub(2, "signature_def"), codes.InvalidArgument, "Missing ModelSpec"},
		{"metadata of no model", signatures, join(spec(1, "x"), sub(2, "signature_def")), codes.NotFound, "Latest(x)"},
		{"status without spec", state, nil, codes.InvalidArgument, "Missing ModelSpec"},
		{"status of no model", state, spec(1, "x"), codes.NotFound, `Could not find any versions of model "x"`},
		{"status of no version", state, spec(1, "uint8", version(7)), codes.NotFound, "Specific(uint8, 7)"},
		{"a method that is not answered", "/tensorflow.serving.PredictionService/Regress", spec(1, "uint8"), codes.Unimplemented, "Regress"},
		{"two models at once", "/tensorflow.serving.PredictionService/MultiInference", nil, codes.Unimplemented, "MultiInference"},
		{"new models", "/tensorflow.serving.ModelService/HandleReloadConfigRequest", nil, codes.Unimplemented, "HandleReloadConfigRequest"},
		{"another service", "/tensorflow.Other/X", nil, codes.Unimplemented, "tensorflow.Other"},
	}
}

func TestRefused(t *testing.T) {
	conn := start(t, servinggrpc.Options{})
	for _, tt := range refused(t) {
		t.Run(tt.name, func(t *testing.T) {
			_, err := invoke(t.Context(), conn, tt.method, tt.request)
			if got := status.Convert(err); got.Code() != tt.code || !strings.Contains(got.Message(), tt.message) || strings.Contains(got.Message(), "\n") {
				t.Errorf("the answer is %v %q, want %v with %q", got.Code(), got.Message(), tt.code, tt.message)
			}
		})
	}
}
