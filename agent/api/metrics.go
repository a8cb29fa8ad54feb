package api

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// metrics answers Prometheus. All of it is made of one State per scrape, so
// that sums add up; nothing is counted for it in between.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	e := &exposition{}
	st := s.state()
	e.device(&st, s.o.Version)
	e.cameras(st.Cameras)
	e.inference(st.Models)
	e.outbox(&st)
	e.broker(&st.Broker)
	e.update(st.Update)
	e.host(&st.Host)
	e.requests(&st)
	s.http(e)
	e.process(&st)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(e.buf)))
	_, _ = w.Write(e.buf)
	return nil
}

func (e *exposition) device(st *State, version string) {
	e.family("egret_build_info", gauge, "1; its labels tell what was built.")
	e.sample(1, "version", version, "go_version", runtime.Version())
	e.family("egret_device_info", gauge, "1; its labels tell which device this is.")
	e.sample(1, "device", st.Device, "fleet", st.Fleet)
	e.one("egret_ready", gauge, "1 when /readyz says so.", bit(len(st.NotReady) == 0))
	e.one("egret_clock_synced", gauge, "1 when the kernel says that the clock is right.", bit(st.Clock == payload.ClockSynced))
	e.one("egret_starts_total", counter, "Starts of the agent, over the life of its state folder.", float64(st.Boot))
}

func (e *exposition) cameras(all []Camera) {
	e.family("egret_camera_up", gauge, "1 while frames may come from the camera.")
	for i := range all {
		e.sample(bit(all[i].State == "running"), "camera", all[i].Name)
	}
	e.family("egret_camera_captured_frames_total", counter, "Frames that the camera gave.")
	for i := range all {
		e.sample(float64(all[i].Captured), "camera", all[i].Name)
	}
	e.family("egret_camera_frames_total", counter, "Frames by what became of them; the rest of those captured is in hand.")
	for i := range all {
		c := &all[i]
		for _, r := range []struct {
			result string
			frames uint64
		}{
			{"predicted", c.Predicted}, {"dropped", c.Dropped}, {"failed", c.Failed},
			{"skipped_max_fps", c.Skipped["max_fps"]}, {"skipped_motion", c.Skipped["motion"]}, {"skipped_heat", c.Skipped["heat"]},
		} {
			e.sample(float64(r.frames), "camera", c.Name, "result", r.result)
		}
	}
	e.family("egret_camera_restarts_total", counter, "Times that the camera's source was begun anew.")
	for i := range all {
		e.sample(float64(all[i].Restarts), "camera", all[i].Name)
	}
	e.family("egret_camera_waited_seconds_total", counter, "Time from capture to decoding, of all predicted frames.")
	for i := range all {
		e.sample(all[i].WaitedMs/1000, "camera", all[i].Name)
	}
	e.family("egret_camera_saved_seconds_total", counter, "Inference that the motion gate saved.")
	for i := range all {
		e.sample(all[i].SavedMs/1000, "camera", all[i].Name)
	}
	e.family("egret_camera_watchers", gauge, "Readers of the camera's live picture.")
	for i := range all {
		e.sample(float64(all[i].Watchers), "camera", all[i].Name)
	}
}

// inferenceKey is what tells the series of inference apart. Copies of a model
// that cameras have of their own are one with it, if they run alike.
type inferenceKey struct{ model, version, delegate, converted string }

// labels are the key's and then more. A model that runs as it is has no label
// converted.
func (k inferenceKey) labels(more ...string) []string {
	all := []string{"model", k.model, "version", k.version, "delegate", k.delegate}
	if k.converted != "" {
		all = append(all, "converted", k.converted)
	}
	return append(all, more...)
}

// inferenceSum is what the interpreters of one key did together.
type inferenceSum struct {
	invokes          Histogram
	answered, failed uint64
	duty             float64 // the lowest
}

func sumInference(models []Model) (order []inferenceKey, sums map[inferenceKey]*inferenceSum) {
	sums = map[inferenceKey]*inferenceSum{}
	for _, m := range models {
		for _, v := range m.Versions {
			for _, in := range v.Interpreters {
				key := inferenceKey{m.Name, strconv.Itoa(v.Version), in.Delegate, in.Converted}
				sum := sums[key]
				if sum == nil {
					sum = &inferenceSum{invokes: Histogram{Counts: make([]uint64, len(InvokeBounds))}, duty: in.Duty}
					order, sums[key] = append(order, key), sum
				}
				for i := range min(len(in.Invokes.Counts), len(InvokeBounds)) {
					sum.invokes.Counts[i] += in.Invokes.Counts[i]
				}
				sum.invokes.Count += in.Invokes.Count
				sum.invokes.Sum += in.Invokes.Sum
				sum.answered += in.Answered
				sum.failed += in.Failed
				sum.duty = min(sum.duty, in.Duty)
			}
		}
	}
	return order, sums
}

func (e *exposition) inference(models []Model) {
	e.family("egret_model_info", gauge, "1 for each loaded version of a model; serving tells whether it is the one that answers by the model's name.")
	for _, m := range models {
		for _, v := range m.Versions {
			e.sample(1, "model", m.Name, "version", strconv.Itoa(v.Version), "task", m.Task, "digest", v.Digest, "serving", strconv.FormatBool(v.Serving))
		}
	}
	order, sums := sumInference(models)
	e.family("egret_inference_duration_seconds", histogram, "Time of an Invoke.")
	for _, k := range order {
		e.histogram(InvokeBounds, sums[k].invokes, k.labels()...)
	}
	e.family("egret_inference_results_total", counter, "Inferences by how they ended.")
	for _, k := range order {
		e.sample(float64(sums[k].answered), k.labels("result", "answered")...)
		e.sample(float64(sums[k].failed), k.labels("result", "failed")...)
	}
	e.family("egret_inference_duty_ratio", gauge, "Share of the time that the governor lets the model work; 1 unless it is hot.")
	for _, k := range order {
		e.sample(sums[k].duty, k.labels()...)
	}
}

func (e *exposition) outbox(st *State) {
	a := &st.Delivery
	e.one("egret_outbox_produced_total", counter, "Predictions that were kept, over the life of the state folder.", float64(a.Produced))
	e.one("egret_outbox_acknowledged_total", counter, "Predictions that the broker acknowledged.", float64(a.Acknowledged))
	e.one("egret_outbox_duplicated_total", counter, "Predictions that were sent again and may have arrived twice.", float64(a.Duplicated))
	e.family("egret_outbox_dropped_total", counter, "Predictions that were given up, by reason.")
	for _, reason := range []string{"full", "thinned", "memory", "damaged", "refused"} {
		e.sample(float64(a.Dropped[reason]), "reason", reason)
	}
	e.one("egret_outbox_held", gauge, "Predictions in memory, not yet on disk.", float64(a.Held))
	e.one("egret_outbox_stored", gauge, "Predictions on disk.", float64(a.Stored))
	e.one("egret_outbox_stored_bytes", gauge, "Size of the predictions on disk.", float64(a.StoredBytes))
	e.one("egret_flash_written_bytes_total", counter, "What the outbox wrote since the agent's start.", float64(st.Flash.Written))
	if st.Flash.Budget > 0 {
		e.one("egret_flash_budget_bytes_per_day", gauge, "What the outbox may write in a day.", float64(st.Flash.Budget))
	}
	e.one("egret_flash_postponed", gauge, "1 while writing waits for the budget.", bit(st.Flash.Postponed))
}

func (e *exposition) broker(b *Broker) {
	e.one("egret_mqtt_enabled", gauge, "1 when there is a broker to connect to.", bit(b.Enabled))
	e.one("egret_mqtt_connected", gauge, "1 while the broker is connected.", bit(b.Connected))
	e.one("egret_mqtt_attempts_total", counter, "Attempts to connect.", float64(b.Attempts))
	if !b.Since.IsZero() {
		e.one("egret_mqtt_since_timestamp_seconds", gauge, "When the connection came to its present state.", seconds(b.Since))
	}
}

// releaseStates are all that an update can be in.
var releaseStates = []payload.ReleaseState{
	payload.Idle, payload.Downloading, payload.Verifying, payload.Probing, payload.Shadow, payload.Trial,
	payload.Committed, payload.RolledBack, payload.Rejected,
}

func (e *exposition) update(u *payload.Reported) {
	if u == nil {
		return
	}
	e.family("egret_update_state", gauge, "1 for the state that the update is in.")
	for _, state := range releaseStates {
		e.sample(bit(u.State == state), "state", string(state))
	}
	if !u.Since.IsZero() {
		e.one("egret_update_since_timestamp_seconds", gauge, "When the update came to its state.", seconds(u.Since))
	}
	if u.Progress != nil && u.Progress.Of > 0 {
		e.one("egret_update_progress_ratio", gauge, "How far the state's work is done.", float64(u.Progress.Done)/float64(u.Progress.Of))
	}
}

// host leaves out what this one cannot tell.
func (e *exposition) host(h *payload.HostTelemetry) {
	optional(e, "egret_host_temperature_celsius", "Temperature of the processor.", h.TemperatureC)
	optional(e, "egret_host_memory_available_bytes", "Memory that programs can still have.", h.MemAvailable)
	optional(e, "egret_host_memory_total_bytes", "Memory of the host.", h.MemTotal)
	optional(e, "egret_host_disk_free_bytes", "Room on the disk of the state folder.", h.DiskFree)
	optional(e, "egret_host_load1", "Load average over a minute.", h.Load1)
	if h.Throttled != nil {
		e.one("egret_host_throttled", gauge, "1 while the host slows itself down.", bit(*h.Throttled))
	}
}

func optional[T float64 | uint64](e *exposition, name, help string, v *T) {
	if v != nil {
		e.one(name, gauge, help, float64(*v))
	}
}

func (e *exposition) requests(st *State) {
	e.family("egret_predict_requests_total", counter, "Predictions that were asked for, by how that ended.")
	e.sample(float64(st.Requests.Answered), "result", "answered")
	e.sample(float64(st.Requests.Refused), "result", "refused")
	e.sample(float64(st.Requests.Late), "result", "late")
	e.sample(float64(st.Requests.Failed), "result", "failed")
	var c payload.CommandTelemetry
	if st.Commands != nil {
		c = *st.Commands
	}
	e.family("egret_commands_total", counter, "Commands, by how they ended.")
	e.sample(float64(c.Done), "result", "done")
	e.sample(float64(c.Failed), "result", "failed")
	e.sample(float64(c.Refused), "result", "refused")
	e.sample(float64(c.Retained), "result", "retained")
}

// http tells of the server itself.
func (s *Server) http(e *exposition) {
	e.family("egret_http_requests_total", counter, "Requests by route and class of status; none: a panic or a client that left first.")
	for _, name := range s.traffic.names {
		rt := s.traffic.route(name)
		for class, label := range []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
			if n := rt.classes[class].Load(); n > 0 {
				e.sample(float64(n), "route", name, "code", label)
			}
		}
	}
	e.family("egret_http_request_duration_seconds", histogram, "Time of a request by route; a stream's is its length.")
	for _, name := range s.traffic.names {
		if h := s.traffic.route(name).histogram(); h.Count > 0 {
			e.histogram(answerBounds, h, "route", name)
		}
	}
	e.family("egret_http_refused_total", counter, "Requests that the guard refused, by reason.")
	for i, reason := range refusals {
		e.sample(float64(s.guard.refused[i].Load()), "reason", reason)
	}
	e.one("egret_http_streams", gauge, "Live pictures and event streams that are open.", float64(s.streams.taken()))
	e.one("egret_http_streams_max", gauge, "How many may be.", float64(s.o.MaxStreams))
	e.one("egret_http_connections", gauge, "Connections that are open.", float64(s.conns.open()))
	e.one("egret_http_connections_evicted_total", counter, "Connections that waited and were closed to make room.", float64(s.conns.closed.Load()))
}

// seconds is a moment as Prometheus has it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
