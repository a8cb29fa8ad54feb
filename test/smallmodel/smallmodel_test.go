package smallmodel_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/smallmodel"
)

var types = map[string]smallmodel.Type{"int8": smallmodel.Int8, "uint8": smallmodel.UInt8, "float32": smallmodel.Float32}

func TestBytesAreDeterministic(t *testing.T) {
	for name, typ := range types {
		one := smallmodel.Classifier(smallmodel.Options{Type: typ, Seed: 7})
		if !bytes.Equal(one, smallmodel.Classifier(smallmodel.Options{Type: typ, Seed: 7})) {
			t.Errorf("%s: the same options gave other bytes", name)
		}
		if bytes.Equal(one, smallmodel.Classifier(smallmodel.Options{Type: typ, Seed: 8})) {
			t.Errorf("%s: another seed gave the same bytes", name)
		}
		if limit := 300 << 10; len(one) > limit {
			t.Errorf("%s: %d bytes, want at most %d", name, len(one), limit)
		}
	}
}

func TestInvalidOptions(t *testing.T) {
	for want, o := range map[string]smallmodel.Options{
		"Side: 98":     {Side: 98},
		"Side: -4":     {Side: -4},
		"Side: 1028":   {Side: 1028},
		"Channels: 7":  {Channels: 7},
		"Layers: 1":    {Layers: 1},
		"Layers: 65":   {Layers: 65},
		"Classes: 1":   {Classes: 1},
		"Classes: -1":  {Classes: -1},
		"Type: 3":      {Type: 3},
		"Type: -1":     {Type: -1},
		"from 2 to 64": {Layers: 1000},
	} {
		dir := filepath.Join(t.TempDir(), "bundle")
		if err := smallmodel.WriteBundle(dir, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v gave %v, want an error with %q", o, err, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%+v left a bundle", o)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Classifier(%+v) did not panic", o)
				}
			}()
			smallmodel.Classifier(o)
		}()
	}
}

func TestWriteBundleWhereItCannot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := smallmodel.WriteBundle(file, smallmodel.Options{Side: 8}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file in the bundle's place gave %v", err)
	}
}
