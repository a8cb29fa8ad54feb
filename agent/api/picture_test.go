package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/apitest"
	"github.com/egret-edge/egret/sync/payload"
)

func TestSnapshot(t *testing.T) {
	s := serve(t)
	plain, body := s.do(t, "GET", "/api/cameras/street/snapshot.jpg", "")
	if plain.StatusCode != 200 || plain.Header.Get("Content-Type") != "image/jpeg" || body != string(apitest.Picture("street").JPEG) {
		t.Errorf("%d %s", plain.StatusCode, plain.Header.Get("Content-Type"))
	}
	if p := prediction(t, plain.Header.Get("X-Egret-Prediction")); p.Camera != "street" || len(p.Results) != 1 {
		t.Errorf("the prediction is %+v", p)
	}
	_, drawn := s.do(t, "GET", "/api/cameras/street/snapshot.jpg?overlay=1", "")
	img, err := jpeg.Decode(strings.NewReader(drawn))
	if err != nil {
		t.Fatal(err)
	}
	// The box's left side is at a tenth of the width.
	if r, g, _, _ := img.At(17, 80).RGBA(); img.Bounds().Dx() != 160 || r < 2*g {
		t.Errorf("no red line at the left of the box: %v in %v", img.At(17, 80), img.Bounds())
	}
}

// prediction reads the header of a picture.
func prediction(t *testing.T, header string) (p payload.Prediction) {
	t.Helper()
	for _, b := range []byte(header) {
		if b < ' ' || b > '~' {
			t.Fatalf("%q is not printable ASCII", header)
		}
	}
	if err := json.Unmarshal([]byte(header), &p); err != nil {
		t.Fatalf("%q: %v", header, err)
	}
	return p
}

// TestOverlay draws what models may say: boxes beyond the frame, upside down, of
// no size, long and strange labels, very many.
func TestOverlay(t *testing.T) {
	for name, results := range map[string][]payload.Result{
		"nothing":     {},
		"beyond":      {{Label: "x", Box: &[4]float32{-1, -1, 2, 2}}},
		"upside down": {{Index: -3, Label: "x", Box: &[4]float32{0.9, 0.9, 0.1, 0.1}}},
		"no size":     {{Label: "x", Box: &[4]float32{1, 1, 1, 1}}},
		"long":        {{Label: strings.Repeat("Bülbül 🐦 日本", 1000), Score: 1}},
		"many":        make([]payload.Result, 10000),
	} {
		pic := apitest.Picture("bird")
		pic.Prediction.Results = results
		data, err := api.Overlay(pic.JPEG, pic.Prediction)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c, err := jpeg.DecodeConfig(bytes.NewReader(data)); err != nil || c.Width != 160 || c.Height != 120 {
			t.Errorf("%s: %v %v", name, c, err)
		}
	}
	if _, err := api.Overlay([]byte("no picture"), &payload.Prediction{}); err == nil {
		t.Error("drawn on what is no picture")
	}
}

// TestOverlayOfGray: not all cameras have colours, and the text still does.
func TestOverlayOfGray(t *testing.T) {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, image.NewGray(image.Rect(0, 0, 320, 240)), nil); err != nil {
		t.Fatal(err)
	}
	data, err := api.Overlay(out.Bytes(), apitest.Prediction("bird", 1))
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, _, _ := img.At(1, 1).RGBA(); r < 2*g {
		t.Errorf("no text in colour: %v", img.At(1, 1))
	}
}

func TestStream(t *testing.T) {
	s := serve(t)
	for _, query := range []string{"?fps=60", "?fps=60&overlay=1"} {
		res, err := s.Get(s.url + "/api/cameras/bird/stream.mjpeg" + query)
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
		if err != nil || kind != "multipart/x-mixed-replace" {
			t.Fatalf("%s: %v", kind, err)
		}
		parts := multipart.NewReader(res.Body, params["boundary"])
		for range 3 {
			part, err := parts.NextRawPart()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(part)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
				t.Error(err)
			}
			if p := prediction(t, part.Header.Get("X-Egret-Prediction")); p.Results[1].Label != "Bülbül 🐦" {
				t.Errorf("label %q", p.Results[1].Label)
			}
		}
		res.Body.Close()
	}
}

// TestStreamsAreBounded: one too many is told so, and a place that is given up
// can be had.
func TestStreamsAreBounded(t *testing.T) {
	s := serve(t, func(o *api.Options) { o.MaxStreams = 2 })
	var open []*http.Response
	for _, path := range []string{"/api/events", "/api/cameras/bird/stream.mjpeg"} {
		res, err := s.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		open = append(open, res)
	}
	if res, body := s.do(t, "GET", "/api/events", ""); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "api.max_streams") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	open[0].Body.Close()
	eventually(t, "the place of a closed stream", func() bool {
		res, err := s.Get(s.url + "/api/events")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
}

// TestCameraGoes: a camera that goes away before its first picture is an error
// that says so; without its words, the client would see an empty stream.
func TestCameraGoes(t *testing.T) {
	s := serve(t, func(o *api.Options) {
		o.Device = &apitest.Fake{
			WatchFunc: func(context.Context, string, float64, func(api.Picture) error) error { return nil },
			SnapshotFunc: func(context.Context, string) (api.Picture, error) {
				return api.Picture{}, errors.New("no frame came\nwithin 10s")
			},
		}
	})
	if res, body := s.do(t, "GET", "/api/cameras/bird/stream.mjpeg", ""); res.StatusCode != 503 || !strings.Contains(body, "went away") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := s.do(t, "GET", "/api/cameras/bird/snapshot.jpg", ""); res.StatusCode != 503 || !strings.Contains(body, "no frame came within 10s") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
