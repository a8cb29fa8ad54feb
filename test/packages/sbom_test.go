package packages

import (
	"bufio"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestBillOfMaterials: it names what the package's binary was linked from, the
// native parts and the models, and is CycloneDX by that standard's own schema.
func TestBillOfMaterials(t *testing.T) {
	schema := bomSchema(t)
	for _, arch := range architectures {
		path := one(t, "egret_*_"+arch+".cdx.json")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var bom cdx.BOM
		if err := json.Unmarshal(text, &bom); err != nil {
			t.Fatal(err)
		}
		names(t, arch, &bom)
	}
}

func names(t *testing.T, arch string, bom *cdx.BOM) {
	t.Helper()
	got := map[string]cdx.Component{}
	for _, c := range *bom.Components {
		got[c.Name] = c
	}
	binary := filepath.Join(unpack(t, arch), "usr/bin/egret")
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) == 0 {
		t.Fatalf("%s: the binary names no modules", arch)
	}
	for _, dep := range info.Deps {
		if c := got[dep.Path]; c.Version != dep.Version || c.PackageURL != "pkg:golang/"+dep.Path+"@"+dep.Version || c.Hashes == nil || c.Licenses == nil {
			t.Errorf("%s: %s %s is not in the bill of materials as it should be: %+v", arch, dep.Path, dep.Version, c)
		}
	}
	want := map[string]string{"std": strings.TrimPrefix(info.GoVersion, "go"), "TensorFlow Lite": "2.9.0", "libjpeg-turbo": "", "mobilenet_v1_1.0_224_quant": "1", "ssd_mobilenet_v1_quant": "1"}
	for name, version := range want {
		if c, found := got[name]; !found || version != "" && c.Version != version || c.Version == "" {
			t.Errorf("%s: %s %s is not in the bill of materials: %+v", arch, name, version, c)
		}
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(content)); (*bom.Metadata.Component.Hashes)[0].Value != sum {
		t.Errorf("%s: the bill of materials is of another binary", arch)
	}
}

// bomSchema is the standard's schema as the library's module carries it.
func bomSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir := strings.TrimSpace(run(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))
	compiler := jsonschema.NewCompiler()
	for url, file := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json":   "bom-1.6.schema.json",
		"http://cyclonedx.org/schema/spdx.schema.json":      "spdx.schema.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json":  "jsf-0.82.schemax.json",
		"http://cyclonedx.org/schema/jsf-0.82.schemax.json": "jsf-0.82.schemax.json",
	} {
		f, err := os.Open(filepath.Join(dir, "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(url, document); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestSums: SHA256SUMS names every file that is given to people, and is right.
func TestSums(t *testing.T) {
	dist := os.Getenv("EGRET_DIST")
	file, err := os.Open(filepath.Join(dist, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	listed := map[string]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		sum, name, found := strings.Cut(lines.Text(), "  ")
		content, err := os.ReadFile(filepath.Join(dist, name))
		if !found || err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != sum {
			t.Errorf("%s: SHA-256 is %s, the list has %s", name, got, sum)
		}
		listed[name] = true
	}
	// Two packages, two bills of materials, seven archives of the tool.
	if len(listed) != 11 {
		t.Errorf("SHA256SUMS lists %d files: %v", len(listed), listed)
	}
	entries, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && e.Name() != "SHA256SUMS" && !listed[e.Name()] {
			t.Errorf("%s is not in SHA256SUMS", e.Name())
		}
	}
}
