package agent

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
	"github.com/egret-edge/egret/tflite/requant"
)

// writePictures writes one of each corner of the colour cube.
func writePictures(t *testing.T) (files []string) {
	t.Helper()
	dir := t.TempDir()
	for class := range 8 {
		var b bytes.Buffer
		if err := png.Encode(&b, smallmodel.Picture(class, 64)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, smallmodel.Label(class)+".png")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	return files
}

func TestConvertedModelAgrees(t *testing.T) {
	o := smallOptions
	o.Type = smallmodel.UInt8
	b := smallBundle(t, o)
	pictures := append(writePictures(t), "none.png")
	for _, to := range []string{ToInt8, ToFloat32} {
		converted, report, err := Convert(b, to, requant.Options{}, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if report.To != to || converted.Digest == b.Digest || len(converted.Labels) != len(b.Labels) || len(converted.Manifest.Golden) != 1 {
			t.Errorf("%s: report %+v, bundle %+v", to, report, converted)
		}
		watched := 0
		c, err := Compare(t.Context(), Comparing{
			Original: Side{b, tflite.CPU, 1}, Converted: Side{converted, tflite.XNNPACK, 1},
			Pictures: pictures, Inputs: 27, Timeout: time.Minute, Watch: func() { watched++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		// Three inputs of each picture, of which one is not there.
		if c.Inputs != 24 || watched != 24 || c.Pictures != 9 || c.Failed != 1 {
			t.Errorf("%s: %d inputs of %d pictures, %d of them failed", to, c.Inputs, c.Pictures, c.Failed)
		}
		if share, ok := c.Share(); !ok || share != 1 || c.Clear < 8 || c.Task != tflite.Classify {
			t.Errorf("%s: agreement %+v", to, c.Agreement)
		}
		if c.Speedup <= 0 || c.Original.Delegate != tflite.CPU || c.Converted.Delegate != tflite.XNNPACK || c.Converted.Delegated == 0 {
			t.Errorf("%s: %+v beside %+v", to, c.Converted, c.Original)
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	var refusal *requant.Refusal
	if _, _, err := Convert(smallBundle(t, smallOptions), ToInt8, requant.Options{}, t.TempDir()); !errors.As(err, &refusal) {
		t.Errorf("an int8 model gave %v", err)
	}
	if _, _, err := Convert(smallBundle(t, smallOptions), "int4", requant.Options{}, t.TempDir()); err == nil || !strings.Contains(err.Error(), `"int4"`) {
		t.Errorf("int4 gave %v", err)
	}
}

func TestComparePictures(t *testing.T) {
	b := smallBundle(t, smallOptions)
	both := Comparing{Original: Side{b, tflite.CPU, 1}, Converted: Side{b, tflite.CPU, 1}, Inputs: 24, Timeout: time.Minute}
	if c, err := Compare(t.Context(), both); err != nil || c.Drawn != 6 || c.Pictures != 6 || c.Inputs != 24 || c.Top1 != 1 || c.Clear == 0 {
		t.Errorf("on drawings %+v, %v", c, err)
	}
	both.Budget, both.Least = time.Nanosecond, 9
	if c, err := Compare(t.Context(), both); err != nil || c.Inputs != 9 {
		t.Errorf("with no time %d inputs, %v; want the least, 9", c.Inputs, err)
	}
	both.Pictures = []string{"none.png"}
	if _, err := Compare(t.Context(), both); err == nil || !strings.Contains(err.Error(), "none of 1 pictures") {
		t.Errorf("no picture that can be read gave %v", err)
	}
}

func TestVariationsAreTheSameEachTime(t *testing.T) {
	file := writePictures(t)[1]
	one, err := newVariations(file, 4)
	if err != nil {
		t.Fatal(err)
	}
	two, err := newVariations(file, 4)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newVariations(file, 5)
	if err != nil {
		t.Fatal(err)
	}
	differ := 0
	for k := range 10 {
		a, b, c := one.next(k), two.next(k), other.next(k)
		if a.Width != b.Width || a.Height != b.Height || len(a.Data) != 3*a.Width*a.Height || !bytes.Equal(a.Data, b.Data) {
			t.Errorf("variation %d differs from itself", k)
		}
		if !bytes.Equal(a.Data, c.Data) {
			differ++
		}
	}
	if differ != 9 { // the first is the picture itself
		t.Errorf("with another seed %d of 10 variations differ, want 9", differ)
	}
}
