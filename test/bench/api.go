package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/egret-edge/egret/agent/api/serving/tfproto"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// apiRequests are taken of each kind by one client; eight clients share as
// many.
const apiRequests = 160

// api takes the figures of the local interface: what a request takes over the
// Invoke that answers it, and what the dashboard costs when nobody looks.
func api(ctx context.Context, o options) ([]result, error) {
	const model = "models/mobilenet_v1_1.0_224_quant"
	b, err := tflite.OpenBundle(model)
	if err != nil {
		return nil, fmt.Errorf("%w: run make deps", err)
	}
	m := &bench{options: o, bundle: b}
	if m.dir, err = os.MkdirTemp(o.dir, "api-"); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{m.requests, m.idle} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	return m.results, nil
}

// local is an agent that runs in a process of its own and can be asked.
type local struct {
	cmd        *exec.Cmd
	log        bytes.Buffer
	http, grpc string // addresses
}

// startLocal starts an agent with one model on the CPU, with one thread, and
// one camera of so many frames a second; extra goes into its api section.
func (m *bench) startLocal(ctx context.Context, name string, fps float64, extra string) (*local, error) {
	dir := filepath.Join(m.dir, name)
	frames := filepath.Join(dir, "frames")
	if err := os.MkdirAll(frames, 0o755); err != nil {
		return nil, err
	}
	frame, err := frame640(filepath.Join(frames, "frame.jpg"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(frames, "frame.jpg"), frame.Image.Data, 0o644); err != nil {
		return nil, err
	}
	l := &local{}
	for _, addr := range []*string{&l.http, &l.grpc} {
		if *addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	model, err := filepath.Abs(m.bundle.Path())
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "egret.yaml")
	text := fmt.Sprintf(`device: bench
state_dir: %s
models: [{name: m, path: %s}]
cameras: [{name: c, source: "folder:%s?fps=%g&loop=true"}]
inference: {delegate: cpu, threads: 1}
governor: {enabled: false}
mqtt: {enabled: false}
api: {listen: "%s", grpc: {enabled: true, listen: "%s"}, %s}
`, filepath.Join(dir, "state"), model, frames, fps, l.http, l.grpc, extra)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	l.cmd = exec.CommandContext(ctx, m.egret, "run", "--config", config)
	l.cmd.Stderr = &l.log
	return l, l.cmd.Start()
}

func freeAddr() (string, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer free.Close()
	return free.Addr().String(), nil
}

// await waits until the agent answers.
func (l *local) await(ctx context.Context) error {
	for range 600 {
		if resp, err := http.Get("http://" + l.http + "/healthz"); err == nil {
			_ = resp.Body.Close()
			return nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the agent does not answer\n%s", l.log.Bytes())
}

func (l *local) end() error {
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	if err := l.cmd.Wait(); err != nil {
		return fmt.Errorf("the agent failed: %w\n%s", err, l.log.Bytes())
	}
	return nil
}

// asked is what one request took, and of that, how long it waited for its turn
// and the Invoke that answered it.
type asked struct{ took, queue, invoke time.Duration }

// requests measures predictions that are asked for, while the camera is all but
// still. The Invoke of each is what the agent says of it, so that both are of
// the same moment.
func (m *bench) requests(ctx context.Context) (err error) {
	l, err := m.startLocal(ctx, "requests", 0.02, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.end()) }()
	if err := l.await(ctx); err != nil {
		return err
	}
	frame, err := frame640(filepath.Join(m.dir, "frame.jpg"))
	if err != nil {
		return err
	}
	b, err := m.bodies(frame.Image)
	if err != nil {
		return err
	}
	if err := m.roundTrip("http://" + l.http + "/healthz"); err != nil {
		return err
	}
	url := "http://" + l.http + "/v1/models/m:predict"
	for _, kind := range []struct {
		name string
		ask  func(*http.Client) (asked, error)
	}{
		// As TensorFlow Serving's clients send a picture: in the model's size,
		// as JPEG in Base64.
		{"rest_predict", func(c *http.Client) (asked, error) { return askREST(c, url, "application/json", b.picture) }},
		// As numbers, which is what most examples on the web do.
		{"rest_rows_predict", func(c *http.Client) (asked, error) { return askREST(c, url, "application/json", b.rows) }},
		// A camera's frame of 640×480 as it is.
		{"rest_frame_predict", func(c *http.Client) (asked, error) { return askREST(c, url, "image/jpeg", frame.Image.Data) }},
	} {
		for _, clients := range []int{1, 8} {
			all, whole, err := crowd(clients, kind.ask)
			if err != nil {
				return err
			}
			m.over(kind.name, clients, all)
			if clients == 8 && kind.name == "rest_predict" {
				rate := float64(len(all)) / whole.Seconds()
				m.add("rest_requests_per_s_over_invoke_rate", rate*median(seconds(all)), "", nil, false)
			}
		}
	}
	return m.askGRPC(ctx, l.grpc, b.tensor)
}

// roundTrip is what asking by HTTP takes on this machine at this hour, for
// nothing.
func (m *bench) roundTrip(url string) error {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	var took []float64
	for range apiRequests {
		start := time.Now()
		resp, err := c.Get(url)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		took = append(took, time.Since(start).Seconds()*1e3)
		time.Sleep(20 * time.Millisecond) // both sides sleep between, as they do during an Invoke
	}
	m.add("http_round_trip_ms_p50", quantile(took, 0.50), "ms", nil, true)
	return nil
}

// over notes what requests took besides their Invokes, and besides those of
// others that went before them.
func (m *bench) over(name string, clients int, all []asked) {
	var over []float64
	for _, a := range all {
		over = append(over, (a.took-a.queue-a.invoke).Seconds()*1e3)
	}
	suffix, limit := "", (*float64)(nil)
	if clients > 1 {
		suffix = fmt.Sprintf("_%d_clients", clients)
	} else if name == "rest_predict" {
		limit = budget(1)
	}
	m.add(name+"_over_invoke_ms_p50"+suffix, quantile(over, 0.50), "ms", limit, true)
	m.add(name+"_over_invoke_ms_p99"+suffix, quantile(over, 0.99), "ms", nil, true)
}

func seconds(all []asked) (s []float64) {
	for _, a := range all {
		s = append(s, a.invoke.Seconds())
	}
	return s
}

// bodies are a frame in the forms in which it is asked about.
type bodies struct{ tensor, picture, rows []byte }

func (m *bench) bodies(img pixel.Image) (b bodies, err error) {
	model, err := tflite.Load(m.bundle, tflite.Options{})
	if err != nil {
		return b, err
	}
	defer model.Close()
	target := model.Target()
	b.tensor = make([]byte, target.Bytes())
	var s pixel.Scaler
	defer s.Close()
	if _, err := s.Tensor(b.tensor, &target, img); err != nil {
		return b, err
	}
	picture := image.NewRGBA(image.Rect(0, 0, target.Width, target.Height))
	rows := make([][][3]int, target.Height)
	for y := range rows {
		rows[y] = make([][3]int, target.Width)
		for x := range rows[y] {
			at := (y*target.Width + x) * 3
			picture.SetRGBA(x, y, color.RGBA{b.tensor[at], b.tensor[at+1], b.tensor[at+2], 255})
			for c := range 3 {
				rows[y][x][c] = int(b.tensor[at+c])
			}
		}
	}
	var small bytes.Buffer
	if err := jpeg.Encode(&small, picture, &jpeg.Options{Quality: 90}); err != nil {
		return b, err
	}
	if b.picture, err = json.Marshal(map[string]any{"instances": []any{map[string]any{"b64": small.Bytes()}}}); err != nil {
		return b, err
	}
	b.rows, err = json.Marshal(map[string]any{"instances": []any{rows}})
	return b, err
}

// crowd has clients ask one request after the other, each on a connection of
// its own, and leaves out the first few.
func crowd(clients int, ask func(*http.Client) (asked, error)) (all []asked, whole time.Duration, err error) {
	var mu sync.Mutex
	var done sync.WaitGroup
	var began time.Time
	start := make(chan struct{})
	var ready sync.WaitGroup
	ready.Add(clients)
	for range clients {
		done.Go(func() {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			_, e := ask(c)
			ready.Done()
			<-start
			for range apiRequests / clients {
				a, e2 := ask(c)
				mu.Lock()
				all, err = append(all, a), errors.Join(err, e, e2)
				mu.Unlock()
				if e2 != nil {
					return
				}
			}
		})
	}
	ready.Wait()
	began = time.Now()
	close(start)
	done.Wait()
	return all, time.Since(began), err
}

func askREST(c *http.Client, url, kind string, body []byte) (a asked, err error) {
	start := time.Now()
	resp, err := c.Post(url, kind, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if a.took = time.Since(start); err != nil {
		return a, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("%s: %s: %s", url, resp.Status, answer)
	}
	err = a.timing(resp.Header.Get("Server-Timing"))
	return a, err
}

// timing reads what the agent says of an answer's time.
func (a *asked) timing(header string) error {
	var queue, invoke float64
	if _, err := fmt.Sscanf(header, "queue;dur=%f, invoke;dur=%f", &queue, &invoke); err != nil {
		return fmt.Errorf("the answer does not tell its Invoke: Server-Timing is %q", header)
	}
	a.queue, a.invoke = time.Duration(queue*float64(time.Millisecond)), time.Duration(invoke*float64(time.Millisecond))
	return nil
}

// askGRPC measures Predict with the tensor's bytes.
func (m *bench) askGRPC(ctx context.Context, addr string, tensor []byte) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := tfproto.NewPredictionServiceClient(conn)
	info, err := tflite.Load(m.bundle, tflite.Options{})
	if err != nil {
		return err
	}
	input := info.Info().Inputs[0]
	if err := info.Close(); err != nil {
		return err
	}
	shape := &tfproto.TensorShapeProto{}
	for _, d := range input.Shape {
		shape.Dim = append(shape.Dim, &tfproto.TensorShapeProto_Dim{Size: int64(d)})
	}
	req := &tfproto.PredictRequest{
		ModelSpec: &tfproto.ModelSpec{Name: "m"},
		Inputs: map[string]*tfproto.TensorProto{input.Name: {
			Dtype: tfproto.DataType_DT_UINT8, TensorShape: shape, TensorContent: tensor,
		}},
	}
	all, _, err := crowd(1, func(*http.Client) (a asked, err error) {
		start := time.Now()
		var header metadata.MD
		_, err = client.Predict(ctx, req, grpc.Header(&header))
		if a.took = time.Since(start); err == nil {
			err = a.timing(strings.Join(header.Get("server-timing"), ","))
		}
		return a, err
	})
	if err != nil {
		return err
	}
	m.over("grpc_predict", 1, all)
	return nil
}

// idleTime is how long the processor's time is counted.
const idleTime = 20 * time.Second

// idle measures what the dashboard costs while nobody looks: the processor's
// time of an agent with it, less that of one without, both at the same time.
func (m *bench) idle(ctx context.Context) (err error) {
	with, err := m.startLocal(ctx, "with", 0.02, "dashboard: true")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, with.end()) }()
	without, err := m.startLocal(ctx, "without", 0.02, "enabled: false")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, without.end()) }()
	if err := with.await(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, 5*time.Second); err != nil { // both are past their start
		return err
	}
	var before, after [2]time.Duration
	read := func(to *[2]time.Duration) (err error) {
		for i, l := range []*local{with, without} {
			var e error
			to[i], e = processorTime(l.cmd.Process.Pid)
			err = errors.Join(err, e)
		}
		return err
	}
	if err := read(&before); err != nil {
		return err
	}
	if err := sleep(ctx, idleTime); err != nil {
		return err
	}
	if err := read(&after); err != nil {
		return err
	}
	used := (after[0] - before[0]) - (after[1] - before[1])
	m.add("dashboard_idle_cpu_percent", 100*used.Seconds()/idleTime.Seconds(), "%", budget(2), true)
	return nil
}

// processorTime is what a process has used so far (proc(5), schedstat: in
// nanoseconds, of all its threads).
func processorTime(pid int) (sum time.Duration, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}
