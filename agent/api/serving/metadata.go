package serving

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/egret-edge/egret/tflite"
)

// status answers with the state of a model's versions: of all, highest first,
// or of the one that is named.
func (r *REST) status(w http.ResponseWriter, c call) error {
	versions := r.models.Versions(c.sel.Model)
	name := show(c.sel.Model)
	if len(versions) == 0 {
		return notFound("Could not find any versions of model %s", name)
	}
	if c.sel.Version != nil || c.sel.Label != "" {
		var some []Version
		for _, v := range versions {
			if c.sel.Version != nil && v.Number == *c.sel.Version || c.sel.Label != "" && slices.Contains(v.Labels, c.sel.Label) {
				some = append(some, v)
			}
		}
		if versions = some; len(some) == 0 && c.sel.Version != nil {
			return notFound("Could not find version %d of model %s", *c.sel.Version, name)
		}
	}
	if len(versions) == 0 {
		return bad("Unrecognized servable version label: %s", show(c.sel.Label))
	}
	b := []byte("{\n \"model_version_status\": [")
	for i, v := range versions {
		b = append(b, separator(i, ",")+"\n  {\n   \"version\": "...)
		b = append(appendString(b, strconv.Itoa(v.Number)), ",\n   \"state\": "...)
		b = appendString(b, v.State)
		b = append(b, ",\n   \"status\": {\n    \"error_code\": \"OK\",\n    \"error_message\": \"\"\n   }\n  }"...)
	}
	return answer(w, append(b, "\n ]\n}\n"...))
}

func answer(w http.ResponseWriter, b []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b))) // some simple clients take no chunks
	_, _ = w.Write(b)                                      // who hung up needs no answer
	return nil
}

// metadata answers with the tensors of a version, as the one signature that
// there is. The number of examples is free, so it is -1.
func (r *REST) metadata(w http.ResponseWriter, c call) error {
	m, err := r.find(c.sel)
	if err != nil {
		return err
	}
	info := m.Info()
	version := info.Version
	if c.sel.Version != nil {
		version = *c.sel.Version
	} else if v, err := r.version(c.sel); err == nil {
		version = v
	}
	b := appendString([]byte("{\n\"model_spec\":{\n \"name\": "), c.sel.Model)
	b = append(b, ",\n \"signature_name\": \"\",\n \"version\": "...)
	b = append(appendString(b, strconv.Itoa(version)), "\n}\n,\n\"metadata\": {\"signature_def\": {\n \"signature_def\": {\n  \"serving_default\": {\n   \"inputs\": "...)
	b = append(appendTensors(b, info.Inputs), ",\n   \"outputs\": "...)
	b = append(appendTensors(b, info.Outputs), ",\n   \"method_name\": \"tensorflow/serving/predict\"\n  }\n }\n}\n}\n}\n"...)
	return answer(w, b)
}

var errNoVersion = errors.New("no version has the label")

// version is the number of the version that a label names.
func (r *REST) version(sel Selector) (int, error) {
	for _, v := range r.models.Versions(sel.Model) {
		if sel.Label != "" && slices.Contains(v.Labels, sel.Label) {
			return v.Number, nil
		}
	}
	return 0, errNoVersion
}

// appendTensors writes a map of TensorInfo as protobuf's JSON.
func appendTensors(b []byte, tensors []tflite.TensorInfo) []byte {
	b = append(b, '{')
	for i, t := range tensors {
		b = append(b, separator(i, ",")+"\n    "...)
		b = append(appendString(b, t.Name), ": {\n     \"dtype\": "...)
		b = append(appendString(b, dtype(t.Type)), ",\n     \"tensor_shape\": {\n      \"dim\": ["...)
		for k, d := range t.Shape {
			if k == 0 && d == 1 {
				d = -1
			}
			b = append(b, separator(k, ",")+"\n       {\n        \"size\": "...)
			b = append(appendString(b, strconv.Itoa(d)), ",\n        \"name\": \"\"\n       }"...)
		}
		if len(t.Shape) > 0 {
			b = append(b, "\n      "...)
		}
		b = append(b, "],\n      \"unknown_rank\": false\n     },\n     \"name\": "...)
		b = append(appendString(b, t.Name), "\n    }"...)
	}
	return append(b, "\n   }"...)
}

// dtype is TensorFlow's name of a type.
func dtype(kind string) string {
	switch kind {
	case "uint8":
		return "DT_UINT8"
	case "int8":
		return "DT_INT8"
	case "float32":
		return "DT_FLOAT"
	case "int32":
		return "DT_INT32"
	case "int64":
		return "DT_INT64"
	case "bool":
		return "DT_BOOL"
	}
	return "DT_INVALID"
}
