package api_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// shipped finds the documents for operators.
func shipped(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "grafana", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// dashboardQueries are the expressions of the dashboard's panels.
func dashboardQueries(t *testing.T) (all []string) {
	t.Helper()
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(shipped(t, "egret.json"), &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q at %+v", p.ID, p.Title, p.GridPos)
		}
		ids[p.ID] = true
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%q lies on %q", p.Title, q.Title)
			}
		}
		for _, target := range p.Targets {
			if !strings.Contains(target.Expr, `instance=~"$instance"`) {
				t.Errorf("%q shows all instances", p.Title)
			}
			all = append(all, target.Expr)
		}
	}
	names := []string{}
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if v.Definition != "" {
			all = append(all, strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ", "+v.Name+")"))
		}
	}
	if !slices.Equal(names, []string{"datasource", "device", "instance"}) || len(all) < 20 {
		t.Errorf("variables %v, %d expressions", names, len(all))
	}
	return all
}

// alertQueries are the expressions of the alerts.
func alertQueries(t *testing.T) (all []string) {
	t.Helper()
	var d struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For string
				Labels           struct{ Severity string }
				Annotations      struct{ Summary, Description string }
			}
		}
	}
	if err := yaml.Unmarshal(shipped(t, "alerts.yaml"), &d); err != nil {
		t.Fatal(err)
	}
	for _, g := range d.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Annotations.Summary == "" || r.Annotations.Description == "" ||
				!slices.Contains([]string{"info", "warning", "critical"}, r.Labels.Severity) {
				t.Errorf("alert %+v", r)
			}
			all = append(all, r.Expr)
		}
	}
	if len(all) < 10 {
		t.Errorf("%d alerts", len(all))
	}
	return all
}

var (
	metricWord = regexp.MustCompile(`\b(?:egret|go|process)_\w+|\bup\b`)
	selector   = regexp.MustCompile(`(\w+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"`)
)

// TestQueries: what dashboard and alerts ask for exists, with the labels by
// which they choose and at least one value of each that they name.
func TestQueries(t *testing.T) {
	text, families := scrape(t, serve(t))
	labels := map[string]map[string][]string{} // by sample, then label: its values
	for line := range strings.Lines(text) {
		name := regexp.MustCompile(`^\w+`).FindString(line)
		if labels[name] == nil {
			labels[name] = map[string][]string{}
		}
		for _, m := range matcher.FindAllStringSubmatch(line, -1) {
			labels[name][m[1]] = append(labels[name][m[1]], m[2])
		}
	}
	if len(families) == 0 {
		t.Fatal("no metrics")
	}
	for _, q := range append(dashboardQueries(t), alertQueries(t)...) {
		checkBrackets(t, q)
		for _, name := range metricWord.FindAllString(q, -1) {
			if labels[name] == nil && name != "up" && !strings.HasPrefix(name, "egret_http_request_duration_seconds") && name != "egret_http_requests_total" {
				t.Errorf("there is no %s, asked for by %s", name, q)
			}
		}
		for _, sel := range selector.FindAllStringSubmatch(q, -1) {
			checkMatchers(t, q, labels[sel[1]], sel[2])
		}
	}
}

func checkMatchers(t *testing.T, q string, have map[string][]string, matchers string) {
	t.Helper()
	rest := matcher.ReplaceAllString(matchers, "")
	if strings.Trim(rest, ", ") != "" {
		t.Errorf("%q is no matcher in %s", rest, q)
	}
	for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
		if name := m[1]; name == "instance" || name == "job" || name == "route" || strings.HasPrefix(m[2], "$") {
			continue // Prometheus' own, or that of what was asked for so far
		}
		for _, value := range strings.Split(m[2], "|") {
			if !slices.Contains(have[m[1]], value) {
				t.Errorf("%s is never %q in %s", m[1], value, q)
			}
		}
	}
}

func checkBrackets(t *testing.T, q string) {
	t.Helper()
	var open []rune
	pairs := map[rune]rune{')': '(', ']': '[', '}': '{'}
	for _, r := range regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).ReplaceAllString(q, "") {
		switch {
		case strings.ContainsRune("([{", r):
			open = append(open, r)
		case pairs[r] != 0:
			if len(open) == 0 || open[len(open)-1] != pairs[r] {
				t.Fatalf("brackets of %s", q)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("brackets of %s", q)
	}
}
