package sensors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

// picture is a small JPEG of one grey; with a thumbnail in its APP1 segment
// when thumb is set.
func picture(t testing.TB, shade uint8, thumb bool) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range m.Pix {
		m.Pix[i] = color.Gray{shade}.Y
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	if !thumb {
		return b.Bytes()
	}
	inner := b.Bytes()
	out := []byte{0xFF, 0xD8, 0xFF, 0xE1, byte((len(inner) + 2) >> 8), byte(len(inner) + 2)}
	return append(append(out, inner...), inner[2:]...)
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, spec string) Source {
	t.Helper()
	src, err := Open(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// testSource is the contract of every source that can give at least three
// pictures a run.
func testSource(t *testing.T, src Source) {
	t.Helper()
	for run := range 2 { // it can be run again
		ctx, cancel := context.WithCancel(t.Context())
		var seq uint64
		var returned, inside atomic.Bool
		err := src.Run(ctx, func(f *Frame) {
			if returned.Load() || !inside.CompareAndSwap(false, true) {
				t.Errorf("run %d: emit was called after Run returned, or twice at once", run)
			}
			defer inside.Store(false)
			if seq++; f.Seq != seq || f.Time.IsZero() {
				t.Errorf("run %d: frame %d says it is %d of %v", run, seq, f.Seq, f.Time)
			}
			if _, _, err := pixel.Size(f.Image); err != nil {
				t.Errorf("run %d: frame %d is unusable: %v", run, seq, err)
			}
			if seq == 3 {
				cancel()
			}
			if seq > 3 {
				t.Errorf("run %d: frame %d was emitted after its context ended", run, seq)
			}
		})
		returned.Store(true)
		if err != nil && !errors.Is(err, context.Canceled) || seq != 3 {
			t.Errorf("run %d: Run = %v after %d frames, want the context's error after 3", run, err, seq)
		}
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := src.Run(ctx, func(*Frame) { t.Error("a frame with a context that had ended") }); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Run with an ended context = %v", err)
	}
}

func TestEverySourceKeepsTheContract(t *testing.T) {
	dir := t.TempDir()
	for i := range 2 {
		write(t, filepath.Join(dir, "sub", fmt.Sprintf("%d.jpg", i)), picture(t, uint8(i), false))
	}
	mjpeg := filepath.Join(dir, "stream.mjpeg")
	write(t, mjpeg, bytes.Repeat(picture(t, 9, true), 5))
	y4m := filepath.Join(dir, "stream.y4m")
	write(t, y4m, y4mStream("W4 H2 F25:1 C420mpeg2", 12, 5))
	srv := cameraServer(t)
	for name, spec := range map[string]string{
		"folder":        "folder:" + dir + "?fps=0&loop=true",
		"file":          "folder:" + filepath.Join(dir, "sub", "0.jpg") + "?fps=0&loop=true",
		"mjpeg command": "command:sh -c 'cat " + mjpeg + "; exec sleep 60'",
		"y4m command":   "command:sh -c 'cat " + y4m + "; sleep 60'",
		"multipart":     srv.URL + "/stream",
		"still":         srv.URL + "/still?channel=1#fps=1000",
		"pattern":       "pattern:?size=32x24&fps=1000",
	} {
		t.Run(name, func(t *testing.T) { testSource(t, open(t, spec)) })
	}
}

// cameraServer has a stream whose announced boundary is not the one it uses,
// as some cameras have, and a still.
func cameraServer(t testing.TB) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stream":
			w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=--other")
			for i := range 5 {
				fmt.Fprint(w, "--frame\r\nContent-Type: image/jpeg\r\n\r\n")
				_, _ = w.Write(picture(t, uint8(i), true))
				fmt.Fprint(w, "\r\n")
			}
			w.(http.Flusher).Flush()
			if r.URL.Query().Get("end") == "" {
				<-r.Context().Done()
			}
		case "/still":
			_, _ = w.Write(picture(t, 1, false))
		case "/private":
			if u, p, _ := r.BasicAuth(); u != "me" || p != "s3cret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = w.Write(picture(t, 1, false))
		default:
			fmt.Fprint(w, "<html>")
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

// runToEnd runs a source that ends by itself.
func runToEnd(t *testing.T, spec string) (frames []string, err error) {
	t.Helper()
	err = open(t, spec).Run(t.Context(), func(f *Frame) { frames = append(frames, f.Name) })
	return frames, err
}

func TestFolderOrderAndBadFiles(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"b.JPG", "a/z.png", "a/y.webp", "c.bmp", "notes.txt"} {
		write(t, filepath.Join(dir, n), picture(t, 1, false))
	}
	if err := os.Symlink("/nonexistent", filepath.Join(dir, "a", "x.jpg")); err != nil {
		t.Fatal(err)
	}
	big, err := os.Create(filepath.Join(dir, "big.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(big.Truncate(pixel.MaxBytes+1), big.Close()); err != nil {
		t.Fatal(err)
	}
	frames, err := runToEnd(t, "folder:"+dir+"?fps=0")
	if want := "a/y.webp a/z.png b.JPG c.bmp"; strings.Join(frames, " ") != want || !errors.Is(err, ErrEnd) {
		t.Errorf("got %v, %v, want %s and ErrEnd", frames, err, want)
	}
}

func TestFailingSources(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty", "notes.txt"), nil)
	write(t, filepath.Join(dir, "cut.mjpeg"), picture(t, 1, true)[:60])
	srv := cameraServer(t)
	host := strings.TrimPrefix(srv.URL, "http://")
	tests := []struct{ name, spec, want string }{
		{"empty folder", "folder:" + dir + "/empty", "has no pictures"},
		{"vanished folder", "folder:" + dir + "/gone", "no such file"},
		{"no such program", "command:egret-no-such-program", "executable file not found"},
		{"program fails", "command:sh -c 'echo warming up >&2; echo no camera here >&2; exit 7'", "exit status 7: no camera here"},
		{"program ends", "command:true", "ended with exit status 0"},
		{"cut stream", "command:cat " + dir + "/cut.mjpeg", "ended with exit status 0"},
		{"y4m of another kind", "command:printf 'YUV4MPEG2 W4 H4 C444\\n'", `colour space "444" is not supported`},
		{"stream ends", srv.URL + "/stream?end=1", "stream ended after 5 pictures"},
		{"not a picture", srv.URL + "/page", "neither a picture nor"},
		{"wrong password", "http://me:wr0ng@" + host + "/private?token=t0ken", "401 Unauthorized"},
		{"refused", "http://me:wr0ng@127.0.0.1:1/?token=t0ken", "refused"},
		{"no device", "v4l2:/dev/egret-no-such-device", "/dev/egret-no-such-device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := runToEnd(t, tt.spec)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Run = %v, want %q in it", err, tt.want)
			}
			for _, secret := range []string{"\n", "wr0ng", "t0ken"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows %q", err, secret)
				}
			}
		})
	}
}

func TestHTTPPassword(t *testing.T) {
	srv := cameraServer(t)
	src := open(t, "http://me:s3cret@"+strings.TrimPrefix(srv.URL, "http://")+"/private#fps=1000")
	testSource(t, src)
	if strings.Contains(src.String(), "s3cret") {
		t.Errorf("String shows the password: %s", src)
	}
}

// TestCommandEndsWithItsGroup cancels a program that ignores SIGTERM and has a
// child that holds the pipe.
func TestCommandEndsWithItsGroup(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.jpg"), picture(t, 1, false))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src := open(t, "command:sh -c 'trap \"\" TERM; sleep 100000 & echo $! > "+dir+"/pid; cat "+dir+"/p.jpg; while :; do sleep 100000; done'")
	if err := src.Run(ctx, func(*Frame) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Fatalf("Run = %v", err)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	// The kill was sent; the kernel may still be at it. A killed process may
	// stay as a zombie where nobody reaps orphans.
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the program's child is still there")
}

func TestPatternIsDeterministicAndMoves(t *testing.T) {
	take := func() (frames [][]byte) {
		err := open(t, "pattern:?size=40x20&fps=0&frames=3").Run(t.Context(), func(f *Frame) {
			frames = append(frames, bytes.Clone(f.Image.Data))
		})
		if !errors.Is(err, ErrEnd) {
			t.Fatalf("Run = %v, want ErrEnd", err)
		}
		return frames
	}
	a, b := take(), take()
	if len(a) != 3 || len(b) != 3 {
		t.Fatalf("%d and %d frames, want 3", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) || i > 0 && bytes.Equal(a[i], a[i-1]) {
			t.Errorf("frame %d differs between runs or stands still", i)
		}
	}
}
