package web

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// files are the dashboard's, by name.
func files(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	names, err := fs.Glob(Files, "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(Files, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(data)
	}
	if all["index.html"] == "" || all["app.js"] == "" {
		t.Fatalf("the files are %v", names)
	}
	return all
}

func TestFilesAskNobodyElse(t *testing.T) {
	url := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]{2,}`)
	for name, text := range files(t) {
		// A name space is no address that anybody asks.
		text = strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "")
		if found := url.FindString(text); found != "" {
			t.Errorf("%s names %s", name, found)
		}
	}
}

// TestPageKeepsToAStrictPolicy holds what the policy would refuse in a browser.
func TestPageKeepsToAStrictPolicy(t *testing.T) {
	for what, pattern := range map[string]string{
		"a style attribute": `<[^>]+\sstyle\s*=`, "a handler attribute": `<[^>]+\son[a-z]+\s*=`,
		"a style element": `<style`, "an inline script": `<script[^>]*>[^<]`,
	} {
		if found := regexp.MustCompile(pattern).FindString(files(t)["index.html"]); found != "" {
			t.Errorf("index.html has %s: %s", what, found)
		}
	}
	for name, text := range files(t) {
		if found := regexp.MustCompile(`\.(innerHTML|outerHTML|insertAdjacentHTML)|document\.write|\beval\(|new Function|console\.`).FindString(text); found != "" {
			t.Errorf("%s uses %s", name, found)
		}
	}
}

func TestNamesMeet(t *testing.T) {
	all := files(t)
	for name, text := range all {
		for _, m := range regexp.MustCompile(`byId\("([^"]+)"\)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(all["index.html"], `id="`+m[1]+`"`) {
				t.Errorf("%s looks for #%s, which index.html has not", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`(?:from|src=|href=) ?"(?:\./)?([a-z]+\.(?:js|css|svg))"`).FindAllStringSubmatch(text, -1) {
			if all[m[1]] == "" {
				t.Errorf("%s asks for %s, which is not there", name, m[1])
			}
		}
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(all["index.html"], -1) {
		if seen[m[1]] {
			t.Errorf("index.html has two of #%s", m[1])
		}
		seen[m[1]] = true
	}
}

// TestFilesAreSmall holds the page to what a slow radio link brings in a second
// or two, uncompressed.
func TestFilesAreSmall(t *testing.T) {
	sum := 0
	for _, text := range files(t) {
		sum += len(text)
	}
	if sum > 96<<10 {
		t.Errorf("the dashboard has %d bytes", sum)
	}
}
