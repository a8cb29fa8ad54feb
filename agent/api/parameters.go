package api

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/egret-edge/egret/sync/payload"
)

// values are a request's query parameters. The first one that is wrong is kept
// in err.
type values struct {
	given url.Values
	err   error
}

// parameters reads the query. One that the call does not know is an error, so
// that a misspelt one is not taken for one that was left out.
func parameters(r *http.Request, known ...string) (*values, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, wrong(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	for name, all := range given {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, wrong(http.StatusBadRequest, "there is no parameter %.80q: this call takes none", name)
		case !slices.Contains(known, name):
			return nil, wrong(http.StatusBadRequest, "there is no parameter %.80q: this call knows %s", name, strings.Join(known, ", "))
		case len(all) > 1:
			return nil, wrong(http.StatusBadRequest, "%s is given %d times: give it once", name, len(all))
		}
	}
	return &values{given: given}, nil
}

func (v *values) fail(format string, args ...any) {
	if v.err == nil {
		v.err = wrong(http.StatusBadRequest, format, args...)
	}
}

// text is a parameter of at most so many bytes.
func (v *values) text(name string, most int) string {
	s := v.given.Get(name)
	if len(s) > most || !utf8.ValidString(s) {
		v.fail("%s must be text of at most %d bytes", name, most)
		return ""
	}
	return s
}

// id is a camera's name, or empty.
func (v *values) id(name string) string {
	s := v.given.Get(name)
	if s != "" && !payload.ValidID(s) {
		v.fail("%s must be 1 to 64 of A-Z a-z 0-9 _ -", name)
		return ""
	}
	return s
}

// number is one from least to most; without is what it is when left out.
func (v *values) number(name string, without, least, most float64) float64 {
	if !v.given.Has(name) {
		return without
	}
	n, err := strconv.ParseFloat(v.given.Get(name), 64)
	if err != nil || math.IsNaN(n) || n < least || n > most {
		v.fail("%s must be a number from %v to %v, not %.40q", name, least, most, v.given.Get(name))
		return without
	}
	return n
}

// whole is a number without a fraction.
func (v *values) whole(name string, without, least, most int64) int64 {
	if !v.given.Has(name) {
		return without
	}
	n, err := strconv.ParseInt(v.given.Get(name), 10, 64)
	if err != nil || n < least || n > most {
		v.fail("%s must be a whole number from %d to %d, not %.40q", name, least, most, v.given.Get(name))
		return without
	}
	return n
}

// flag is 0 or 1.
func (v *values) flag(name string) bool {
	switch s := v.given.Get(name); {
	case s == "1":
		return true
	case s == "0", !v.given.Has(name):
	default:
		v.fail("%s must be 0 or 1, not %.40q", name, s)
	}
	return false
}

// time is a moment as RFC 3339 has it; zero when left out.
func (v *values) time(name string) time.Time {
	if !v.given.Has(name) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, v.given.Get(name))
	if err != nil {
		v.fail("%s must be a time such as 2026-11-20T10:00:00Z, not %.40q", name, v.given.Get(name))
	}
	return t
}

// words are a list with commas, each one of known; nil when left out.
func (v *values) words(name string, known ...string) []string {
	if !v.given.Has(name) {
		return nil
	}
	list := strings.Split(v.given.Get(name), ",")
	for _, w := range list {
		if !slices.Contains(known, w) {
			v.fail("%s has %.40q: it may have %s", name, w, strings.Join(known, ", "))
			return nil
		}
	}
	return list
}
