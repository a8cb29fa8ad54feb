package sensors

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/egret-edge/egret/internal/spelling"
)

// Options are what every source may need. The zero value is ready.
type Options struct {
	// Logger gets what a source has to say; nil discards it.
	Logger *slog.Logger
}

func (o Options) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// maxSpec bounds a specification; the longest real ones are command lines.
const maxSpec = 8 << 10

// maxFPS bounds the rates that a specification may ask for.
const maxFPS = 1000

var schemes = []string{"v4l2", "folder", "command", "http", "https", "pattern"}

// Open makes the source that spec names. It only reads spec: whether the
// camera, folder or server is there, Run finds out. An error is one line with
// the spec (secrets redacted), what is wrong in it, and the nearest known word.
//
//	v4l2:/dev/video0?size=640x480&fps=15&format=mjpeg   (format mjpeg or yuyv)
//	v4l2:/dev/video0?format=yuyv&matrix=bt709&range=full (bt601 or bt709, limited or full: else what the driver says)
//	folder:/path?fps=5&loop=true                        (fps 0: as fast as taken)
//	command:program 'and its' words                     (no shell; "command:sh -c '…'" gives one)
//	http://user:pass@host/path#fps=1                    (fps polls a still; default 1)
//	pattern:?size=640x480&fps=10&frames=100             (frames 0: without end)
func Open(spec string, opts Options) (Source, error) {
	scheme, rest, found := strings.Cut(spec, ":")
	var src Source
	var err error
	switch {
	case len(spec) > maxSpec:
		return nil, fmt.Errorf("source is %d bytes long, limit is %d", len(spec), maxSpec)
	case strings.ContainsAny(spec, "\n\r\x00"):
		err = fmt.Errorf("has a line break or zero byte in it")
	case !found:
		err = fmt.Errorf("has no scheme: begin with one of %s, followed by a colon", strings.Join(schemes, ", "))
	case scheme == "v4l2":
		src, err = openCamera(rest, opts)
	case scheme == "folder":
		src, err = openFolder(rest, opts)
	case scheme == "command":
		src, err = openCommand(rest, opts)
	case scheme == "http", scheme == "https":
		src, err = openHTTP(spec, opts)
	case scheme == "pattern":
		src, err = openPattern(rest)
	case scheme == "rtsp", scheme == "rtsps":
		err = fmt.Errorf("unknown scheme %q: let a program read it, as in command:ffmpeg -nostdin -i rtsp://… -f mjpeg -", scheme)
	default:
		err = fmt.Errorf("unknown scheme %q: %s", scheme, spelling.Hint(scheme, schemes))
	}
	if err != nil {
		return nil, fmt.Errorf("source %q: %w", Redact(spec), err)
	}
	return src, nil
}

// V4L2Device is the node that a v4l2: source names; empty for other sources.
func V4L2Device(spec string) string {
	rest, ok := strings.CutPrefix(spec, "v4l2:")
	if !ok {
		return ""
	}
	device, _, _ := strings.Cut(rest, "?")
	return device
}

// CommandWords are the program and the arguments of a command: source; nil for
// other sources.
func CommandWords(spec string) []string {
	rest, ok := strings.CutPrefix(spec, "command:")
	if !ok {
		return nil
	}
	words, err := splitWords(rest)
	if err != nil {
		return nil // Open says what is wrong with it
	}
	return words
}

// Redact hides the password and the query values of any URL within spec, so
// that it can be logged and shown. A command's words may hold such URLs too.
func Redact(spec string) string {
	var out strings.Builder
	for {
		i := strings.Index(spec, "://")
		if i < 0 {
			return out.String() + spec
		}
		end := i + 3 + urlEnd(spec[i+3:])
		out.WriteString(spec[:i+3])
		out.WriteString(redactAfterScheme(spec[i+3 : end]))
		spec = spec[end:]
	}
}

func urlEnd(s string) int {
	if i := strings.IndexAny(s, " \t'\""); i >= 0 {
		return i
	}
	return len(s)
}

// redactAfterScheme hides what stands before the last @, which no host may
// contain, and the values of the query, where cameras take passwords too.
func redactAfterScheme(s string) string {
	rest, fragment, hasFragment := strings.Cut(s, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, _, _ := strings.Cut(rest[:i], ":")
		rest = user + ":xxxxx@" + rest[i+1:]
	}
	if hasQuery {
		pairs := strings.Split(query, "&")
		for i, p := range pairs {
			if k, _, ok := strings.Cut(p, "="); ok {
				pairs[i] = k + "=xxxxx"
			}
		}
		rest += "?" + strings.Join(pairs, "&")
	}
	if hasFragment {
		rest += "#" + fragment
	}
	return rest
}

// params are the key=value pairs of a specification.
type params struct{ values url.Values }

// parseParams reads raw and refuses keys that are not known or given twice.
func parseParams(raw string, known ...string) (params, error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return params{}, fmt.Errorf("options cannot be read: write key=value&key=value")
	}
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !slices.Contains(known, k) {
			return params{}, fmt.Errorf("unknown key %q: %s", k, spelling.Hint(k, known))
		}
		if len(v[k]) > 1 {
			return params{}, fmt.Errorf("key %q is given %d times", k, len(v[k]))
		}
	}
	return params{v}, nil
}

func (p params) fps(fallback float64, zero bool) (float64, error) {
	if !p.values.Has("fps") {
		return fallback, nil
	}
	f, err := strconv.ParseFloat(p.values.Get("fps"), 64)
	if err != nil || !(f >= 0 && f <= maxFPS) || f == 0 && !zero || f > 0 && f < 1e-3 {
		return 0, fmt.Errorf("fps is %q: want a number from 0.001 to %d", p.values.Get("fps"), maxFPS)
	}
	return f, nil
}

func (p params) size(w, h int) (int, int, error) {
	if !p.values.Has("size") {
		return w, h, nil
	}
	a, b, _ := strings.Cut(p.values.Get("size"), "x")
	w, errW := strconv.Atoi(a)
	h, errH := strconv.Atoi(b)
	if errW != nil || errH != nil || w < 1 || h < 1 || w > 8192 || h > 8192 {
		return 0, 0, fmt.Errorf("size is %q: want WIDTHxHEIGHT, each from 1 to 8192", p.values.Get("size"))
	}
	return w, h, nil
}

// word is one of a few words, or empty where none is given.
func (p params) word(key string, known ...string) (string, error) {
	w := p.values.Get(key)
	if w != "" && !slices.Contains(known, w) {
		return "", fmt.Errorf("%s is %q: %s", key, w, spelling.Hint(w, known))
	}
	return w, nil
}

// interval is the time between two frames; 0 for fps 0.
func interval(fps float64) time.Duration {
	if fps <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / fps)
}
