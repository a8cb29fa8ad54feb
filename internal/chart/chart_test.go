package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// shapes counts the elements of a well-formed drawing, and collects its text.
func shapes(t *testing.T, drawing []byte) (count map[string]int, text string) {
	t.Helper()
	count = map[string]int{}
	for d := xml.NewDecoder(bytes.NewReader(drawing)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count, text
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, drawing)
		}
		switch e := token.(type) {
		case xml.StartElement:
			count[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			text += string(e)
		}
	}
}

func TestDrawings(t *testing.T) {
	for _, tt := range []struct {
		name  string
		draw  func(io.Writer) error
		shape string
		want  int
		words []string
	}{
		{"bars", func(w io.Writer) error {
			return Bars(w, "a <title> & more", "ms", []Bar{{Label: "cpu × 1", Value: 40}, {Label: "xnnpack", Value: 7.25, Mark: "auto", Series: 9}})
		}, "rect", 3, []string{"a <title> & more", "cpu × 1", "7.25 auto"}},
		{"no bars", func(w io.Writer) error { return Bars(w, "", "", nil) }, "rect", 1, nil},
		{"bars of nothing", func(w io.Writer) error { return Bars(w, "", "", []Bar{{Label: "x"}}) }, "rect", 2, []string{"0.00"}},
		{"points", func(w io.Writer) error {
			return Points(w, "t", "ms", "top-1", []Point{{"a", 7.2, 0.71}, {"b", 36, 0.68}})
		}, "circle", 2, []string{"a", "b", "ms", "top-1"}},
		{"a point at zero", func(w io.Writer) error { return Points(w, "t", "x", "y", []Point{{"a", 0, 0}}) }, "circle", 1, nil},
		{"panels", func(w io.Writer) error {
			return Panels(w, "t", "minutes", 1, []Panel{{Title: "a", Line: []XY{{0, 1}, {6, 3}}, Dots: []XY{{2, 2}, {3, 2}}}, {Title: "b", Dots: []XY{{4, 0}}}})
		}, "circle", 3, []string{"t", "minutes", "a", "b", "6"}},
		{"panels of nothing", func(w io.Writer) error { return Panels(w, "t", "", 5, []Panel{{Title: "a"}}) }, "rect", 2, []string{"a"}},
		{"matrix", func(w io.Writer) error {
			return Matrix(w, "t", "true", "seen", []string{"cat", "a very long name of a class indeed"}, []string{"cat", "other"}, [][]int{{3, 1}, {0, 0}})
		}, "rect", 5, []string{"cat", "…", "3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := tt.draw(&b); err != nil {
				t.Fatal(err)
			}
			count, text := shapes(t, b.Bytes())
			if count[tt.shape] != tt.want {
				t.Errorf("%d × <%s>, want %d", count[tt.shape], tt.shape, tt.want)
			}
			for _, word := range tt.words {
				if !strings.Contains(text, word) {
					t.Errorf("%q is not in the drawing", word)
				}
			}
		})
	}
}
