package serving_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/servingtest"
)

// serve starts a real server with one model.
func serve(t *testing.T, m *servingtest.Model, o serving.RESTOptions) servingtest.Subject {
	t.Helper()
	if o.Models == nil {
		o.Models = servingtest.One(m.InfoValue.Name, m)
	}
	s := httptest.NewServer(serving.NewREST(o))
	t.Cleanup(s.Close)
	return servingtest.Subject{Client: s.Client(), URL: s.URL, Model: m.InfoValue.Name, Version: 3, Info: m.InfoValue}
}

func TestPublicDescription(t *testing.T) {
	for name, m := range map[string]*servingtest.Model{
		"uint8": servingtest.Echo("uint8", 2), "int8": servingtest.Echo("int8", 5), "float32": servingtest.Echo("float32", 3), "detector": servingtest.Boxes(2),
	} {
		t.Run(name, func(t *testing.T) { servingtest.Run(t, serve(t, m, serving.RESTOptions{}), servingtest.Calls) })
	}
}

// The values that a model gets and gives, to the byte.
func TestValues(t *testing.T) {
	pixels := func(first string) string {
		return strings.Replace(`[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]`, "1, 2, 3], [4", first, 1)
	}
	one := func(kind, name, first, want string) servingtest.Call {
		return servingtest.Call{Name: kind + " " + name, Path: "/v1/models/echo:predict", Body: `{"instances":[` + pixels(first) + `]}`, Status: 200,
			Want: "{\n    \"predictions\": [[" + want + "]\n    ]\n}"}
	}
	for kind, calls := range map[string][]servingtest.Call{
		"uint8": {
			one("uint8", "bounds", "0, 255, 10], [99", "0, 255, 10, 99"),
			one("uint8", "minus zero", "-0, 1, 2], [3", "0, 1, 2, 3"),
			one("uint8", "spaces", " 1 ,\n2\t,\r3 ] , [ 4 ", "1, 2, 3, 4"),
			one("uint8", "no spaces", "1,2,3],[4", "1, 2, 3, 4"),
			{Name: "columns", Path: "/v1/models/echo:predict", Body: `{"inputs":[` + pixels("1, 2, 3], [4") + `]}`, Status: 200,
				Want: "{\n    \"outputs\": [\n        [\n            1,\n            2,\n            3,\n            4\n        ]\n    ]\n}"},
			{Name: "several", Path: "/v1/models/echo:predict", Body: `{"instances":[` + pixels("1, 2, 3], [4") + "," + pixels("9, 8, 7], [6") + `]}`, Status: 200,
				Want: "{\n    \"predictions\": [[1, 2, 3, 4], [9, 8, 7, 6]\n    ]\n}"},
			{Name: "picture", Path: "/v1/models/echo:predict", Body: `{"instances":[{"b64":"$B64"}]}`, Status: 200, Want: "{\n    \"predictions\": [[200, 100, 50, 200]\n    ]\n}"},
			{Name: "classes", Path: "/v1/models/echo:classify", Body: `{"examples":[{"input":{"b64":"$B64"}}]}`, Status: 200, Want: "{\n    \"results\": [[[\"b\", 0.75], [\"a\", 0.125]]\n    ]\n}"},
		},
		"int8": {
			one("int8", "bounds", "-128, 127, 0], [-1", "-128, 127, 0, -1"),
			{Name: "picture", Path: "/v1/models/echo:predict", Body: `{"instances":[{"b64":"$B64"}]}`, Status: 200, Want: "{\n    \"predictions\": [[72, -28, -78, 72]\n    ]\n}"},
		},
		"float32": {
			one("float", "whole", "1, -2, 16777215], [0", "1.0, -2.0, 1.6777215e+07, 0.0"),
			one("float", "fractions", "0.2, -1.5e-3, 0.5725490196078431], [3.4028234663852886e38", "0.2, -0.0015, 0.57254905, 3.4028235e+38"),
			one("float", "many digits", "0.12345678901234567890123, 1e-50, 123456.789], [1e2", "0.12345679, 0.0, 123456.79, 100.0"),
			one("float", "not finite", "NaN, Infinity, -Inf], [-Infinity", "NaN, Infinity, -Infinity, -Infinity"),
		},
	} {
		m := servingtest.Echo(kind, 2)
		t.Run(kind, func(t *testing.T) { servingtest.Run(t, serve(t, m, serving.RESTOptions{}), calls) })
	}
	t.Run("detector", func(t *testing.T) {
		m := servingtest.Boxes(2)
		servingtest.Run(t, serve(t, m, serving.RESTOptions{}), []servingtest.Call{{Name: "objects", Path: "/v1/models/boxes:predict", Body: `{"instances":[$LISTS]}`, Status: 200, Want: `{
    "predictions": [
        {
            "post": [[0.0, 0.25, 0.5, 1.0], [0.1, 0.2, 0.3, 0.4]],
            "post:1": [1.0, 17.0],
            "post:2": [0.9, 1e-07],
            "post:3": 2.0
        }
    ]
}`}, {Name: "columns", Path: "/v1/models/boxes:predict", Body: `{"inputs":[$LISTS]}`, Status: 200, Want: "{\n    \"outputs\": {\n        \"post\": [\n            [\n                [\n                    0.0,\n…        \"post:3\": [\n            2.0\n        ]\n    }\n}"}})
	})
}

// A number that does not fit is refused at the bounds, too, in a tensor that is
// right otherwise.
func TestRefusedNumbers(t *testing.T) {
	for kind, numbers := range map[string]map[string]string{
		"uint8":   {"256": "256 Type: Number", "1000": "1000 Type: Number", "-1": "-1 Type: Number", "1.5": "1.5 Type: Number", "01": "Missing a comma", "": "Invalid value.", "1 2": "Missing a comma"},
		"int8":    {"128": "128 Type: Number", "-129": "-129 Type: Number", "-01": "Missing a comma", "-": "Invalid value."},
		"float32": {"16777216": "without loss", "-16777216": "without loss", "3.5e38": "without loss", "00.5": "Missing a comma", "1.": "Miss fraction", "1e": "Miss exponent", "nan": "Invalid value."},
	} {
		var calls []servingtest.Call
		for number, words := range numbers {
			calls = append(calls, servingtest.Call{Name: number, Path: "/v1/models/echo:predict", Status: 400, Want: "…" + words + "…",
				Body: `{"instances":[[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, ` + number + `, 12]]]]}`})
		}
		t.Run(kind, func(t *testing.T) {
			servingtest.Run(t, serve(t, servingtest.Echo(kind, 2), serving.RESTOptions{}), calls)
		})
	}
}
