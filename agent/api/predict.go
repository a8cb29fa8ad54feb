package api

import (
	"mime"
	"net/http"
	"slices"
)

const (
	// maxAsked is how many pictures are held in memory for models at a time.
	maxAsked = 4
	// maxPicture bounds each of them.
	maxPicture = 16 << 20
)

// pictureTypes are what a body may call itself. What it is, the decoder sees.
var pictureTypes = []string{"image/jpeg", "image/png", "image/bmp", "image/webp"}

// predict asks a model what a picture shows, and answers with the object that
// cameras' predictions are: labels, and boxes of the picture.
func (s *Server) predict(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !slices.Contains(pictureTypes, kind) {
		return wrong(http.StatusUnsupportedMediaType, "the body is a picture: send it with the header Content-Type: image/jpeg, image/png, image/bmp or image/webp")
	}
	if !s.asked.try() {
		return later(http.StatusServiceUnavailable, 1, "%d pictures are looked at already: try again in a second", maxAsked)
	}
	defer s.asked.leave()
	picture, err := readAll(w, r, maxPicture)
	if err != nil {
		return err
	}
	p, err := s.o.Device.Predict(r.Context(), r.PathValue("model"), picture)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, p)
	return nil
}
