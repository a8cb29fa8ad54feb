package serving_test

import (
	"os"
	"strings"
	"testing"

	"github.com/egret-edge/egret/agent/api/serving/servingtest"
)

// The page for users names the row of every call, and no row twice.
func TestDocsNameEveryCall(t *testing.T) {
	data, err := os.ReadFile("../../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(data), "\n## TensorFlow Serving's REST\n")
	page, _, _ = strings.Cut(page, "\n## ")
	seen := map[string]bool{}
	for _, c := range servingtest.Calls {
		if seen[c.Name] {
			t.Errorf("two rows are called %q", c.Name)
		}
		seen[c.Name] = true
		if n := strings.Count(page, "`"+c.Name+"`"); n != 1 && c.Name != "metadata" {
			t.Errorf("docs/API.md names %q %d times", c.Name, n)
		}
	}
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[2], "`") {
			continue
		}
		for i, name := range strings.Split(cells[2], "`") {
			if i%2 == 1 && !seen[name] {
				t.Errorf("docs/API.md names the row %q, which is not there", name)
			}
		}
	}
}
