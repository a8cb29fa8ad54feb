package api_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/apitest"
)

// scrape reads /metrics as Prometheus does.
func scrape(t *testing.T, s *site) (string, map[string]*dto.MetricFamily) {
	t.Helper()
	res, text := s.do(t, "GET", "/metrics", "")
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %s %s", res.StatusCode, res.Header.Get("Content-Type"), text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return text, families
}

// varying are samples whose value, or label, is not the same in each run.
var varying = regexp.MustCompile(`(?m)^((?:go_|process_|egret_http_request_duration)\S*) \S+$`)

func TestMetricsGolden(t *testing.T) {
	s := serve(t)
	s.do(t, "GET", "/api/status", "")
	s.do(t, "GET", "/api/nothing", "")
	s.do(t, "GET", "/healthz", "", "Host: evil.example.com")
	text, _ := scrape(t, s)
	text = varying.ReplaceAllString(text, "$1 _")
	text = regexp.MustCompile(`version="go1[^"]*"`).ReplaceAllString(text, `version="go"`)
	path := filepath.Join("testdata", "metrics.txt")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("not as in %s; run with -update when it shall be:\n%s", path, text)
	}
}

// TestMetricsNames: names and labels are as Prometheus' users expect them.
func TestMetricsNames(t *testing.T) {
	_, families := scrape(t, serve(t))
	if len(families) < 40 {
		t.Errorf("%d families: some are missing", len(families))
	}
	for name, f := range families {
		isTotal := strings.HasSuffix(name, "_total") || name == "process_cpu_seconds_total" || name == "go_gc_cycles_total_gc_cycles_total"
		if isCounter := f.GetType() == dto.MetricType_COUNTER; isCounter != isTotal && !strings.HasPrefix(name, "go_") {
			t.Errorf("%s is a %v", name, f.GetType())
		}
		if regexp.MustCompile(`_(ms|us|millis|kb|mb|percent)(_|$)`).MatchString(name) {
			t.Errorf("%s is not in base units", name)
		}
		if !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s has the help %q", name, f.GetHelp())
		}
	}
}

// TestMetricsSums: copies of a model are one series, and a strange name breaks
// nothing.
func TestMetricsSums(t *testing.T) {
	s := serve(t, func(o *api.Options) {
		o.Device = &apitest.Fake{StateFunc: func() api.State {
			st := apitest.State()
			st.Models[0].Name = "a\"b\\c\nd\xff{"
			st.Update, st.Commands, st.Broker, st.Delivery.Dropped = nil, nil, api.Broker{}, nil
			st.Host.TemperatureC, st.NotReady = nil, []string{"no camera runs"}
			return st
		}}
	})
	_, families := scrape(t, s)
	var found bool
	for _, m := range families["egret_inference_duration_seconds"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "model" && l.GetValue() == "a\"b\\c\nd\uFFFD{" && m.GetHistogram().GetSampleCount() == 180 {
				found = true
			}
		}
	}
	if !found {
		t.Error("the two copies of a model are not one series of 180")
	}
	for _, gone := range []string{"egret_host_temperature_celsius", "egret_update_state", "egret_mqtt_since_timestamp_seconds"} {
		if families[gone] != nil {
			t.Errorf("%s is told and not known", gone)
		}
	}
	if v := families["egret_ready"].GetMetric()[0].GetGauge().GetValue(); v != 0 {
		t.Errorf("egret_ready is %v", v)
	}
}

// TestMetricsAreDocumented: the table names each family of ours.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "API.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, families := scrape(t, serve(t))
	for name := range families {
		if !strings.HasPrefix(name, "egret_") || strings.Contains(string(text), name) {
			continue
		}
		short := false // as _total beside a name in full
		for _, group := range []string{"egret_outbox", "egret_host"} {
			if rest, ok := strings.CutPrefix(name, group); ok && strings.Contains(string(text), "`"+rest+"`") {
				short = true
			}
		}
		if !short {
			t.Errorf("%s is not documented", name)
		}
	}
}
