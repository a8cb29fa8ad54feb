package serving

// predictBody is where the parts of a predict request lie; 0 for one that is
// missing. Of a key that comes twice the first counts, as with TensorFlow
// Serving.
type predictBody struct {
	signature, instances, inputs int
}

// parsePredict reads a body of instances or inputs, in one pass when it is as
// most clients write it. Otherwise all of it is checked, and then read again
// with care: a fault of the JSON goes before a fault of what it says.
func (d *desk) parsePredict() (columns bool, err error) {
	t := text(d.text)
	var b predictBody
	quick := false
	err = t.document(func(key []byte, at int) (int, error) {
		if k := b.part(string(key)); k != nil && *k == 0 {
			*k = at
			if k != &b.signature {
				end, err := d.quick(t, at, k == &b.inputs)
				if quick = err == nil; quick {
					return end, nil
				}
			}
		}
		return t.skip(at, 1)
	})
	if err != nil {
		return false, err
	}
	if err := t.signature(b.signature); err != nil {
		return false, err
	}
	said := show(t[:len(t)-padding])
	switch {
	case b.instances != 0 && b.inputs != 0:
		return false, bad("JSON Value: %s Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ", said)
	case b.instances == 0 && b.inputs == 0:
		return false, bad("Missing 'inputs' or 'instances' key")
	case b.instances != 0 && t[b.instances] != '[':
		return false, bad("JSON Value: %s Excepting 'instances' to be an list/array", said)
	case b.instances != 0 && t[t.space(b.instances+1)] == ']':
		return false, bad("JSON Value: %s No values in 'instances' array", said)
	}
	columns = b.inputs != 0
	if quick {
		return columns, nil
	}
	d.begin(d.in)
	if columns {
		return columns, d.column(t, b.inputs)
	}
	return columns, d.rows(t, b.instances)
}

func (b *predictBody) part(key string) *int {
	switch key {
	case "signature_name":
		return &b.signature
	case "instances":
		return &b.instances
	case "inputs":
		return &b.inputs
	}
	return nil
}

// document reads the object that a body is.
func (t text) document(each func(key []byte, at int) (int, error)) error {
	if len(t) == padding {
		return bad("JSON Parse error: The document is empty")
	}
	i := t.space(0)
	if t[i] == 0 {
		return syntax(i, "The document is empty.")
	}
	if t[i] != '{' {
		end, err := t.skip(i, 0)
		if err == nil {
			if err = t.ends(end); err == nil {
				err = bad("JSON Value: %s Is not object", show(t[i:end]))
			}
		}
		return err
	}
	end, err := t.members(i, each)
	if err != nil {
		return err
	}
	return t.ends(end)
}

func (t text) ends(i int) error {
	if i = t.space(i); i < len(t)-padding {
		return syntax(i, "The document root must not be followed by other values.")
	}
	return nil
}

// signature checks the name at i, 0 for none. Models have one signature.
func (t text) signature(i int) error {
	if i == 0 {
		return nil
	}
	if t[i] != '"' {
		return bad("JSON Value: %s not formatted correctly. 'signature_name' key must be a string value.", show(t[:len(t)-padding]))
	}
	end, _ := t.skipString(i)
	name := t[i+1 : end-1]
	if plain := unescape(nil, name); plain != nil {
		name = plain
	}
	if s := string(name); s != "" && s != "serving_default" {
		return bad("Serving signature name: \"%s\" not found in signature def", show(s))
	}
	return nil
}

// rows reads the list of instances, with care. The list was checked.
func (d *desk) rows(t text, at int) error {
	objects := false
	_, err := t.elements(at, func(n, v int) (int, error) {
		object := t[v] == '{'
		if object {
			_, _, _, plain := t.base64(v)
			object = !plain
		}
		if n == 0 {
			objects = object
		}
		switch {
		case objects && !object:
			return 0, bad("Expecting object but got list at item %d of input list", n)
		case !objects && object:
			return 0, bad("Expecting value/list but got object at item %d of input list", n)
		case objects:
			return d.row(t, v, n)
		}
		return d.example(t, v, inRow)
	})
	return err
}

// row reads an instance that is an object of named inputs.
func (d *desk) row(t text, at, n int) (end int, err error) {
	found := false
	end, err = t.members(at, func(key []byte, v int) (int, error) {
		switch {
		case string(key) != d.in.name:
			return 0, bad("Failed to process element: %d key: %s of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: %s", n, show(key), show(key))
		case found:
			return 0, d.wrap(bad("it comes twice"), inNamedRow, n)
		}
		found = true
		return d.example(t, v, inNamedRow)
	})
	if err == nil && !found {
		err = bad("Failed to process element: %d of 'instances' list. JSON object: %s keys must be equal to: %s", n, show(t[at:end]), d.in.name)
	}
	return end, err
}

// column reads the value of inputs, with care.
func (d *desk) column(t text, at int) error {
	if t[at] == '{' {
		if _, _, _, ok := t.base64(at); !ok {
			found := 0
			_, err := t.members(at, func(key []byte, v int) (int, error) {
				if string(key) == d.in.name && found == 0 {
					found = v
				}
				return t.skip(v, 1)
			})
			if err != nil {
				return err
			}
			if found == 0 {
				return bad("Missing named input: %s in 'inputs' object.", d.in.name)
			}
			at = found
		}
	}
	if t[at] == '{' { // a picture
		_, err := d.example(t, at, elsewhere)
		return err
	}
	if t[at] == '[' && t[t.space(at+1)] == '{' { // a list of them
		_, err := t.elements(at, func(_, v int) (int, error) { return d.example(t, v, elsewhere) })
		return err
	}
	_, err := d.careful(t, at, true)
	return err
}

// example reads one example, with care: nested lists or a picture.
func (d *desk) example(t text, at int, p place) (end int, err error) {
	k, err := d.add()
	if err != nil {
		return 0, err
	}
	if t[at] == '{' {
		if from, to, end, ok := t.base64(at); ok {
			d.pictures = append(d.pictures, picture{example: k, at: from, end: to, place: p})
			return end, nil
		}
	}
	if end, err = d.careful(t, at, false); err != nil {
		return 0, d.wrap(err, p, k)
	}
	return end, nil
}
