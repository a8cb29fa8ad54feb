package serving

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// text is JSON with zeros behind it, of which TensorFlow Serving's dialect is
// taken: NaN, Infinity, Inf and their negatives are numbers. Positions in it
// are indices; no method reads beyond the first zero that stands outside of its
// token.
type text []byte

// maxDepth is how deep lists and objects may lie in each other; a tensor takes
// four or five. TensorFlow Serving has no bound.
const maxDepth = 64

func syntax(at int, words string) error {
	return &failure{http.StatusBadRequest, fmt.Sprintf("JSON Parse error: %s at offset: %d", words, at)}
}

// space is the position of the next token.
func (t text) space(i int) int {
	for t[i] == ' ' || t[i] == '\n' || t[i] == '\r' || t[i] == '\t' {
		i++
	}
	return i
}

// skip checks the value at i, which no space precedes, and returns its end.
func (t text) skip(i, depth int) (int, error) {
	switch c := t[i]; {
	case depth > maxDepth:
		return 0, syntax(i, fmt.Sprintf("Lists or objects lie more than %d deep.", maxDepth))
	case c == '"':
		return t.skipString(i)
	case c == '{':
		return t.members(i, func(_ []byte, at int) (int, error) { return t.skip(at, depth+1) })
	case c == '[':
		return t.elements(i, func(_, at int) (int, error) { return t.skip(at, depth+1) })
	case c == 't':
		return t.word(i, "true")
	case c == 'f':
		return t.word(i, "false")
	case c == 'n':
		return t.word(i, "null")
	}
	_, end, err := t.number(i)
	return end, err
}

func (t text) word(i int, w string) (int, error) {
	if !bytes.HasPrefix(t[i:], []byte(w)) {
		return 0, syntax(i, "Invalid value.")
	}
	return i + len(w), nil
}

// members calls each with every key, unescaped, and its value's position; each
// returns the value's end. i is the brace's position, the result its end.
func (t text) members(i int, each func(key []byte, at int) (int, error)) (int, error) {
	i = t.space(i + 1)
	if t[i] == '}' {
		return i + 1, nil
	}
	for {
		if t[i] != '"' {
			return 0, syntax(i, "Missing a name for object member.")
		}
		end, err := t.skipString(i)
		if err != nil {
			return 0, err
		}
		key := t[i+1 : end-1]
		if plain := unescape(nil, key); plain != nil {
			key = plain
		}
		if i = t.space(end); t[i] != ':' {
			return 0, syntax(i, "Missing a colon after a name of object member.")
		}
		if i, err = each(key, t.space(i+1)); err != nil {
			return 0, err
		}
		switch i = t.space(i); t[i] {
		case ',':
			i = t.space(i + 1)
		case '}':
			return i + 1, nil
		default:
			return 0, syntax(i, "Missing a comma or } after an object member.")
		}
	}
}

// elements calls each with every element's number and position; each returns
// its end. i is the bracket's position, the result its end.
func (t text) elements(i int, each func(n, at int) (int, error)) (int, error) {
	i = t.space(i + 1)
	if t[i] == ']' {
		return i + 1, nil
	}
	for n := 0; ; n++ {
		var err error
		if i, err = each(n, i); err != nil {
			return 0, err
		}
		switch i = t.space(i); t[i] {
		case ',':
			i = t.space(i + 1)
		case ']':
			return i + 1, nil
		default:
			return 0, syntax(i, "Missing a comma or ] after an array element.")
		}
	}
}

// skipString returns the position after the closing quotation mark.
func (t text) skipString(i int) (int, error) {
	for i++; ; i++ {
		for t[i] != '"' && t[i] != '\\' && t[i] >= ' ' { // most of a picture's bytes
			i++
		}
		switch c := t[i]; {
		case c == '"':
			return i + 1, nil
		case c == 0:
			return 0, syntax(i, "Missing a closing quotation mark in string.")
		case c < ' ':
			return 0, syntax(i, "Invalid encoding in string.")
		case c == '\\':
			n, err := t.skipEscape(i)
			if err != nil {
				return 0, err
			}
			i += n - 1
		}
	}
}

// skipEscape returns the escape's length.
func (t text) skipEscape(i int) (int, error) {
	switch t[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		r, ok := hex4(t[i+2:])
		if !ok {
			return 0, syntax(i, `Incorrect hex digit after \u escape in string.`)
		}
		if !utf16.IsSurrogate(r) {
			return 6, nil
		}
		if t[i+6] == '\\' && t[i+7] == 'u' {
			if low, ok := hex4(t[i+8:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				return 12, nil
			}
		}
		return 0, syntax(i, "The surrogate pair in string is invalid.")
	}
	return 0, syntax(i, "Invalid escape character in string.")
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 + rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 + rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// unescape appends a checked string's content to dst without its escapes; nil
// when it has none, so that most strings are not copied.
func unescape(dst, s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return nil
	}
	if dst == nil {
		dst = make([]byte, 0, len(s))
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		i++
		if k := bytes.IndexByte([]byte("bfnrt"), s[i]); k >= 0 {
			dst = append(dst, "\b\f\n\r\t"[k])
			continue
		}
		if s[i] != 'u' {
			dst = append(dst, s[i])
			continue
		}
		r, _ := hex4(s[i+1:])
		i += 4
		if utf16.IsSurrogate(r) {
			low, _ := hex4(s[i+3:])
			r = utf16.DecodeRune(r, low)
			i += 6
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// number is a JSON number's value. A whole one, written without fraction or
// exponent, has its int too when int64 can hold it.
type number struct {
	whole bool
	int   int64
	float float64
}

// number reads the number at i and returns its end.
func (t text) number(i int) (number, int, error) {
	start, sign := i, 1
	if t[i] == '-' {
		i, sign = i+1, -1
	}
	for _, w := range []string{"NaN", "Infinity", "Inf"} {
		if t[i] == w[0] && bytes.HasPrefix(t[i:], []byte(w)) {
			f := math.NaN()
			if w[0] == 'I' {
				f = math.Inf(sign)
			}
			return number{float: f}, i + len(w), nil
		}
	}
	i, whole, err := t.digits(i)
	if err != nil {
		return number{}, 0, err
	}
	s := string(t[start:i])
	if whole && len(s) <= len("-9223372036854775808") { // a longer one's error would copy it
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return number{whole: true, int: n, float: float64(n)}, i, nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil { // out of range; what is too small is 0 without an error
		return number{}, 0, syntax(start, "Number too big to be stored in double.")
	}
	return number{float: f}, i, nil
}

// digits checks the digits, fraction and exponent at i.
func (t text) digits(i int) (end int, whole bool, err error) {
	if !digit(t[i]) {
		return 0, false, syntax(i, "Invalid value.")
	}
	if t[i] == '0' {
		i++
	} else {
		i = t.run(i)
	}
	whole = true
	if t[i] == '.' {
		whole = false
		if i++; !digit(t[i]) {
			return 0, false, syntax(i, "Miss fraction part in number.")
		}
		i = t.run(i)
	}
	if t[i]|0x20 == 'e' {
		whole = false
		if i++; t[i] == '+' || t[i] == '-' {
			i++
		}
		if !digit(t[i]) {
			return 0, false, syntax(i, "Miss exponent in number.")
		}
		i = t.run(i)
	}
	return i, whole, nil
}

func (t text) run(i int) int {
	for digit(t[i]) {
		i++
	}
	return i
}

func digit(c byte) bool { return c-'0' <= 9 }

// kind is the value's type in RapidJSON's words.
func (t text) kind(i int) string {
	switch t[i] {
	case '"':
		return "String"
	case '{':
		return "Object"
	case '[':
		return "Array"
	case 't':
		return "True"
	case 'f':
		return "False"
	case 'n':
		return "Null"
	}
	return "Number"
}

// base64 tells whether the checked object at i is {"b64": "…"} alone, where
// the string's content lies, and where the object ends.
func (t text) base64(i int) (at, stop, end int, ok bool) {
	n := 0
	end, _ = t.members(i, func(key []byte, v int) (int, error) {
		n++
		e, err := t.skip(v, 0)
		if ok = string(key) == "b64" && t[v] == '"'; ok {
			at, stop = v+1, e-1
		}
		return e, err
	})
	return at, stop, end, ok && n == 1
}
