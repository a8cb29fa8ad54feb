package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/egret-edge/egret/internal/spelling"
)

// decoder fills Go values from YAML nodes, strictly: it knows the line of
// everything it meets and collects mistakes instead of ending at the first.
type decoder struct {
	file  string
	errs  Errors
	lines map[string]int // where each field stands
}

func (d *decoder) fail(n *yaml.Node, field, hint, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	d.errs = append(d.errs, &Error{File: d.file, Line: line, Field: field, Problem: fmt.Sprintf(format, args...), Hint: hint})
}

// decode fills v from n; field is v's path from the top.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, field string) {
	d.lines[field] = n.Line
	if n.Kind == yaml.AliasNode {
		d.fail(n, field, "write the value out", "aliases are not allowed")
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *Duration:
		scalar(d, n, field, "a duration such as 10s", p, ParseDuration)
		return
	case *Bytes:
		scalar(d, n, field, "a size such as 256KiB", p, ParseBytes)
		return
	case *PerDay:
		scalar(d, n, field, "bytes a day such as 50MB/day", p, ParsePerDay)
		return
	case *Threads:
		scalar(d, n, field, "a number of threads or auto", p, ParseThreads)
		return
	case *Delegates:
		d.decodeDelegates(n, p, field)
		return
	case *Versions:
		d.decodeVersions(n, p, field)
		return
	case *Window:
		if !isNull(n) {
			scalar(d, n, field, "a part of the day such as 01:00-05:30", p, ParseWindow)
		}
		return
	case *Score:
		p.Set = scalar(d, n, field, "a number", &p.Value, parseFloat)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if isNull(n) {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), field)
	case reflect.Struct:
		d.decodeStruct(n, v, field)
	case reflect.Slice:
		d.decodeSlice(n, v, field)
	default:
		d.decodeScalar(n, v, field)
	}
}

func (d *decoder) decodeStruct(n *yaml.Node, v reflect.Value, field string) {
	if isNull(n) {
		return // "log:" with nothing below it: the defaults
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, field, "", "must be a block of keys, not %s", kindName(n))
		return
	}
	known := keys(v.Type())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		path := join(field, key.Value)
		index := indexOf(known, key.Value)
		switch line, twice := seen[key.Value]; {
		case index < 0:
			d.fail(key, path, spelling.Hint(key.Value, names(known)), "unknown key")
		case twice:
			d.fail(key, path, "", "stands twice, first in line %d", line)
		default:
			seen[key.Value] = key.Line
			d.decode(value, v.Field(known[index].index), path)
		}
	}
}

func (d *decoder) decodeSlice(n *yaml.Node, v reflect.Value, field string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(n, field, "begin each entry with a dash", "must be a list, not %s", kindName(n))
		return
	}
	for i, item := range n.Content {
		e := reflect.New(v.Type().Elem()).Elem()
		if c, ok := e.Addr().Interface().(*Camera); ok {
			*c = defaultCamera()
		}
		d.decode(item, e, fmt.Sprintf("%s[%d]", field, i))
		v.Set(reflect.Append(v, e))
	}
}

// decodeDelegates takes one word or a list of words.
func (d *decoder) decodeDelegates(n *yaml.Node, to *Delegates, field string) {
	var list []string
	if n.Kind == yaml.SequenceNode {
		d.decodeSlice(n, reflect.ValueOf(&list).Elem(), field)
	} else {
		var word string
		if !scalar(d, n, field, "a delegate such as auto, or a list of them", &word, func(s string) (string, error) { return s, nil }) {
			return
		}
		list = []string{word}
	}
	for _, spec := range list {
		if spec == "" || strings.ContainsAny(spec, "\n\r") {
			d.fail(n, field, "", "%q is no delegate", spec)
			return
		}
	}
	*to = DelegateList(list...)
}

// decodeVersions takes a policy's word or a list of versions.
func (d *decoder) decodeVersions(n *yaml.Node, to *Versions, field string) {
	if n.Kind != yaml.SequenceNode {
		scalar(d, n, field, "latest, all or a list of versions", to, ParseVersions)
		return
	}
	var list []int
	d.decodeSlice(n, reflect.ValueOf(&list).Elem(), field)
	switch {
	case len(list) == 0 || len(list) > maxVersions:
		d.fail(n, field, "", "lists %d versions: 1 to %d are possible", len(list), maxVersions)
	case slices.Min(list) < 0:
		d.fail(n, field, "", "%d is no version: they are whole numbers from 0", slices.Min(list))
	default:
		*to = VersionList(list...)
	}
}

func (d *decoder) decodeScalar(n *yaml.Node, v reflect.Value, field string) {
	switch v.Kind() {
	case reflect.String:
		if isNull(n) {
			v.SetString("")
			return
		}
		var s string
		if scalar(d, n, field, "text", &s, func(s string) (string, error) { return s, nil }) {
			v.SetString(s)
		}
	case reflect.Bool:
		var b bool
		if scalar(d, n, field, "true or false", &b, parseBool) {
			v.SetBool(b)
		}
	case reflect.Int:
		var i int
		if scalar(d, n, field, "a whole number", &i, parseInt) {
			v.SetInt(int64(i))
		}
	case reflect.Float64:
		var f float64
		if scalar(d, n, field, "a number", &f, parseFloat) {
			v.SetFloat(f)
		}
	default:
		panic("configs: no decoding for " + v.Type().String()) // a new field's type; every test would hit it
	}
}

// scalar parses a single value into to; false when it is none.
func scalar[T any](d *decoder, n *yaml.Node, field, want string, to *T, parse func(string) (T, error)) bool {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(n, field, "", "must be %s, not %s", want, kindName(n))
		return false
	}
	v, err := parse(n.Value)
	if err != nil {
		d.fail(n, field, "", "%v", err)
		return false
	}
	*to = v
	return true
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

func parseInt(s string) (int, error) {
	i, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return i, nil
}

func parseFloat(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return f, nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kindName(n *yaml.Node) string {
	switch {
	case isNull(n):
		return "nothing"
	case n.Kind == yaml.MappingNode:
		return "a block of keys"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	if text := []rune(n.Value); len(text) > 40 { // whole files have been given
		return strconv.Quote(string(text[:40])) + "…"
	}
	return strconv.Quote(n.Value)
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// key is a struct field as a file names it.
type key struct {
	name  string
	index int
	field reflect.StructField
}

func keys(t reflect.Type) (out []key) {
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			out = append(out, key{name, i, f})
		}
	}
	return out
}

func names(all []key) []string {
	out := make([]string, len(all))
	for i, k := range all {
		out[i] = k.name
	}
	return out
}

func indexOf(all []key, name string) int {
	for i, k := range all {
		if k.name == name {
			return i
		}
	}
	return -1
}
