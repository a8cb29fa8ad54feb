package sensors

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

// httpSource reads a camera's multipart MJPEG stream, or polls its still
// picture. Options stand in the fragment, which is never sent, so the camera's
// own query stays intact: http://camera/snapshot.jpg?channel=1#fps=0.5.
type httpSource struct {
	url *url.URL // without user and fragment
	who *url.Userinfo
	red string
	fps float64
	log *slog.Logger
}

func openHTTP(spec string, opts Options) (Source, error) {
	u, err := url.Parse(spec)
	if err != nil || u.Host == "" {
		return nil, errors.New("is not a URL: write http://host/path")
	}
	q, err := parseParams(u.Fragment, "fps")
	if err != nil {
		return nil, err
	}
	h := &httpSource{who: u.User, red: Redact(spec), log: opts.logger()}
	if h.fps, err = q.fps(1, false); err != nil {
		return nil, err
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	h.url = u
	return h, nil
}

func (h *httpSource) String() string { return h.red }

func (h *httpSource) Run(ctx context.Context, emit func(*Frame)) error {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		MaxIdleConns:          1,
		IdleConnTimeout:       time.Minute,
	}
	defer transport.CloseIdleConnections()
	err := h.run(ctx, &http.Client{Transport: transport}, emit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// A url.Error would show the camera's query, which may hold a password.
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("%s: %w", h.red, err)
}

func (h *httpSource) run(ctx context.Context, client *http.Client, emit func(*Frame)) error {
	pace := newPace(h.fps)
	defer pace.stop()
	var f Frame
	for {
		resp, err := h.get(ctx, client)
		if err != nil {
			return err
		}
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "video/") {
			defer resp.Body.Close()
			return h.stream(ctx, resp.Body, emit)
		}
		err = still(&f, resp, kind)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		emit(&f)
		if err := pace.wait(ctx); err != nil {
			return err
		}
	}
}

func (h *httpSource) get(ctx context.Context, client *http.Client) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url.String(), nil)
	if err != nil {
		return nil, err
	}
	if h.who != nil {
		password, _ := h.who.Password()
		req.SetBasicAuth(h.who.Username(), password)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("server answered %q", resp.Status)
	}
	return resp, nil
}

// stream emits the pictures of a multipart body. Pictures are found by their
// own structure rather than by the boundary: cameras announce boundaries that
// they do not use, and a picture is known to be whole at its end, one frame
// before the next boundary would tell.
func (h *httpSource) stream(ctx context.Context, body io.Reader, emit func(*Frame)) error {
	next := jpegImages(bufio.NewReaderSize(body, 64<<10))
	var f Frame
	for {
		img, err := next()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("stream ended after %d pictures", f.Seq)
		}
		if err != nil {
			return err
		}
		f.Seq, f.Time, f.Image = f.Seq+1, time.Now(), img
		emit(&f)
	}
}

// still reads one picture into the frame, reusing its buffer.
func still(f *Frame, resp *http.Response, kind string) error {
	buf, err := readInto(f.Image.Data, io.LimitReader(resp.Body, pixel.MaxBytes+1))
	if err != nil {
		return fmt.Errorf("read picture: %w", err)
	}
	if len(buf) > pixel.MaxBytes {
		return errOversize
	}
	format := pixel.Sniff(buf)
	if format == pixel.Unknown {
		return fmt.Errorf("server sent %q (%d bytes), which is neither a picture nor multipart MJPEG", kind, len(buf))
	}
	f.Seq, f.Time, f.Image = f.Seq+1, time.Now(), pixel.Image{Format: format, Data: buf}
	return nil
}

// readInto reads all of r into buf from its start, growing it.
func readInto(buf []byte, r io.Reader) ([]byte, error) {
	buf = buf[:0]
	for {
		buf = slices.Grow(buf, 4096)
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}
