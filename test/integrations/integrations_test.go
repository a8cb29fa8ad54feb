// Package integrations keeps configs/integrations true: every topic, JSON path,
// measurement and field that the examples name is one that egret publishes. It
// does not run the tools they are for.
package integrations

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/egret-edge/egret/sync/payload"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

// published are the golden messages by topic, with every field that may be
// left out.
func published(t *testing.T) map[string]any {
	t.Helper()
	var tel payload.Telemetry
	decode(t, read(t, "sync/payload/testdata/telemetry.json"), &tel)
	tel.Flash.Postponed = true
	tel.Host = payload.HostTelemetry{
		TemperatureC: new(51.5), Throttled: new(false), Load1: new(0.5),
		MemAvailable: new(uint64(1)), MemTotal: new(uint64(2)), DiskFree: new(uint64(3)), RSS: new(uint64(4)),
	}
	for name, camera := range tel.Cameras {
		camera.LastError = "no such device"
		tel.Cameras[name] = camera
	}
	text, err := json.Marshal(tel)
	if err != nil {
		t.Fatal(err)
	}
	var telemetry, prediction any
	decode(t, text, &telemetry)
	decode(t, read(t, "sync/payload/testdata/detect.json"), &prediction)
	topics := payload.Topics{Fleet: "default", Device: "cam-7"}
	return map[string]any{topics.Telemetry(): telemetry, topics.Predictions(): []any{prediction}}
}

// message is what is published on the one topic that a filter matches.
func message(t *testing.T, filter string) any {
	t.Helper()
	levels := strings.Split(filter, "/")
	var found []any
	for topic, m := range published(t) {
		if slices.EqualFunc(levels, strings.Split(topic, "/"), func(a, b string) bool { return a == "+" || a == b }) {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%q matches %d of egret's topics, want one", filter, len(found))
	}
	return found[0]
}

// walk goes the steps of a path from the last of the nodes that led here. A *
// takes the first child.
func walk(nodes []any, path string) ([]any, bool) {
	if strings.HasPrefix(path, "/") {
		nodes, path = nodes[:1], path[1:]
	}
	nodes = slices.Clone(nodes)
	for step := range strings.SplitSeq(path, "/") {
		var child any
		switch here := nodes[len(nodes)-1].(type) {
		case map[string]any:
			child = here[step]
			if step == "*" {
				for _, name := range slices.Sorted(maps.Keys(here)) {
					child = here[name]
					break
				}
			}
		case []any:
			if len(here) > 0 && (step == "*" || step == "*[1]") {
				child = here[0]
			}
		}
		switch {
		case step == ".":
		case step == ".." && len(nodes) > 1:
			nodes = nodes[:len(nodes)-1]
		case child == nil:
			return nil, false
		default:
			nodes = append(nodes, child)
		}
	}
	return nodes, true
}

func leaf(v any) bool {
	switch v.(type) {
	case map[string]any, []any, nil:
		return false
	}
	return true
}

type consumer struct {
	Topics       []string
	TopicParsing []struct{ Topic, Tags string } `toml:"topic_parsing"`
	XPath        []struct {
		Name      string            `toml:"metric_name"`
		Selection string            `toml:"metric_selection"`
		Timestamp string            `toml:"timestamp"`
		Tags      map[string]string `toml:"tags"`
		Fields    map[string]string `toml:"fields"`
	} `toml:"xpath"`
}

var call = regexp.MustCompile(`^(string|name|count)\((.*)\)$`)

// measurements are what telegraf.conf produces: the tags and fields of each.
// It fails for paths that lead nowhere in what egret publishes.
func measurements(t *testing.T) map[string][]string {
	t.Helper()
	var conf struct {
		Inputs struct {
			Consumers []consumer `toml:"mqtt_consumer"`
		} `toml:"inputs"`
	}
	if err := toml.Unmarshal(read(t, "configs/integrations/telegraf.conf"), &conf); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, c := range conf.Inputs.Consumers {
		if len(c.Topics) != 1 || len(c.TopicParsing) != 1 || c.TopicParsing[0].Topic != c.Topics[0] {
			t.Fatalf("topics %q and topic_parsing %q: want the same one", c.Topics, c.TopicParsing)
		}
		levels := strings.Split(c.Topics[0], "/")
		var fromTopic []string
		for i, tag := range strings.Split(c.TopicParsing[0].Tags, "/") {
			if tag != "_" && i < len(levels) && levels[i] == "+" {
				fromTopic = append(fromTopic, tag)
			}
		}
		root := []any{message(t, c.Topics[0])}
		for _, x := range c.XPath {
			name := strings.Trim(call.FindStringSubmatch(x.Name)[2], "'")
			selected, ok := walk(root, x.Selection)
			if x.Selection == "" {
				selected, ok = root, true
			}
			if !ok {
				t.Errorf("%s: nothing at %s", name, x.Selection)
				continue
			}
			if _, ok := walk(selected, x.Timestamp); x.Timestamp != "" && !ok {
				t.Errorf("%s: no timestamp at %s", name, x.Timestamp)
			}
			all[name] = fromTopic
			for _, queries := range []map[string]string{x.Tags, x.Fields} {
				for key, path := range queries {
					f := call.FindStringSubmatch(path)
					if f != nil {
						path = f[2]
					}
					if at, ok := walk(selected, path); !ok || f == nil && !leaf(at[len(at)-1]) {
						t.Errorf("%s: %s: no value at %s", name, key, path)
					}
					all[name] = append(all[name], key)
				}
			}
		}
	}
	if len(all) != 6 {
		t.Errorf("%d measurements, want 6: this test looks at the wrong thing", len(all))
	}
	return all
}

func TestTelegraf(t *testing.T) { measurements(t) }

type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct{ Query, Alias string }
}

var (
	from   = regexp.MustCompile(`FROM "(\w+)"`)
	as     = regexp.MustCompile(` AS "[^"]+"`)
	quoted = regexp.MustCompile(`"([^"]+)"`)
	byTag  = regexp.MustCompile(`\$tag_(\w+)`)
)

// ask holds a query against what Telegraf writes and returns the names in it.
func ask(t *testing.T, made map[string][]string, title, query string) []string {
	t.Helper()
	m := from.FindStringSubmatch(query)
	if m == nil || made[m[1]] == nil {
		t.Errorf("%s: telegraf.conf makes no measurement %q", title, m)
		return nil
	}
	var names []string
	rest := as.ReplaceAllString(strings.Replace(query, m[0], "", 1), "")
	for _, q := range quoted.FindAllStringSubmatch(rest, -1) {
		if !slices.Contains(made[m[1]], q[1]) {
			t.Errorf("%s: telegraf.conf gives %s no %q", title, m[1], q[1])
		}
		names = append(names, q[1])
	}
	return names
}

func TestGrafana(t *testing.T) {
	var dash struct {
		Title         string
		UID           string
		SchemaVersion int
		Panels        []panel
		Templating    struct {
			List []struct{ Name, Type, Query string }
		}
	}
	decode(t, read(t, "configs/integrations/grafana.json"), &dash)
	if dash.Title == "" || dash.UID == "" || dash.SchemaVersion < 36 || len(dash.Panels) < 10 {
		t.Errorf("title %q, uid %q, schemaVersion %d, %d panels", dash.Title, dash.UID, dash.SchemaVersion, len(dash.Panels))
	}
	made := measurements(t)
	for _, v := range dash.Templating.List {
		if v.Type == "query" {
			ask(t, made, "variable "+v.Name, v.Query)
		}
	}
	for i, p := range dash.Panels {
		a := p.GridPos
		if p.ID <= 0 || p.Title == "" || a.X < 0 || a.Y < 0 || a.W <= 0 || a.H <= 0 || a.X+a.W > 24 || len(p.Targets) == 0 {
			t.Errorf("panel %d %q at %+v with %d queries", p.ID, p.Title, a, len(p.Targets))
		}
		for _, other := range dash.Panels[:i] {
			b := other.GridPos
			if p.ID == other.ID || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q share an id or overlap", other.Title, p.Title)
			}
		}
		for _, target := range p.Targets {
			names := ask(t, made, p.Title, target.Query)
			for _, tag := range byTag.FindAllStringSubmatch(target.Alias, -1) {
				if !slices.Contains(names, tag[1]) {
					t.Errorf("%s: %s is not in the query", p.Title, tag[0])
				}
			}
		}
	}
}

type node struct {
	ID, Type, Z, Name, Topic, Broker, Func string
	Wires                                  [][]string
	Env                                    []struct{ Name string }

	ClientID                      string
	CleanSession, AutoUnsubscribe bool
}

var (
	// property is a path from one of the variables that the functions share: the
	// prediction, a result, the telemetry, a camera in it.
	property = regexp.MustCompile(`\b(p|r|best|t|c)\.([\w.]+)(\(?)`)
	setting  = regexp.MustCompile(`env\.get\('(\w+)'\)`)
)

func TestNodeRED(t *testing.T) {
	var flow []node
	decode(t, read(t, "configs/integrations/node-red.json"), &flow)
	byID, env, used := map[string]node{}, map[string]bool{}, 0
	for _, n := range flow {
		if _, twice := byID[n.ID]; twice || n.ID == "" {
			t.Errorf("%s %q: its id %q is taken", n.Type, n.Name, n.ID)
		}
		byID[n.ID] = n
		for _, e := range n.Env {
			env[e.Name] = true
		}
	}
	topics := payload.Topics{Fleet: "+", Device: "+"}
	prediction, telemetry := message(t, topics.Predictions()), message(t, topics.Telemetry())
	starts := map[string][2]any{
		"p": {prediction, "*"}, "r": {prediction, "*/results/*"}, "best": {prediction, "*/results/*"},
		"t": {telemetry, "."}, "c": {telemetry, "cameras/*"},
	}
	for _, n := range flow {
		for _, to := range slices.Concat(n.Wires...) {
			if _, ok := byID[to]; !ok {
				t.Errorf("%s %q is wired to %q, which is not there", n.Type, n.Name, to)
			}
		}
		if n.Type != "tab" && n.Type != "mqtt-broker" && byID[n.Z].Type != "tab" {
			t.Errorf("%s %q is on no tab", n.Type, n.Name)
		}
		if strings.HasPrefix(n.Type, "mqtt ") && byID[n.Broker].Type != "mqtt-broker" {
			t.Errorf("%s %q has no broker", n.Type, n.Name)
		}
		// What comes while Node-RED is away is kept only by a session that stays.
		if n.Type == "mqtt-broker" && (n.ClientID == "" || n.CleanSession || n.AutoUnsubscribe) {
			t.Errorf("%q: client id %q, cleansession %v, autoUnsubscribe %v", n.Name, n.ClientID, n.CleanSession, n.AutoUnsubscribe)
		}
		if n.Type == "mqtt in" {
			message(t, n.Topic)
		}
		for _, s := range setting.FindAllStringSubmatch(n.Func, -1) {
			if !env[s[1]] {
				t.Errorf("%q asks for %s, which the flow does not set", n.Name, s[1])
			}
		}
		for _, m := range property.FindAllStringSubmatch(n.Func, -1) {
			path := strings.Split(m[2], ".")
			if m[3] != "" {
				path = path[:len(path)-1] // a method of what stands before
			}
			start, _ := walk([]any{starts[m[1]][0]}, starts[m[1]][1].(string))
			if _, ok := walk(start, strings.Join(path, "/")); !ok {
				t.Errorf("%q: egret publishes no %s", n.Name, m[0])
			}
			used++
		}
	}
	if used < 10 {
		t.Errorf("%d paths in the functions: this test looks at the wrong thing", used)
	}
}
