package serving

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// failure is an error with its HTTP status. Its text is what the caller reads.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

func bad(format string, args ...any) error {
	return &failure{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &failure{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

// within puts words before a fault of an element, with the name of the status
// code, as TensorFlow Serving does. Faults that are not the request's content's
// stay as they are.
func within(err error, format string, args ...any) error {
	var f *failure
	if !errors.As(err, &f) || f.status != http.StatusBadRequest {
		return err
	}
	return bad("%s INVALID_ARGUMENT: %s", fmt.Sprintf(format, args...), f.text)
}

// writeError answers with an error in TensorFlow Serving's form.
func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var f *failure
	switch {
	case errors.As(err, &f):
		status = f.status
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrFull):
		status = http.StatusTooManyRequests
	case errors.Is(err, ErrDeadline), errors.Is(err, ErrGone), errors.Is(err, errBudget):
		status = http.StatusServiceUnavailable
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	b := appendString([]byte("{\n    \"error\": "), err.Error())
	_, _ = w.Write(append(b, "\n}"...)) // who hung up needs no answer
}

// shown is how many bytes of a caller's own words an error repeats.
const shown = 64

// show makes a caller's words fit for an error: short, on one line, in UTF-8.
func show[T ~string | ~[]byte](s T) string {
	cut := string(s[:min(len(s), shown)])
	if len(s) > shown {
		for len(cut) > shown-utf8.UTFMax && !utf8.ValidString(cut) {
			cut = cut[:len(cut)-1]
		}
		cut += "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(cut, "?"))
}
