package servingtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/tflite"
)

// Subject is a server with a model.
type Subject struct {
	Client  *http.Client // http.DefaultClient when it is nil
	URL     string       // such as http://127.0.0.1:8080
	Model   string
	Version int // the one that serves, with the label stable
	Info    tflite.Info
	// Picture is what the rows of pictures send; one of one colour without.
	Picture []byte
	// Check sees the answers that came as wanted; nil without one.
	Check func(t *testing.T, c Call, body []byte)
}

// Call is one row: a request and what TensorFlow Serving's public description
// says of its answer. In Path, Body and Want, what begins with $ is replaced by
// what fits the subject: see Subject.words.
type Call struct {
	Name   string
	Method string // POST without
	Path   string
	Type   string // of the body; what curl -d sends without
	Body   string
	Status int
	// Want is the answer's body; … stands for anything.
	Want string
	// Task and Kind are the models that the row is for: any without. Kind is
	// "whole" or "float", of the input's type.
	Task tflite.Task
	Kind string
	// Rows and Columns are how many examples the answer has, in which form;
	// its shape is then compared with the model's outputs.
	Rows, Columns int
}

// Run makes every call that is for the subject's model, each as a test of its
// own.
func Run(t *testing.T, s Subject, calls []Call) {
	t.Helper()
	kind := "whole"
	if s.Info.Inputs[0].Type == "float32" {
		kind = "float"
	}
	words := s.words(t)
	for _, c := range calls {
		if c.Task != "" && c.Task != s.Info.Task || c.Kind != "" && c.Kind != kind {
			continue
		}
		t.Run(c.Name, func(t *testing.T) { s.call(t, c, words) })
	}
}

func (s Subject) call(t *testing.T, c Call, words *strings.Replacer) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	method, contentType := c.Method, c.Type
	if method == "" {
		method = http.MethodPost
	}
	if contentType == "" {
		contentType = "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+words.Replace(c.Path), strings.NewReader(words.Replace(c.Body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != c.Status {
		t.Errorf("status %d, want %d", resp.StatusCode, c.Status)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	if want := words.Replace(c.Want); !Matches(string(body), want) {
		t.Errorf("answer:\n%s\nwant:\n%s", body, want)
	}
	if c.Rows+c.Columns > 0 {
		s.checkShape(t, body, c)
	}
	if s.Check != nil && !t.Failed() {
		s.Check(t, c, body)
	}
}

// Matches tells whether got is want, where … in want stands for anything.
func Matches(got, want string) bool {
	parts := strings.Split(want, "…")
	if len(parts) == 1 {
		return got == want
	}
	got, ok := strings.CutPrefix(got, parts[0])
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(got, p)
		if i < 0 {
			return false
		}
		got = got[i+len(p):]
	}
	return ok && strings.HasSuffix(got, parts[len(parts)-1])
}

// checkShape compares the lists of an answer with the model's outputs.
func (s Subject) checkShape(t *testing.T, body []byte, c Call) {
	t.Helper()
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("answer: %v", err)
	}
	for _, o := range s.Info.Outputs {
		dims := o.Shape
		if dims[0] == 1 {
			dims = dims[1:]
		}
		if c.Columns > 0 {
			dims = append([]int{c.Columns}, dims...)
			v := answer["outputs"]
			if len(s.Info.Outputs) > 1 {
				v = v.(map[string]any)[o.Name]
			}
			checkLists(t, o.Name, v, dims)
			continue
		}
		rows, _ := answer["predictions"].([]any)
		if len(rows) != c.Rows {
			t.Fatalf("%d predictions, want %d", len(rows), c.Rows)
		}
		for _, v := range rows {
			if len(s.Info.Outputs) > 1 {
				v = v.(map[string]any)[o.Name]
			}
			checkLists(t, o.Name, v, dims)
		}
	}
}

func checkLists(t *testing.T, name string, v any, dims []int) {
	t.Helper()
	if len(dims) == 0 {
		if _, ok := v.(float64); !ok {
			t.Errorf("%s has %v where a number should be", name, v)
		}
		return
	}
	list, _ := v.([]any)
	if len(list) != dims[0] {
		t.Fatalf("%s has a list of %d, want %d", name, len(list), dims[0])
	}
	for _, e := range list {
		checkLists(t, name, e, dims[1:])
	}
}

// words replaces what a call leaves to the model.
func (s Subject) words(t *testing.T) *strings.Replacer {
	t.Helper()
	in := s.Info.Inputs[0]
	h, w := in.Shape[1], in.Shape[2]
	value, kind := "7", in.Type
	if kind == "float32" {
		value, kind = "0.5", "float"
	}
	repeat := func(what string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(what+", ", n), ", ") + "]"
	}
	name, err := json.Marshal(in.Name)
	if err != nil {
		t.Fatal(err)
	}
	picture := s.Picture
	if picture == nil {
		picture = Picture(t, w, h)
	}
	return strings.NewReplacer(
		"$MODEL", s.Model, // in the path
		"$VERSION", strconv.Itoa(s.Version),
		"$INPUT", strings.Trim(string(name), `"`), // the input's name, in JSON
		"$LISTS", repeat(repeat(repeat(value, 3), w), h), // one example
		"$NARROW", repeat(repeat(repeat(value, 3), w-1), h), // one of another shape
		"$FLAT", repeat(value, h*w*3), // as a feature
		"$VALUE", value,
		"$KIND", kind,
		"$SHAPE", fmt.Sprintf("[%d,%d,3]", h, w),
		"$OTHER", fmt.Sprintf("[%d,%d,3]", h, w-1),
		"$VALUES", strconv.Itoa(h*w*3),
		"$B64", base64.StdEncoding.EncodeToString(picture),
		"$PNG", string(picture),
	)
}

// Picture is a PNG of one colour.
func Picture(t testing.TB, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{R: 200, G: 100, B: 50, A: 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
