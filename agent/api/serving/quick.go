package serving

import "errors"

// errSlow stops the quick way: what is there is wrong or unusual.
var errSlow = errors.New("to be read carefully")

// quick reads the value of instances or inputs, unchecked, in one pass, and
// fails with any error at the first thing that is not plain.
func (d *desk) quick(t text, at int, columns bool) (end int, err error) {
	switch {
	case columns && t[at] == '{':
		return d.quickColumn(t, at)
	case t[at] != '[' || t[t.space(at+1)] == ']':
		return 0, errSlow
	}
	named, p := 0, inRow
	if columns {
		p = elsewhere
	}
	return t.elements(at, func(n, v int) (int, error) {
		end, name, err := d.quickExample(t, v, p)
		if name {
			named++
		}
		if err == nil && named != 0 && named != n+1 {
			err = errSlow
		}
		return end, err
	})
}

// quickColumn reads the object of inputs: the one named input, or a picture.
func (d *desk) quickColumn(t text, at int) (end int, err error) {
	only := false
	end, err = t.members(at, func(key []byte, v int) (int, error) {
		if only {
			return 0, errSlow
		}
		only = true
		if string(key) == "b64" {
			return d.quickPicture(t, v, elsewhere)
		}
		if string(key) != d.in.name || t[v] != '[' {
			return 0, errSlow
		}
		return d.quick(t, v, true)
	})
	if err == nil && !only {
		err = errSlow
	}
	return end, err
}

// quickExample reads one example: lists, a picture or, in a row, an object of
// the one named input.
func (d *desk) quickExample(t text, at int, p place) (end int, name bool, err error) {
	if t[at] == '[' {
		k, err := d.add()
		if err != nil {
			return 0, false, err
		}
		end, ok := d.in.lists(d.tensors[k], t, at, d.in.dims)
		if !ok {
			err = errSlow
		}
		return end, false, err
	}
	if t[at] != '{' {
		return 0, false, errSlow
	}
	only := false
	end, err = t.members(at, func(key []byte, v int) (int, error) {
		if only {
			return 0, errSlow
		}
		only = true
		if string(key) == "b64" {
			return d.quickPicture(t, v, p)
		}
		if name = p == inRow && string(key) == d.in.name; !name {
			return 0, errSlow
		}
		end, _, err := d.quickExample(t, v, inNamedRow)
		return end, err
	})
	if err == nil && !only {
		err = errSlow
	}
	return end, name, err
}

// quickPicture notes the picture in the string at i.
func (d *desk) quickPicture(t text, i int, p place) (end int, err error) {
	if t[i] != '"' {
		return 0, errSlow
	}
	if end, err = t.skipString(i); err != nil {
		return 0, err
	}
	k, err := d.add()
	if err != nil {
		return 0, err
	}
	d.pictures = append(d.pictures, picture{example: k, at: i + 1, end: end - 1, place: p})
	return end, nil
}
