package serving_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/servingtest"
)

const predictEcho = "/v1/models/echo:predict"

// ask hands a request to the handler itself.
func ask(h http.Handler, body io.Reader, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, predictEcho, body)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func wantFault(t *testing.T, w *httptest.ResponseRecorder, status int, words string) {
	t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), words) {
		t.Errorf("answer %d %s, want %d with %q", w.Code, w.Body, status, words)
	}
	if retry := w.Header().Get("Retry-After"); (retry == "1") != (status == 429 || status == 503) {
		t.Errorf("Retry-After %q with status %d", retry, w.Code)
	}
}

func echoREST(o serving.RESTOptions) *serving.REST {
	o.Models = servingtest.One("echo", servingtest.Echo("uint8", 2))
	return serving.NewREST(o)
}

// endless is a body without an end; n counts what was read of it.
type endless struct {
	begin string
	n     int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.begin)
	e.begin = e.begin[n:]
	for i := range b[n:] {
		b[n+i] = '['
	}
	e.n += len(b)
	return len(b), nil
}

func TestBodyWithoutEnd(t *testing.T) {
	r := echoREST(serving.RESTOptions{MaxBody: 1 << 20})
	e := &endless{begin: `{"instances":`}
	wantFault(t, ask(r, e), 413, "larger than 1048576 bytes")
	if e.n > 1<<20+1<<12 {
		t.Errorf("%d bytes were read of it", e.n)
	}
	if r.Held() != 0 {
		t.Errorf("%d bytes of the budget are still held", r.Held())
	}
	w := ask(r, strings.NewReader(`{"instances":[`), "Content-Length", "1")
	wantFault(t, w, 400, "JSON Parse error")
}

func TestBodyWithoutEndOverTheNetwork(t *testing.T) {
	s := serve(t, servingtest.Echo("uint8", 2), serving.RESTOptions{MaxBody: 1 << 20})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+predictEcho, io.LimitReader(&endless{}, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return // the server closed the connection while the client wrote
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestDeepJSON(t *testing.T) {
	r := echoREST(serving.RESTOptions{})
	for _, open := range []string{"[", `{"a":`} {
		for _, key := range []string{"instances", "inputs", "x"} {
			wantFault(t, ask(r, strings.NewReader(`{"`+key+`":`+strings.Repeat(open, 1_000_000))), 400, "more than 64 deep")
		}
	}
}

func TestGzip(t *testing.T) {
	pack := func(s io.Reader) io.Reader {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := io.Copy(w, s); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	r := echoREST(serving.RESTOptions{MaxBody: 1 << 20})
	good := `{"instances":[[[[1,2,3],[4,5,6]],[[7,8,9],[1,2,3]]]]}`
	if w := ask(r, pack(strings.NewReader(good)), "Content-Encoding", "gzip"); w.Code != 200 {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	bomb := pack(io.LimitReader(&endless{}, 64<<20))
	wantFault(t, ask(r, bomb, "Content-Encoding", "gzip"), 413, "larger than")
	wantFault(t, ask(r, strings.NewReader(good), "Content-Encoding", "gzip"), 400, "not gzip")
}

func TestTooManyExamples(t *testing.T) {
	r := echoREST(serving.RESTOptions{MaxInstances: 2})
	picture := base64.StdEncoding.EncodeToString(servingtest.Picture(t, 1, 1))
	one := `{"b64":"` + picture + `"}`
	wantFault(t, ask(r, strings.NewReader(`{"instances":[`+one+","+one+","+one+`]}`)), 400, "more than 2 examples")
	lists := "[[[1,2,3],[4,5,6]],[[7,8,9],[1,2,3]]]"
	wantFault(t, ask(r, strings.NewReader(`{"inputs":[`+lists+","+lists+","+lists+`]}`)), 400, "more than 2 examples")
}

// What requests under way hold together has a bound; who comes later is told
// to come again, and is answered when the others are done.
func TestBudget(t *testing.T) {
	r := echoREST(serving.RESTOptions{MaxBody: 1 << 20, MaxBytes: 3 << 19})
	slow, fill := io.Pipe()
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- ask(r, slow) }()
	if _, err := fill.Write(bytes.Repeat([]byte(" "), 1_000_000)); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat(" ", 600_000)
	good := `{"instances":[[[[1,2,3],[4,5,6]],[[7,8,9],[1,2,3]]]]}`
	wantFault(t, ask(r, strings.NewReader(large+good)), 503, "try again in a second")
	if _, err := io.WriteString(fill, good); err != nil {
		t.Fatal(err)
	}
	if err := fill.Close(); err != nil {
		t.Fatal(err)
	}
	if w := <-first; w.Code != 200 {
		t.Errorf("the first: %d %s", w.Code, w.Body)
	}
	if w := ask(r, strings.NewReader(large+good)); w.Code != 200 || r.Held() != 0 {
		t.Errorf("the next: %d %s, %d bytes held", w.Code, w.Body, r.Held())
	}
}

func TestErrorsOfModels(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		words  string
	}{
		{"full", serving.ErrFull, 429, "queue"},
		{"deadline", serving.ErrDeadline, 503, "deadline"},
		{"gone twice", serving.ErrGone, 503, "replaced"},
		{"its own", errors.New("operator 3 failed"), 500, "operator 3 failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := servingtest.Echo("uint8", 2)
			m.PredictFunc = func(context.Context, [][]byte, []serving.Answer) error { return c.err }
			r := serving.NewREST(serving.RESTOptions{Models: servingtest.One("echo", m)})
			wantFault(t, ask(r, strings.NewReader(`{"instances":[[[[1,2,3],[4,5,6]],[[7,8,9],[1,2,3]]]]}`)), c.status, c.words)
		})
	}
}

// A model that was replaced by one of another shape is asked anew, with the
// same body.
func TestReplacedModel(t *testing.T) {
	before, after := servingtest.Echo("uint8", 2), servingtest.Echo("float32", 3)
	before.PredictFunc = func(context.Context, [][]byte, []serving.Answer) error { return serving.ErrGone }
	asked := 0
	models := servingtest.One("echo", before)
	models.FindFunc = func(serving.Selector) (serving.Model, error) {
		if asked++; asked == 1 {
			return before, nil
		}
		return after, nil
	}
	picture := base64.StdEncoding.EncodeToString(servingtest.Picture(t, 2, 2))
	w := ask(serving.NewREST(serving.RESTOptions{Models: models}), strings.NewReader(`{"instances":[{"b64":"`+picture+`"}]}`))
	if want := "{\n    \"predictions\": [[200.0, 100.0, 50.0, 200.0]\n    ]\n}"; w.Code != 200 || w.Body.String() != want || asked != 2 {
		t.Errorf("answer %d %s after %d times", w.Code, w.Body, asked)
	}
}

// Who went away gets no answer, and nobody waits for a decoder in his name.
func TestClientGone(t *testing.T) {
	d := serving.NewDecoder(1)
	target := servingtest.Echo("uint8", 2).TargetValue
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := echoREST(serving.RESTOptions{})
	req := httptest.NewRequest(http.MethodPost, predictEcho, strings.NewReader(`{"instances":[`)).WithContext(ctx)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	if w.Body.Len() > 0 {
		t.Errorf("answer %s", w.Body)
	}
	var wait sync.WaitGroup
	for range 4 { // and four share the one decoder
		wait.Go(func() {
			dst := make([]byte, target.Bytes())
			if _, err := d.DecodePicture(t.Context(), dst, &target, servingtest.Picture(t, 2, 2)); err != nil || dst[0] != 200 {
				t.Errorf("%v, %v", dst, err)
			}
		})
	}
	wait.Wait()
}

// Desks go round: requests of different models at a time do not mix.
func TestManyAtATime(t *testing.T) {
	s := serve(t, servingtest.Echo("uint8", 2), serving.RESTOptions{})
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			digit := string(rune('0' + n))
			body := `{"instances":[[[[1,2,3],[4,5,6]],[[7,8,9],[1,2,3]]]]}`
			body = strings.Replace(body, "1", digit, 1)
			for range 20 {
				resp, err := s.Client.Post(s.URL+predictEcho, "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := "{\n    \"predictions\": [[" + digit + ", 2, 3, 4]\n    ]\n}"; err != nil || string(got) != want {
					t.Errorf("answer %s, %v", got, err)
				}
			}
		})
	}
	wait.Wait()
}
