package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/egret-edge/egret/sync/payload"
)

// maxShots is how many snapshots are waited for at a time.
const maxShots = 4

// predictionHeader tells what the model said of the picture that follows.
const predictionHeader = "X-Egret-Prediction"

func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) error {
	v, err := parameters(r, "overlay")
	if err != nil {
		return err
	}
	overlay := v.flag("overlay")
	if v.err != nil {
		return v.err
	}
	if !s.shots.try() {
		return later(http.StatusServiceUnavailable, 1, "%d snapshots are waited for already: try again in a second", maxShots)
	}
	defer s.shots.leave()
	camera := r.PathValue("camera")
	pic, err := s.o.Device.Snapshot(r.Context(), camera)
	if err != nil {
		return err
	}
	if overlay {
		if pic.Prediction == nil {
			pic.Prediction = s.latest(camera)
		}
		if pic, err = s.draw(r.Context(), pic); err != nil {
			return err
		}
	}
	h := w.Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Content-Length", strconv.Itoa(len(pic.JPEG)))
	h.Set("Content-Disposition", fmt.Sprintf("inline; filename=%q", camera+pic.Time.UTC().Format("-20060102-150405")+".jpg"))
	if text := headerJSON(pic.Prediction); text != "" {
		h.Set(predictionHeader, text)
	}
	_, _ = w.Write(pic.JPEG)
	return nil
}

// latest is a camera's newest prediction; nil before the first.
func (s *Server) latest(camera string) *payload.Prediction {
	for _, c := range s.o.Device.State().Cameras {
		if c.Name == camera {
			return c.Latest
		}
	}
	return nil
}

// boundary is between the pictures of a stream.
const boundary = "egret-picture"

// stream sends pictures as they come: multipart/x-mixed-replace, as browsers
// and cameras know it.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	v, err := parameters(r, "fps", "overlay")
	if err != nil {
		return err
	}
	fps, overlay := v.number("fps", 10, 0.01, 60), v.flag("overlay")
	if v.err != nil {
		return v.err
	}
	ctx, cancel := streaming(r)
	defer cancel()
	out := newStreamWriter(w)
	var part []byte
	err = s.o.Device.Watch(ctx, r.PathValue("camera"), fps, func(pic Picture) (err error) {
		if overlay {
			if pic, err = s.draw(ctx, pic); err != nil {
				return err
			}
		}
		part = part[:0]
		if !out.begun {
			h := w.Header()
			h.Set("Content-Type", "multipart/x-mixed-replace; boundary="+boundary)
			part = append(part, "--"+boundary+"\r\n"...)
		}
		part = appendPart(part, pic)
		return out.write(part)
	})
	if err == nil && !out.begun && ctx.Err() == nil {
		return later(http.StatusServiceUnavailable, 5, "the camera went away before its first picture")
	}
	return err
}

// appendPart appends a picture and the boundary after it: browsers show a
// picture when they have seen its end.
func appendPart(dst []byte, pic Picture) []byte {
	dst = append(dst, "Content-Type: image/jpeg\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(pic.JPEG)), 10)
	dst = append(dst, "\r\nX-Egret-Time: "...)
	dst = pic.Time.AppendFormat(dst, time.RFC3339Nano)
	if text := headerJSON(pic.Prediction); text != "" {
		dst = append(append(dst, "\r\n"+predictionHeader+": "...), text...)
	}
	dst = append(dst, "\r\n\r\n"...)
	dst = append(dst, pic.JPEG...)
	return append(dst, "\r\n--"+boundary+"\r\n"...)
}

// headerJSON is a prediction as JSON of ASCII alone, since nobody agrees on
// what other characters in a header are; empty without one.
func headerJSON(p *payload.Prediction) string {
	if p == nil {
		return ""
	}
	data, err := json.Marshal(p)
	if err != nil {
		return "" // a score that is no number
	}
	return string(ascii(data))
}

// ascii escapes what is not ASCII in JSON, which can only be within strings.
func ascii(data []byte) []byte {
	for i, b := range data {
		if b >= utf8.RuneSelf {
			return appendASCII(append(make([]byte, 0, 2*len(data)), data[:i]...), data[i:])
		}
	}
	return data
}

func appendASCII(dst, data []byte) []byte {
	for _, r := range string(data) {
		switch a, b := utf16.EncodeRune(r); {
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		case a != utf8.RuneError:
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, a, b)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return dst
}
