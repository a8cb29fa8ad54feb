package dashboard

import (
	"bytes"
	"encoding/json"
	"image"
	"io"
	"net/http"
	"testing"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/web"
)

// handler is the agent's own local interface over a device of ours.
func handler(t *testing.T, d *device, token string) http.Handler {
	t.Helper()
	o := api.Options{Device: d, Serving: models(), Web: web.Files, Loopback: true}
	if token != "" {
		o.Token = func() ([]byte, error) { return []byte(token), nil }
	}
	s, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler()
}

// models answers as TensorFlow Serving does, for a classifier and a
// detector that see the same in every picture.
func models() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models/classifier/metadata", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{"pixels":{}}}}}}}`)
	})
	mux.HandleFunc("POST /v1/models/classifier:classify", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Examples []struct{ Pixels struct{ B64 []byte } }
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil || len(body.Examples) != 1 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		sees(w, body.Examples[0].Pixels.B64, `{"results":[[["peacock",0.97],["quail",0.01]]]}`)
	})
	mux.HandleFunc("POST /v1/models/detector:predict", func(w http.ResponseWriter, r *http.Request) {
		picture, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "image/jpeg" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		sees(w, picture, `{"predictions":[{"P":[[0.3,0.1,0.9,0.3],[0,0,1,1]],"P:1":[0,3],"P:2":[0.8,0.1],"P:3":2}]}`)
	})
	return mux
}

// sees answers when the bytes are a picture that is small enough.
func sees(w http.ResponseWriter, picture []byte, answer string) {
	switch config, _, err := image.DecodeConfig(bytes.NewReader(picture)); {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"that is no picture"}`)
	case config.Width > 640:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"error":"the body is too large"}`)
	default:
		_, _ = io.WriteString(w, answer)
	}
}
