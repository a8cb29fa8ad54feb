package serving

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/egret-edge/egret/tflite"
)

// RESTOptions are what NewREST needs. Models is required; a zero limit is the
// default that stands beside it.
type RESTOptions struct {
	Models Models
	// MaxBody is the largest body in bytes, unpacked when it comes packed: 16
	// MiB.
	MaxBody int64
	// MaxInstances is how many examples one request may have: 32.
	MaxInstances int
	// MaxBytes bounds what bodies, pictures and tensors of all requests under way
	// take together: four times MaxBody. A request for which nothing is left
	// is told to come again.
	MaxBytes int64
	// Decoder decodes pictures: nil is one of its own, for one at a time. A
	// picture's pixels are not part of MaxBytes: see pixel.MaxPixels.
	Decoder *Decoder
}

// REST answers TensorFlow Serving's REST calls, those under /v1/. Any goroutine
// may call it. It starts no goroutine.
type REST struct {
	models       Models
	maxBody      int64
	maxInstances int
	budget       budget
	decoder      *Decoder
	desks        chan *desk
}

// NewREST makes the handler.
func NewREST(o RESTOptions) *REST {
	r := &REST{
		models:       o.Models,
		maxBody:      orDefault(o.MaxBody, 16<<20),
		maxInstances: orDefault(o.MaxInstances, 32),
		decoder:      o.Decoder,
		desks:        make(chan *desk, keptDesks),
	}
	if r.decoder == nil {
		r.decoder = NewDecoder(1)
	}
	r.budget.limit = orDefault(o.MaxBytes, 4*r.maxBody)
	return r
}

func orDefault[T int | int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// ServeHTTP answers one call.
func (r *REST) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	err := r.serve(w, req)
	if err == nil || req.Context().Err() != nil { // nobody listens any more
		return
	}
	writeError(w, err)
}

func (r *REST) serve(w http.ResponseWriter, req *http.Request) error {
	c, err := parseCall(req.Method, req.URL.EscapedPath())
	if err != nil {
		return err
	}
	switch c.verb {
	case "status":
		return r.status(w, c)
	case "metadata":
		return r.metadata(w, c)
	}
	m, err := r.find(c.sel)
	if err != nil {
		return err
	}
	if c.verb == "regress" || c.verb == "classify" && m.Info().Task != tflite.Classify {
		return noSignature(c.verb)
	}
	return r.infer(w, req, c, m)
}

// noSignature is what TensorFlow Serving says of a model that has no signature
// for the verb.
func noSignature(verb string) error {
	noun := map[string]string{"regress": "regression", "classify": "classification"}[verb]
	return bad("Expected %s signature method_name to be tensorflow/serving/%s. Was: tensorflow/serving/predict", noun, verb)
}

// infer answers predict and classify.
func (r *REST) infer(w http.ResponseWriter, req *http.Request, c call, m Model) error {
	d := r.takeDesk()
	defer r.putDesk(d)
	if err := d.read(w, req); err != nil {
		return err
	}
	err := d.infer(req, c.verb, m)
	if errors.Is(err, ErrGone) {
		// The version was replaced between Find and Predict. The one that is
		// there now may take other tensors, so the body is read anew.
		if m, err = r.find(c.sel); err == nil {
			err = d.infer(req, c.verb, m)
		}
	}
	if err != nil {
		return err
	}
	w.Header().Set("Server-Timing", Timing(d.answers))
	return answer(w, d.out)
}

// Timing is where the time went, for who wonders (W3C Server Timing, in
// milliseconds): how long the examples waited for their turns, and what the
// model took.
func Timing(answers []Answer) string {
	var waited, took time.Duration
	for i := range answers {
		waited += answers[i].Waited
		took += answers[i].Invoke
	}
	return fmt.Sprintf("queue;dur=%.3f, invoke;dur=%.3f", float64(waited.Microseconds())/1e3, float64(took.Microseconds())/1e3)
}

func (d *desk) infer(req *http.Request, verb string, m Model) error {
	info := m.Info()
	if len(info.Inputs) != 1 {
		return fmt.Errorf("model %q has %d inputs: want one picture", info.Name, len(info.Inputs))
	}
	d.begin(newInput(info.Inputs[0], m.Target()))
	columns, err := d.parse(verb, req.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if err := d.predict(req.Context(), m); err != nil {
		return err
	}
	switch {
	case verb == "classify":
		d.out = appendResults(d.out[:0], d.answers)
	case columns:
		d.out, err = appendColumns(d.out[:0], info.Outputs, d.answers)
	default:
		d.out, err = appendRows(d.out[:0], info.Outputs, d.answers)
	}
	return err
}

// parse fills the examples from the body. columns tells the form of the
// answer.
func (d *desk) parse(verb, contentType string) (columns bool, err error) {
	if isPicture(contentType) {
		k, err := d.add()
		if err != nil {
			return false, err
		}
		d.pictures = append(d.pictures, picture{example: k, end: len(d.text) - padding, plain: true})
		return false, nil
	}
	if verb == "classify" {
		return false, d.parseClassify()
	}
	return d.parsePredict()
}

func (d *desk) predict(ctx context.Context, m Model) error {
	if err := d.decode(ctx); err != nil {
		return err
	}
	d.answers = slices.Grow(d.answers[:0], d.n)[:d.n] // what each has is used again
	return m.Predict(ctx, d.tensors[:d.n], d.answers)
}

// find gives the model that a call names, or says in TensorFlow Serving's words
// that it is not there.
func (r *REST) find(sel Selector) (Model, error) {
	m, err := r.models.Find(sel)
	if !errors.Is(err, ErrNotFound) {
		return m, err
	}
	name := show(sel.Model)
	switch {
	case sel.Label != "":
		return nil, bad("Unrecognized servable version label: %s", show(sel.Label))
	case sel.Version != nil:
		return nil, notFound("Servable not found for request: Specific(%s, %d)", name, *sel.Version)
	}
	return nil, notFound("Servable not found for request: Latest(%s)", name)
}
