package serving

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// call is what method and path ask for.
type call struct {
	sel  Selector
	verb string // status, metadata, predict, classify or regress
}

const root = "/v1/models"

// parseCall reads an escaped path. A name may hold anything once it is
// unescaped, "/" and ".." included: it is only ever compared. As with
// TensorFlow Serving, the words of the path match in any case of letters, except
// the verb; and everything else is a bad request, a wrong method included.
func parseCall(method, path string) (call, error) {
	malformed := bad("Malformed request: %s %s", show(method), show(path))
	if len(path) < len(root) || !strings.EqualFold(path[:len(root)], root) {
		return call{}, malformed
	}
	rest := path[len(root):]
	if rest == "" && method == http.MethodGet {
		return call{}, bad("Missing model name in request.")
	}
	if rest == "" || rest[0] != '/' {
		return call{}, malformed
	}
	c, parts, ok := splitVerb(method, strings.Split(rest[1:], "/"))
	if !ok || len(parts) != 1 && len(parts) != 3 {
		return call{}, malformed
	}
	for _, p := range parts {
		if p == "" || strings.Contains(p, ":") {
			return call{}, malformed
		}
	}
	if len(parts) == 3 {
		if err := c.choose(parts[1], parts[2], malformed); err != nil {
			return call{}, err
		}
	}
	var err error
	if c.sel.Model, err = url.PathUnescape(parts[0]); err != nil {
		return call{}, malformed
	}
	return c, nil
}

// splitVerb takes the verb off the last part.
func splitVerb(method string, parts []string) (call, []string, bool) {
	last := len(parts) - 1
	switch method {
	case http.MethodGet:
		if last > 0 && strings.EqualFold(parts[last], "metadata") && last != 2 {
			return call{verb: "metadata"}, parts[:last], true
		}
		return call{verb: "status"}, parts, true
	case http.MethodPost:
		name, verb, ok := strings.Cut(parts[last], ":")
		parts[last] = name
		return call{verb: verb}, parts, ok && (verb == "predict" || verb == "classify" || verb == "regress")
	}
	return call{}, nil, false
}

// choose reads versions/<number> or labels/<label>.
func (c *call) choose(what, value string, malformed error) error {
	switch {
	case strings.EqualFold(what, "versions"):
		if strings.Trim(value, "0123456789") != "" {
			return malformed
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return bad("Failed to convert version: %s to numeric.", show(value))
		}
		c.sel.Version = &n
		return nil
	case strings.EqualFold(what, "labels"):
		label, err := url.PathUnescape(value)
		if err != nil || label == "" {
			return malformed
		}
		c.sel.Label = label
		return nil
	}
	return malformed
}
