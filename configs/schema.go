package configs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Schema is the JSON Schema (draft 2020-12) of a configuration file, made from
// the same struct tags as the checks.
func Schema() ([]byte, error) {
	root := schemaOf(reflect.TypeFor[Config](), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "egret configuration"
	root["required"] = []string{"models", "cameras"}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("make schema: %w", err)
	}
	return out, nil
}

// schemaOf describes a type; tag is that of the field that has it.
func schemaOf(t reflect.Type, tag reflect.StructTag) map[string]any {
	s := map[string]any{}
	if doc := tag.Get("doc"); doc != "" {
		s["description"] = doc
	}
	switch {
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), tag)
	case t == reflect.TypeFor[Duration]():
		s["type"], s["pattern"] = "string", `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	case t == reflect.TypeFor[Bytes]():
		s["type"], s["pattern"] = []string{"string", "integer"}, `^[0-9]+ ?([KMGT]i?B|kB|B)?$`
	case t == reflect.TypeFor[PerDay]():
		s["type"], s["pattern"] = []string{"string", "integer"}, `^(0|[0-9]+ ?([KMGT]i?B|kB|B)?/day)$`
	case t == reflect.TypeFor[Score]():
		s["type"], s["minimum"], s["maximum"] = "number", 0, 1
	case t == reflect.TypeFor[Threads]():
		s["oneOf"] = []any{map[string]any{"const": "auto"}, map[string]any{"type": "integer", "minimum": 1, "maximum": MaxThreads}}
	case t == reflect.TypeFor[Delegates]():
		word := map[string]any{"type": "string", "pattern": "^(" + strings.Join(delegates, "|") + ")([?:].*)?$"}
		s["oneOf"] = []any{word, map[string]any{"type": "array", "items": word, "minItems": 1}}
	case t == reflect.TypeFor[Versions]():
		number := map[string]any{"type": "integer", "minimum": 0}
		s["oneOf"] = []any{map[string]any{"enum": []string{"latest", "all"}}, number, map[string]any{"type": "array", "items": number, "minItems": 1, "maxItems": maxVersions}}
	case t == reflect.TypeFor[Window]():
		s["type"], s["pattern"] = "string", `^([0-2]?[0-9]:[0-5][0-9] ?- ?[0-2]?[0-9]:[0-5][0-9])?$`
	case t.Kind() == reflect.Struct:
		properties := map[string]any{}
		for _, k := range keys(t) {
			properties[k.name] = schemaOf(k.field.Type, k.field.Tag)
		}
		s["type"], s["properties"], s["additionalProperties"] = "object", properties, false
	case t.Kind() == reflect.Slice:
		s["type"], s["items"] = "array", schemaOf(t.Elem(), "")
		if t.Elem().Kind() == reflect.Struct { // models and cameras: none is nothing to do
			s["minItems"] = 1
		}
	default:
		schemaScalar(s, t.Kind(), tag)
	}
	return s
}

func schemaScalar(s map[string]any, kind reflect.Kind, tag reflect.StructTag) {
	s["type"] = map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Float64: "number",
	}[kind]
	if words := tag.Get("enum"); words != "" {
		s["enum"] = strings.Split(words, ",")
	}
	for bound, word := range map[string]string{"min": "minimum", "max": "maximum"} {
		if v, err := strconv.ParseFloat(tag.Get(bound), 64); err == nil {
			s[word] = v
		}
	}
}
