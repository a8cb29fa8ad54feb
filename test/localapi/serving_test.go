package localapi

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/egret-edge/egret/agent/api/serving/servingtest"
	"github.com/egret-edge/egret/tflite"
)

// describe is what the model in a folder of the repository is.
func describe(t *testing.T, path string) (tflite.Info, []string) {
	t.Helper()
	b, err := tflite.OpenBundle(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Load(b, tflite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return m.Info(), b.Labels
}

// TestServingCalls makes every call of TensorFlow Serving's description to the
// agent, while its camera uses the same model.
func TestServingCalls(t *testing.T) {
	t.Parallel()
	d := newDevice(t, fmt.Sprintf(peacocks, "dashboard: true")).begin().answers()
	info, labels := describe(t, mobilenet)
	pictures := 0
	servingtest.Run(t, servingtest.Subject{
		Client: d.client, URL: d.url, Model: "m", Version: info.Version, Info: info,
		Picture: file(t, "samples/classify/peacock.png"),
		Check: func(t *testing.T, c servingtest.Call, body []byte) {
			if c.Status != 200 || !strings.Contains(c.Body, "$B64") && !strings.Contains(c.Body, "$PNG") {
				return
			}
			pictures++
			if best := lastBest(t, body, labels); best != "peacock" {
				t.Errorf("the picture is a %s", best)
			}
		},
	}, servingtest.Calls)
	if pictures < 8 {
		t.Errorf("%d calls had a picture: this test looks at the wrong thing", pictures)
	}
	if s := d.state().Requests; s.Answered == 0 || s.Failed+s.Late+s.Refused > 0 {
		t.Errorf("requests: %+v", s)
	}
}

// lastBest is the best label of an answer's last example.
func lastBest(t *testing.T, body []byte, labels []string) string {
	t.Helper()
	var answer struct {
		Predictions, Outputs [][]float64
		Results              [][][2]any
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if r := answer.Results; len(r) > 0 {
		return fmt.Sprint(r[len(r)-1][0][0])
	}
	rows := append(answer.Predictions, answer.Outputs...)
	if len(rows) == 0 {
		t.Fatalf("no rows in %s", body)
	}
	last := rows[len(rows)-1]
	return labels[slices.Index(last, slices.Max(last))]
}
