package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"net/http"
	"strconv"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/web"
)

const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"font-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// handler speaks the local API's contracts for a device of ours.
func handler(d *device, token string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(web.Files))
	mux.HandleFunc("GET /api/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.State()) })
	mux.HandleFunc("GET /api/predictions", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		least, _ := strconv.ParseFloat(q.Get("min_score"), 64)
		limit, _ := strconv.Atoi(q.Get("limit"))
		page, _ := d.Predictions(r.Context(), api.Query{Camera: q.Get("camera"), Label: q.Get("label"), MinScore: least, Before: q.Get("before"), Limit: limit})
		answer(w, page)
	})
	mux.HandleFunc("GET /api/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = d.Events(r.Context(), func(e api.Event) error {
			_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.Type, e.Data)
			w.(http.Flusher).Flush()
			return err
		})
	})
	mux.HandleFunc("GET /api/cameras/{camera}/snapshot.jpg", func(w http.ResponseWriter, r *http.Request) {
		p, _ := d.Snapshot(r.Context(), r.PathValue("camera"))
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(p.JPEG)
	})
	mux.HandleFunc("GET /api/cameras/{camera}/stream.mjpeg", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=egret")
		_ = d.Watch(r.Context(), r.PathValue("camera"), 10, func(p api.Picture) error {
			_, err := fmt.Fprintf(w, "--egret\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\nX-Egret-Prediction: %s\r\n\r\n%s\r\n", len(p.JPEG), marshal(p.Prediction), p.JPEG)
			w.(http.Flusher).Flush()
			return err
		})
	})
	mux.HandleFunc("POST /v1/models/classifier:classify", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Examples []struct{ Image struct{ B64 []byte } }
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil || len(body.Examples) != 1 || !decodes(body.Examples[0].Image.B64) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer(w, json.RawMessage(`{"result":[[["peacock",0.97],["quail",0.01]]]}`))
	})
	mux.HandleFunc("POST /v1/models/detector:predict", func(w http.ResponseWriter, r *http.Request) {
		picture, err := io.ReadAll(r.Body)
		if err != nil || !decodes(picture) || r.Header.Get("Content-Type") != "image/jpeg" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer(w, json.RawMessage(`{"predictions":[{"P":[[0.3,0.1,0.9,0.3],[0,0,1,1]],"P:1":[0,3],"P:2":[0.8,0.1],"P:3":2}]}`))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", csp)
		if token != "" && (len(r.URL.Path) > 4 && r.URL.Path[:5] == "/api/") && r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func decodes(picture []byte) bool {
	_, _, err := image.Decode(bytes.NewReader(picture))
	return err == nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
