package tflite

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxLabels bounds the classes that a labels file may name.
const maxLabels = 1 << 17

// ParseLabels reads class names: one a line by order, or, when every line
// begins with a number, "index label" ("0  background", "0: background"),
// where gaps become "???", the convention of COCO's label maps.
func ParseLabels(data []byte) ([]string, error) {
	if len(data) > maxLabelBytes {
		return nil, fmt.Errorf("%w: more than %d KiB", errTooLarge, maxLabelBytes>>10)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8 text")
	}
	text := strings.TrimRight(strings.TrimPrefix(string(data), "\ufeff"), "\r\n \t")
	if text == "" {
		return nil, errors.New("no labels in it")
	}
	lines := strings.Split(text, "\n")
	if len(lines) > maxLabels {
		return nil, fmt.Errorf("%d labels, the limit is %d", len(lines), maxLabels)
	}
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	if labels, ok := indexedLabels(lines); ok {
		return labels, nil
	}
	return lines, nil
}

// indexedLabels reads the "index label" form; false when a line has another,
// or an index comes twice.
func indexedLabels(lines []string) ([]string, bool) {
	at := make(map[int]string, len(lines))
	highest := -1
	for _, line := range lines {
		if line == "" {
			continue
		}
		number, label, ok := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		if !ok {
			return nil, false
		}
		i, err := strconv.Atoi(strings.TrimSuffix(number, ":"))
		if _, twice := at[i]; err != nil || i < 0 || i >= maxLabels || twice {
			return nil, false
		}
		at[i] = strings.TrimSpace(label)
		highest = max(highest, i)
	}
	labels := make([]string, highest+1)
	for i := range labels {
		if label, ok := at[i]; ok {
			labels[i] = label
		} else {
			labels[i] = "???"
		}
	}
	return labels, highest >= 0
}

// metadataLabels takes the labels from the zip archive that TensorFlow Lite
// Metadata appends to a model (its associated .txt files; "labels" in the name
// preferred). A model without metadata has none, which is no error.
func metadataLabels(model string) ([]string, error) {
	f, err := os.Open(model)
	if err != nil {
		return nil, fmt.Errorf("read model metadata: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read model metadata: %w", err)
	}
	labels, err := zipLabels(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read labels from the metadata of model %s: %w", model, err)
	}
	return labels, nil
}

func zipLabels(r io.ReaderAt, size int64) ([]string, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, nil // no archive at its end
	}
	var found *zip.File
	for _, f := range z.File {
		if !strings.EqualFold(path.Ext(f.Name), ".txt") {
			continue
		}
		if found == nil || namesLabels(f.Name) && !namesLabels(found.Name) {
			found = f
		}
	}
	if found == nil {
		return nil, nil
	}
	rc, err := found.Open()
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	var buf bytes.Buffer
	// The archive's own word on the size is not trusted: a few bytes can
	// unpack to gigabytes.
	if _, err := io.Copy(&buf, io.LimitReader(rc, maxLabelBytes+1)); err != nil {
		return nil, err
	}
	return ParseLabels(buf.Bytes())
}

func namesLabels(file string) bool { return strings.Contains(strings.ToLower(file), "label") }

// background tells whether a first label stands for "no class".
func background(label string) bool {
	return label == "???" || strings.EqualFold(label, "background")
}
