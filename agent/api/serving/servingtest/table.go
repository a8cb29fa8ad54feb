package servingtest

import "github.com/egret-edge/egret/tflite"

// The answers' forms.
const (
	predictions = "{\n    \"predictions\": […\n    ]\n}"
	outputs     = "{\n    \"outputs\": …\n}"
	results     = "{\n    \"results\": [[…]\n    ]\n}"
	fault       = "{\n    \"error\": \""
	end         = "\"\n}"
)

// predict is the path of most rows.
const predict = "/v1/models/$MODEL:predict"

// Calls are TensorFlow Serving's REST calls, from its api_rest.md and, for the
// words of errors, from what its handler and its JSON reader answer. Their
// names stand in docs/API.md.
var Calls = []Call{
	// Model status API.
	{Name: "status of all versions", Method: "GET", Path: "/v1/models/$MODEL", Status: 200,
		Want: "{\n \"model_version_status\": [\n  {\n   \"version\": \"$VERSION\",\n   \"state\": \"AVAILABLE\",\n   \"status\": {\n    \"error_code\": \"OK\",\n    \"error_message\": \"\"\n   }\n  }…\n ]\n}\n"},
	{Name: "status of a version", Method: "GET", Path: "/v1/models/$MODEL/versions/$VERSION", Status: 200,
		Want: "{\n \"model_version_status\": [\n  {\n   \"version\": \"$VERSION\",\n   \"state\": \"AVAILABLE\",\n   \"status\": {\n    \"error_code\": \"OK\",\n    \"error_message\": \"\"\n   }\n  }\n ]\n}\n"},
	{Name: "status of a label", Method: "GET", Path: "/v1/models/$MODEL/labels/stable", Status: 200,
		Want: "{\n \"model_version_status\": [\n  {\n   \"version\": \"$VERSION\",…  }\n ]\n}\n"},
	{Name: "status of an unknown model", Method: "GET", Path: "/v1/models/half", Status: 404, Want: fault + "Could not find any versions of model half" + end},
	{Name: "status of an unknown version", Method: "GET", Path: "/v1/models/$MODEL/versions/999", Status: 404, Want: fault + "Could not find version 999 of model $MODEL" + end},
	{Name: "status of an unknown label", Method: "GET", Path: "/v1/models/$MODEL/labels/none", Status: 400, Want: fault + "Unrecognized servable version label: none" + end},
	{Name: "status without a name", Method: "GET", Path: "/v1/models", Status: 400, Want: fault + "Missing model name in request." + end},

	// Model metadata API.
	{Name: "metadata", Method: "GET", Path: "/v1/models/$MODEL/metadata", Status: 200, Want: metadata},
	{Name: "metadata of a version", Method: "GET", Path: "/v1/models/$MODEL/versions/$VERSION/metadata", Status: 200, Want: metadata},
	{Name: "metadata of a label", Method: "GET", Path: "/v1/models/$MODEL/labels/stable/metadata", Status: 200, Want: metadata},
	{Name: "metadata of an unknown model", Method: "GET", Path: "/v1/models/half/metadata", Status: 404, Want: fault + "Servable not found for request: Latest(half)" + end},

	// Predict API, row format.
	{Name: "predict a row", Path: predict, Body: `{"instances": [$LISTS]}`, Status: 200, Want: predictions, Rows: 1},
	{Name: "predict rows", Path: predict, Body: `{"instances": [$LISTS, $LISTS, $LISTS]}`, Status: 200, Want: predictions, Rows: 3},
	{Name: "predict a named row", Path: predict, Body: `{"instances": [{"$INPUT": $LISTS}, {"$INPUT": $LISTS}]}`, Status: 200, Want: predictions, Rows: 2},
	{Name: "predict a picture", Path: predict, Body: `{"instances": [{"b64": "$B64"}]}`, Status: 200, Want: predictions, Rows: 1},
	{Name: "predict named pictures", Path: predict, Body: `{"instances": [{"$INPUT": {"b64": "$B64"}}, {"$INPUT": {"b64": "$B64"}}]}`, Status: 200, Want: predictions, Rows: 2},
	{Name: "predict lists and a picture", Path: predict, Body: `{"instances": [$LISTS, {"b64": "$B64"}]}`, Status: 200, Want: predictions, Rows: 2},
	{Name: "predict a body of PNG", Path: predict, Type: "image/png", Body: `$PNG`, Status: 200, Want: predictions, Rows: 1},
	{Name: "predict with a version", Path: "/v1/models/$MODEL/versions/$VERSION:predict", Body: `{"instances": [$LISTS]}`, Status: 200, Want: predictions, Rows: 1},
	{Name: "predict with a label", Path: "/v1/models/$MODEL/labels/stable:predict", Body: `{"instances": [$LISTS]}`, Status: 200, Want: predictions, Rows: 1},
	{Name: "predict with the signature", Path: predict, Body: `{"signature_name": "serving_default", "instances": [$LISTS]}`, Status: 200, Want: predictions, Rows: 1},
	{Name: "predict with unknown keys", Path: predict, Body: `{"x": {"y": [1, null, "z"]}, "instances": [$LISTS], "w": true}`, Status: 200, Want: predictions, Rows: 1},
	{Name: "predict, first of a key twice", Path: predict, Body: `{"instances": [$LISTS], "instances": 5}`, Status: 200, Want: predictions, Rows: 1},
	{Name: "predict NaN and Infinity", Path: predict, Body: `{"instances": [$LISTS], "x": [NaN, Infinity, -Infinity]}`, Status: 200, Want: predictions, Rows: 1},

	// Predict API, column format.
	{Name: "predict a column", Path: predict, Body: `{"inputs": [$LISTS, $LISTS]}`, Status: 200, Want: outputs, Columns: 2},
	{Name: "predict a named column", Path: predict, Body: `{"inputs": {"$INPUT": [$LISTS, $LISTS]}}`, Status: 200, Want: outputs, Columns: 2},
	{Name: "predict a column's picture", Path: predict, Body: `{"inputs": {"b64": "$B64"}}`, Status: 200, Want: outputs, Columns: 1},
	{Name: "predict a column of pictures", Path: predict, Body: `{"inputs": {"$INPUT": [{"b64": "$B64"}, {"b64": "$B64"}]}}`, Status: 200, Want: outputs, Columns: 2},

	// Predict API, errors.
	{Name: "predict with an unknown model", Path: "/v1/models/half:predict", Body: `{"instances": [1.0, 5.0]}`, Status: 404, Want: fault + "Servable not found for request: Latest(half)" + end},
	{Name: "predict with an unknown version", Path: "/v1/models/$MODEL/versions/999:predict", Body: `{"instances": [1]}`, Status: 404, Want: fault + "Servable not found for request: Specific($MODEL, 999)" + end},
	{Name: "predict with an unknown label", Path: "/v1/models/$MODEL/labels/none:predict", Body: `{"instances": [1]}`, Status: 400, Want: fault + "Unrecognized servable version label: none" + end},
	{Name: "version too large", Path: "/v1/models/$MODEL/versions/18446744073709551615:predict", Body: `{}`, Status: 400, Want: fault + "Failed to convert version: 18446744073709551615 to numeric." + end},
	{Name: "version no number", Path: "/v1/models/$MODEL/versions/HELLO:predict", Body: `{}`, Status: 400, Want: fault + "Malformed request: POST /v1/models/$MODEL/versions/HELLO:predict" + end},
	{Name: "no such path", Method: "GET", Path: "/v1/foo", Status: 400, Want: fault + "Malformed request: GET /v1/foo" + end},
	{Name: "post to no path", Path: "/v1/models", Status: 400, Want: fault + "Malformed request: POST /v1/models" + end},
	{Name: "get a verb", Method: "GET", Path: predict, Status: 400, Want: fault + "Malformed request: GET /v1/models/$MODEL:predict" + end},
	{Name: "put", Method: "PUT", Path: predict, Status: 400, Want: fault + "Malformed request: PUT /v1/models/$MODEL:predict" + end},
	{Name: "unknown verb", Path: "/v1/models/$MODEL:explain", Status: 400, Want: fault + "Malformed request: POST /v1/models/$MODEL:explain" + end},
	{Name: "empty body", Path: predict, Status: 400, Want: fault + "JSON Parse error: The document is empty" + end},
	{Name: "no JSON", Path: predict, Body: "instances = [1, 2]", Status: 400, Want: fault + "JSON Parse error: Invalid value. at offset: 0" + end},
	{Name: "no object", Path: predict, Body: "[1]", Status: 400, Want: fault + "JSON Value: [1] Is not object" + end},
	{Name: "text behind", Path: predict, Body: `{"instances": [1]} x`, Status: 400, Want: fault + "JSON Parse error: The document root must not be followed by other values. at offset: 19" + end},
	{Name: "fault of JSON before fault of value", Path: predict, Body: `{"instances": ["a"], "x": }`, Status: 400, Want: fault + "JSON Parse error: Invalid value. at offset: 26" + end},
	{Name: "signature no string", Path: predict, Body: `{"signature_name": 5, "instances": [1]}`, Status: 400, Want: fault + "JSON Value: {…} not formatted correctly. 'signature_name' key must be a string value." + end},
	{Name: "unknown signature", Path: predict, Body: `{"signature_name": "other", "instances": [1]}`, Status: 400, Want: fault + `Serving signature name: \"other\" not found in signature def` + end},
	{Name: "neither key", Path: predict, Body: `{"x": 1}`, Status: 400, Want: fault + "Missing 'inputs' or 'instances' key" + end},
	{Name: "both keys", Path: predict, Body: `{"instances": [1], "inputs": [1]}`, Status: 400, Want: fault + "JSON Value: {…} Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist " + end},
	{Name: "instances no list", Path: predict, Body: `{"instances": 1}`, Status: 400, Want: fault + "JSON Value: {…} Excepting 'instances' to be an list/array" + end},
	{Name: "no instances", Path: predict, Body: `{"instances": []}`, Status: 400, Want: fault + "JSON Value: {…} No values in 'instances' array" + end},
	{Name: "string for a number", Path: predict, Body: `{"instances": ["NaN"]}`, Status: 400, Want: row + `JSON Value: \"NaN\" Type: String is not of expected type: $KIND` + end},
	{Name: "boolean for a number", Path: predict, Body: `{"instances": [true]}`, Status: 400, Want: row + `JSON Value: true Type: True is not of expected type: $KIND` + end},
	{Name: "null for a number", Path: predict, Body: `{"instances": [[null]]}`, Status: 400, Want: row + `JSON Value: null Type: Null is not of expected type: $KIND` + end},
	{Name: "object for a number", Path: predict, Body: `{"instances": [[{"b64": "eA=="}]]}`, Status: 400, Want: row + `JSON Value: {\"b64\": \"eA==\"} Type: Object is not of expected type: $KIND` + end},
	{Name: "fraction for a whole number", Path: predict, Body: `{"instances": [[1.0]]}`, Kind: "whole", Status: 400, Want: row + `JSON Value: 1.0 Type: Number is not of expected type: $KIND` + end},
	{Name: "NaN for a whole number", Path: predict, Body: `{"instances": [NaN]}`, Kind: "whole", Status: 400, Want: row + `JSON Value: NaN Type: Number is not of expected type: $KIND` + end},
	{Name: "out of range", Path: predict, Body: `{"instances": [300]}`, Kind: "whole", Status: 400, Want: row + `JSON Value: 300 Type: Number is not of expected type: $KIND` + end},
	{Name: "whole number too large for a float", Path: predict, Body: `{"instances": [16777216]}`, Kind: "float", Status: 400, Want: row + `Cannot convert JSON value: 16777216 to float without loss of precision.` + end},
	{Name: "number too large for a float", Path: predict, Body: `{"instances": [1e40]}`, Kind: "float", Status: 400, Want: row + `Cannot convert JSON value: 1e40 to float without loss of precision.` + end},
	{Name: "number too large for anything", Path: predict, Body: `{"instances": [1e999]}`, Status: 400, Want: fault + "JSON Parse error: Number too big to be stored in double. at offset: 15" + end},
	{Name: "ragged lists", Path: predict, Body: `{"instances": [[[$VALUE, $VALUE], [$VALUE]]]}`, Status: 400, Want: row + "Encountered list at unexpected size: 1 at level: 1 expected size: 2" + end},
	{Name: "list too deep", Path: predict, Body: `{"instances": [[$VALUE, [$VALUE]]]}`, Status: 400, Want: row + "Encountered list at unexpected level: 1 expected < 1" + end},
	{Name: "value not deep enough", Path: predict, Body: `{"instances": [[[$VALUE], $VALUE]]}`, Status: 400, Want: row + "JSON Value: $VALUE found at incorrect level: 2 in the JSON DOM. Expected at level: 2" + end},
	{Name: "wrong shape", Path: predict, Body: `{"instances": [$NARROW]}`, Status: 400, Want: row + "Expecting shape $SHAPE but got: $OTHER" + end},
	{Name: "wrong shape of a column", Path: predict, Body: `{"inputs": $LISTS}`, Status: 400, Want: fault + "Expecting shape [-1,…] but got: $SHAPE" + end},
	{Name: "object after list", Path: predict, Body: `{"instances": [$LISTS, {"$INPUT": $LISTS}]}`, Status: 400, Want: fault + "Expecting value/list but got object at item 1 of input list" + end},
	{Name: "list after object", Path: predict, Body: `{"instances": [{"$INPUT": $LISTS}, $LISTS]}`, Status: 400, Want: fault + "Expecting object but got list at item 1 of input list" + end},
	{Name: "unknown input of a row", Path: predict, Body: `{"instances": [{"junk": 1}]}`, Status: 400, Want: fault + "Failed to process element: 0 key: junk of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: junk" + end},
	{Name: "missing input of a row", Path: predict, Body: `{"instances": [{}]}`, Status: 400, Want: fault + "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: $INPUT" + end},
	{Name: "wrong value of a named row", Path: predict, Body: `{"instances": [{"$INPUT": "NaN"}]}`, Status: 400, Want: fault + `Failed to process element: 0 key: $INPUT of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"NaN\" Type: String is not of expected type: $KIND` + end},
	{Name: "missing input of a column", Path: predict, Body: `{"inputs": {"junk": [1]}}`, Status: 400, Want: fault + "Missing named input: $INPUT in 'inputs' object." + end},
	{Name: "empty object of a column", Path: predict, Body: `{"inputs": {}}`, Status: 400, Want: fault + "Missing named input: $INPUT in 'inputs' object." + end},
	{Name: "no base64", Path: predict, Body: `{"instances": [{"b64": "!"}]}`, Status: 400, Want: row + "Unable to base64 decode" + end},
	{Name: "no picture", Path: predict, Body: `{"instances": [{"b64": "aW1hZ2UgYnl0ZXM="}]}`, Status: 400, Want: row + "…want JPEG, PNG, BMP or WebP" + end},
	{Name: "too deep", Path: predict, Body: `{"x": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}`, Status: 400, Want: fault + "JSON Parse error: Lists or objects lie more than 64 deep. at offset: …" + end},

	// Classify and Regress API.
	{Name: "classify a picture", Path: "/v1/models/$MODEL:classify", Body: `{"examples": [{"$INPUT": {"b64": "$B64"}}]}`, Task: tflite.Classify, Status: 200, Want: results},
	{Name: "classify pictures with other features", Path: "/v1/models/$MODEL:classify", Body: `{"signature_name": "serving_default", "examples": [{"$INPUT": {"b64": "$B64"}, "caption": "seaside"}, {"caption": "mountains", "$INPUT": [{"b64": "$B64"}]}]}`, Task: tflite.Classify, Status: 200, Want: "{\n    \"results\": [[…], […]\n    ]\n}"},
	{Name: "classify numbers", Path: "/v1/models/$MODEL:classify", Body: `{"examples": [{"$INPUT": $FLAT}]}`, Task: tflite.Classify, Status: 200, Want: results},
	{Name: "classify with context", Path: "/v1/models/$MODEL:classify", Body: `{"context": {"$INPUT": {"b64": "$B64"}}, "examples": [{}, {"caption": "x"}]}`, Task: tflite.Classify, Status: 200, Want: "{\n    \"results\": [[…], […]\n    ]\n}"},
	{Name: "classify a body of PNG", Path: "/v1/models/$MODEL:classify", Type: "image/png", Body: `$PNG`, Task: tflite.Classify, Status: 200, Want: results},
	{Name: "classify without examples", Path: "/v1/models/$MODEL:classify", Body: `{"instances": [1]}`, Task: tflite.Classify, Status: 400, Want: fault + "JSON Value: {…} When method is classify, key 'examples' is expected and was not found" + end},
	{Name: "classify no list", Path: "/v1/models/$MODEL:classify", Body: `{"examples": {}}`, Task: tflite.Classify, Status: 400, Want: fault + "JSON Value: {…} Expecting 'examples' value to be an list/array" + end},
	{Name: "classify an empty list", Path: "/v1/models/$MODEL:classify", Body: `{"examples": []}`, Task: tflite.Classify, Status: 400, Want: fault + "JSON Value: {…} 'examples' value is an empty array" + end},
	{Name: "classify no object", Path: "/v1/models/$MODEL:classify", Body: `{"examples": [1]}`, Task: tflite.Classify, Status: 400, Want: fault + "Example must be JSON object but got JSON Number" + end},
	{Name: "classify a list of lists", Path: "/v1/models/$MODEL:classify", Body: `{"examples": [{"$INPUT": [[1]]}]}`, Task: tflite.Classify, Status: 400, Want: fault + "Feature: $INPUT has element with unexpected JSON type: Array" + end},
	{Name: "classify null", Path: "/v1/models/$MODEL:classify", Body: `{"examples": [{"$INPUT": null}]}`, Task: tflite.Classify, Status: 400, Want: fault + "Feature: $INPUT has element with unexpected JSON type: Null" + end},
	{Name: "classify too few numbers", Path: "/v1/models/$MODEL:classify", Body: `{"examples": [{"$INPUT": [$VALUE]}]}`, Task: tflite.Classify, Status: 400, Want: fault + "Feature: $INPUT has 1 values: want …, those of $SHAPE in one list" + end},
	{Name: "classify without the feature", Path: "/v1/models/$MODEL:classify", Body: `{"examples": [{"x": 1}]}`, Task: tflite.Classify, Status: 400, Want: fault + "Feature: $INPUT is required but could not be found" + end},
	{Name: "classify with an unknown model", Path: "/v1/models/half:classify", Body: `{"examples": [{}]}`, Status: 404, Want: fault + "Servable not found for request: Latest(half)" + end},
	{Name: "classify with a detector", Path: "/v1/models/$MODEL:classify", Body: `{"examples": [{}]}`, Task: tflite.Detect, Status: 400, Want: fault + "Expected classification signature method_name to be tensorflow/serving/classify. Was: tensorflow/serving/predict" + end},
	{Name: "regress", Path: "/v1/models/$MODEL:regress", Body: `{"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}`, Status: 400, Want: fault + "Expected regression signature method_name to be tensorflow/serving/regress. Was: tensorflow/serving/predict" + end},
}

// row begins the error of the first instance.
const row = fault + "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "

const metadata = `{
"model_spec":{
 "name": "$MODEL",
 "signature_name": "",
 "version": "$VERSION"
}
,
"metadata": {"signature_def": {
 "signature_def": {
  "serving_default": {
   "inputs": {
    "$INPUT": {
     "dtype": "DT_…",
     "tensor_shape": {
      "dim": [
       {
        "size": "-1",
        "name": ""
       },…
      ],
      "unknown_rank": false
     },
     "name": "$INPUT"
    }
   },
   "outputs": {
    "…
   },
   "method_name": "tensorflow/serving/predict"
  }
 }
}
}
}
`
