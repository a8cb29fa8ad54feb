package api_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/egret-edge/egret/agent/api"
)

// description loads what the server says of itself, with one thing added: an
// answer may have no field that is not described.
func description(t *testing.T, s *site) *openapi3.T {
	t.Helper()
	_, text := s.do(t, "GET", "/api/openapi.json", "")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, schema := range doc.Components.Schemas {
		closeSchema(schema)
	}
	return doc
}

func closeSchema(s *openapi3.SchemaRef) {
	if s == nil || s.Value == nil || s.Ref != "" {
		return
	}
	v := s.Value
	if len(v.Properties) > 0 && v.AdditionalProperties.Has == nil && v.AdditionalProperties.Schema == nil {
		no := false
		v.AdditionalProperties.Has = &no
	}
	for _, p := range v.Properties {
		closeSchema(p)
	}
	closeSchema(v.Items)
}

// TestDescriptionIsWhole: what is described is routed, and what is routed is
// described.
func TestDescriptionIsWhole(t *testing.T) {
	s := serve(t)
	doc := description(t, s)
	described := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
			if strings.HasPrefix(path, "/v1/") {
				continue
			}
			if !slices.Contains(api.Routed(s.server), method+" "+path) {
				t.Errorf("%s %s is described and not routed", method, path)
			}
		}
	}
	for _, call := range api.Routed(s.server) {
		if !described[call] && !strings.HasPrefix(call, http.MethodHead) {
			t.Errorf("%s is routed and not described", call)
		}
	}
}

// TestAnswersAreAsDescribed checks real answers, good and bad ones, against
// their schemas.
func TestAnswersAreAsDescribed(t *testing.T) {
	s := serve(t, func(o *api.Options) {
		o.Hosts = []string{"panel.local"}
		o.Origins = []string{"https://panel.example.com"}
	})
	doc := description(t, s)
	doc.Servers = nil
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	openapi3filter.RegisterBodyDecoder("image/jpeg", openapi3filter.FileBodyDecoder)
	checked := map[string]bool{}
	for _, c := range callCases {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Scheme, r.URL.Host = "", "" // the router's servers are none
		route, vars, err := router.FindRoute(r)
		if err != nil {
			continue // the dashboard, wrong paths and methods
		}
		if c.want == nothingThere {
			continue // the router forgives what the server does not
		}
		t.Run(c.name, func(t *testing.T) {
			res, body := s.do(t, c.method, c.path, c.body, c.headers...)
			checked[route.Operation.OperationID] = true
			checkDescribed(t, r, route, vars, res, body)
		})
	}
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if !checked[op.OperationID] && !strings.HasPrefix(path, "/v1/") && path != "/metrics" && path != "/api/openapi.json" {
				t.Errorf("no answer of %s was checked", path)
			}
		}
	}
}

func checkDescribed(t *testing.T, r *http.Request, route *routers.Route, vars map[string]string, res *http.Response, body string) {
	t.Helper()
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		return // the test's handler answers
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: vars},
		Status:                 res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader([]byte(body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
		t.Errorf("%s %s: %v\n%s", r.Method, r.URL, err, body)
	}
}
