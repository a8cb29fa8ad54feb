package serving_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/servingtest"
)

// seeds are the bodies of the table, as for a model of 2×2 pixels.
func seeds(f *testing.F, add func(body string)) {
	lists := "[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 255]]]"
	words := strings.NewReplacer("$INPUT", "input", "$LISTS", lists, "$NARROW", "[[[1, 2, 3]]]", "$FLAT", "[1,2,3,4,5,6,7,8,9,10,11,12]",
		"$VALUE", "7", "$B64", "aW1h\\/Z2U=", "$PNG", "")
	for _, c := range servingtest.Calls {
		add(words.Replace(c.Body))
	}
	for _, number := range []string{"256", "300", "128", "-129", "-128", "-0", "-", "1.", ".5", "01", "1.5", "-1e-3", "1e400", "NaN", "-Infinity", "Inf", "0.12345678901234567890", "16777216", "9007199254740993.0"} {
		add(`{"instances":[` + strings.Replace(lists, "255", number, 1) + `]}`)
	}
	add("{\"\\u0069nputs\"\t:\r\n[ " + lists + " ] ,\"x\":\"\\ud83d\\ude00\\n\"}")
	add(`{"instances":[` + strings.ReplaceAll(lists, " ", "\n  ") + `]}`)
}

// Whatever a body is, the quick way and the careful one agree, and a fault is
// one line.
func FuzzPredict(f *testing.F) {
	seeds(f, func(body string) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body string) {
		for _, kind := range []string{"uint8", "int8", "float32"} {
			examples, pictures, err := serving.Parse("predict", kind, 2, body, false)
			if err != nil {
				checkLine(t, err)
				continue
			}
			again, places, err := serving.Parse("predict", kind, 2, body, true)
			if err != nil {
				t.Fatalf("%s: taken the quick way only: %v", kind, err)
			}
			// What a picture's tensor holds before it is decoded does not count,
			// and fresh memory is zeros.
			if !reflect.DeepEqual(examples, again) || !reflect.DeepEqual(pictures, places) {
				t.Fatalf("%s: quick %v %v, careful %v %v", kind, examples, pictures, again, places)
			}
		}
	})
}

func FuzzClassify(f *testing.F) {
	seeds(f, func(body string) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body string) {
		for _, kind := range []string{"uint8", "int8", "float32"} {
			examples, pictures, err := serving.Parse("classify", kind, 2, body, false)
			if err != nil {
				checkLine(t, err)
			} else if len(examples) == 0 || len(pictures) > len(examples) {
				t.Fatalf("%d examples, %d pictures", len(examples), len(pictures))
			}
		}
	})
}

func checkLine(t *testing.T, err error) {
	t.Helper()
	if s := err.Error(); strings.ContainsAny(s, "\n\r") || len(s) > 600 {
		t.Fatalf("an error of %d bytes: %q", len(s), s)
	}
}

var paths = []struct {
	name, method, path string
	model, label, verb string
	version            int
	fault              string
}{
	{name: "status", method: "GET", path: "/v1/models/m", model: "m", verb: "status"},
	{name: "version", method: "GET", path: "/v1/models/m/versions/7", model: "m", version: 7, verb: "status"},
	{name: "label", method: "GET", path: "/v1/models/m/labels/canary/metadata", model: "m", label: "canary", verb: "metadata"},
	{name: "any case", method: "POST", path: "/V1/Models/m/Versions/7:predict", model: "m", version: 7, verb: "predict"},
	{name: "verb in capitals", method: "POST", path: "/v1/models/m:PREDICT", fault: "Malformed request"},
	{name: "model called metadata", method: "GET", path: "/v1/models/metadata", model: "metadata", verb: "status"},
	{name: "escaped name", method: "POST", path: "/v1/models/a%2Fb%20c:classify", model: "a/b c", verb: "classify"},
	{name: "escaped dots", method: "GET", path: "/v1/models/%2e%2e", model: "..", verb: "status"},
	{name: "dots", method: "GET", path: "/v1/models/..", model: "..", verb: "status"},
	{name: "dots within", method: "GET", path: "/v1/models/../../etc/passwd", fault: "Malformed request"},
	{name: "two slashes", method: "GET", path: "/v1/models//m", fault: "Malformed request"},
	{name: "slash at the end", method: "GET", path: "/v1/models/m/", fault: "Malformed request"},
	{name: "unicode", method: "GET", path: "/v1/models/%C3%A4", model: "ä", verb: "status"},
	{name: "no UTF-8", method: "GET", path: "/v1/models/%FF%00", model: "\xff\x00", verb: "status"},
	{name: "bad escape", method: "GET", path: "/v1/models/%zz", fault: "Malformed request"},
	{name: "escaped colon", method: "POST", path: "/v1/models/m%3Apredict", fault: "Malformed request"},
	{name: "two verbs", method: "POST", path: "/v1/models/m:predict:predict", fault: "Malformed request"},
	{name: "version and label", method: "GET", path: "/v1/models/m/versions/7/labels/x", fault: "Malformed request"},
	{name: "negative version", method: "GET", path: "/v1/models/m/versions/-7", fault: "Malformed request"},
	{name: "huge version", method: "GET", path: "/v1/models/m/versions/99999999999999999999", fault: "Failed to convert version"},
	{name: "no version", method: "GET", path: "/v1/models/m/versions/", fault: "Malformed request"},
	{name: "long name", method: "PUT", path: "/v1/models/" + strings.Repeat("x", 10000), fault: "Malformed request"},
	{name: "delete", method: "DELETE", path: "/v1/models/m", fault: "Malformed request"},
	{name: "something else", method: "GET", path: "/v1/modelsx/m", fault: "Malformed request"},
}

func TestPaths(t *testing.T) {
	for _, c := range paths {
		t.Run(c.name, func(t *testing.T) {
			sel, verb, err := serving.ParseCall(c.method, c.path)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Fatalf("got %v, want %q", err, c.fault)
				}
				checkLine(t, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			version := 0
			if sel.Version != nil {
				version = *sel.Version
			}
			if sel.Model != c.model || sel.Label != c.label || verb != c.verb || version != c.version {
				t.Errorf("got %q %q %q %d", sel.Model, sel.Label, verb, version)
			}
		})
	}
}

func FuzzPath(f *testing.F) {
	for _, c := range paths {
		f.Add(c.method, c.path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		sel, _, err := serving.ParseCall(method, path)
		if err != nil {
			checkLine(t, err)
			return
		}
		if !strings.Contains(strings.ToLower(path), "/v1/models/") || sel.Model == "" || sel.Version != nil && (*sel.Version < 0 || sel.Label != "") {
			t.Fatalf("%q gives %+v", path, sel)
		}
	})
}
