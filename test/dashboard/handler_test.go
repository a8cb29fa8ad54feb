package dashboard

import (
	"bytes"
	"context"
	"image"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/web"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
)

// handler is the agent's own local interface over a device of ours.
func handler(t *testing.T, d *device, token string) http.Handler {
	t.Helper()
	o := api.Options{Device: d, Web: web.Files, Loopback: true}
	if token != "" {
		o.Token = func() ([]byte, error) { return []byte(token), nil }
	}
	s, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return small(s.Handler())
}

// small takes pictures of no more than 640 pixels, as an agent with a low limit
// on bodies does.
func small(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/predict") {
			picture, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if c, _, err := image.DecodeConfig(bytes.NewReader(picture)); err == nil && c.Width > 640 {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				_, _ = io.WriteString(w, `{"error":"the body is too large"}`)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(picture))
		}
		h.ServeHTTP(w, r)
	})
}

// Predict is api.Device's, for a classifier and a detector that see the same in
// every picture.
func (d *device) Predict(_ context.Context, model string, picture []byte) (*payload.Prediction, error) {
	if _, _, err := image.DecodeConfig(bytes.NewReader(picture)); err != nil {
		return nil, &pixel.Error{Kind: pixel.ErrFormat}
	}
	p := &payload.Prediction{Task: payload.Classify, Results: []payload.Result{{Index: 84, Label: "peacock", Score: 0.97}, {Index: 85, Label: "quail", Score: 0.01}}}
	if model == "detector" {
		p.Task = payload.Detect
		p.Results = []payload.Result{{Index: 0, Label: "person", Score: 0.8, Box: &[4]float32{0.1, 0.3, 0.3, 0.9}}}
	}
	return p, nil
}
