package serving

import "slices"

// Parse reads a body as a request for a side×side model. It returns the
// examples and where pictures lie. With care it takes the way of what is
// unusual, which must understand all the same.
func Parse(verb, kind string, side int, body string, care bool) (examples [][]byte, pictures [][2]int, err error) {
	d := plainDesk(kind, side)
	d.say(body)
	switch {
	case verb == "classify":
		err = d.parseClassify()
	case care:
		err = d.parseCarefully()
	default:
		_, err = d.parsePredict()
	}
	for _, p := range d.pictures {
		pictures = append(pictures, [2]int{p.at, p.end})
	}
	return slices.Clone(d.tensors[:d.n]), pictures, err
}

// parseCarefully is parsePredict without the quick way, for a body that it
// takes.
func (d *desk) parseCarefully() error {
	t := text(d.text)
	var b predictBody
	err := t.document(func(key []byte, at int) (int, error) {
		if k := b.part(string(key)); k != nil && *k == 0 {
			*k = at
		}
		return t.skip(at, 1)
	})
	if err != nil {
		return err
	}
	if b.inputs != 0 {
		return d.column(t, b.inputs)
	}
	return d.rows(t, b.instances)
}

// ParseCall reads a path.
func ParseCall(method, path string) (Selector, string, error) {
	c, err := parseCall(method, path)
	return c.sel, c.verb, err
}

// Held is how much of the budget requests under way hold.
func (r *REST) Held() int64 { return r.budget.used.Load() }
