package serving

// parseClassify reads a body of examples: objects of features, of which the
// one with the input's name is taken. It is a picture or a flat list of all
// numbers, as features have no shape.
func (d *desk) parseClassify() error {
	t := text(d.text)
	signature, context, examples := 0, 0, 0
	err := t.document(func(key []byte, at int) (int, error) {
		part := map[string]*int{"signature_name": &signature, "context": &context, "examples": &examples}[string(key)]
		if part != nil && *part == 0 {
			*part = at
		}
		return t.skip(at, 1)
	})
	if err != nil {
		return err
	}
	if err := t.signature(signature); err != nil {
		return err
	}
	shared := 0 // the feature that all examples have
	if context != 0 {
		if shared, _, err = d.feature(t, context); err != nil {
			return err
		}
	}
	said := show(t[:len(t)-padding])
	switch {
	case examples == 0:
		return bad("JSON Value: %s When method is classify, key 'examples' is expected and was not found", said)
	case t[examples] != '[':
		return bad("JSON Value: %s Expecting 'examples' value to be an list/array", said)
	case t[t.space(examples+1)] == ']':
		return bad("JSON Value: %s 'examples' value is an empty array", said)
	}
	_, err = t.elements(examples, func(_, at int) (int, error) {
		own, end, err := d.feature(t, at)
		switch {
		case err != nil:
			return 0, err
		case own == 0 && shared == 0:
			return 0, bad("Feature: %s is required but could not be found", d.in.name)
		case own != 0 && shared != 0:
			return 0, bad("Feature: %s is in context and in an example: give one", d.in.name)
		}
		return end, d.flat(t, own+shared)
	})
	return err
}

// feature finds the input's value in the object at i; 0 when it is not there.
func (d *desk) feature(t text, i int) (at, end int, err error) {
	if t[i] != '{' {
		return 0, 0, bad("Example must be JSON object but got JSON %s", t.kind(i))
	}
	end, err = t.members(i, func(key []byte, v int) (int, error) {
		if string(key) == d.in.name {
			at = v // of a name that comes twice, the last counts: as with TensorFlow Serving
		}
		return t.skip(v, 2)
	})
	return at, end, err
}

// flat makes an example of a feature's value.
func (d *desk) flat(t text, at int) error {
	k, err := d.add()
	if err != nil {
		return err
	}
	if t[at] == '[' {
		if end, ok := d.in.list(t, d.tensors[k], at); ok && end > 0 {
			return nil
		}
	}
	values := 0
	each := func(_, v int) (int, error) {
		values++
		return d.value(t, v, k, values-1)
	}
	if t[at] == '[' {
		_, err = t.elements(at, each)
	} else {
		_, err = each(0, at)
	}
	picture := len(d.pictures) > 0 && d.pictures[len(d.pictures)-1].example == k
	switch want := d.in.values(); {
	case err != nil:
		return err
	case picture && values != 1:
		return bad("Feature: %s has %d elements: want one picture, or numbers", d.in.name, values)
	case !picture && values != want:
		return bad("Feature: %s has %d values: want %d, those of %s in one list", d.in.name, values, want, shape(d.in.dims))
	}
	return nil
}

// value reads an element of a feature: value n of example k.
func (d *desk) value(t text, at, k, n int) (end int, err error) {
	kind := t.kind(at)
	if end, err = t.skip(at, 0); err != nil {
		return 0, err
	}
	switch kind {
	case "Number":
		v, _, err := t.number(at)
		if err == nil && n < d.in.values() {
			err = d.put(k*d.in.values()+n, v, t[at:end])
		}
		return end, err
	case "Object":
		if from, to, _, ok := t.base64(at); ok {
			if n == 0 { // more are refused by their number
				d.pictures = append(d.pictures, picture{example: k, at: from, end: to})
			}
			return end, nil
		}
	case "String", "True", "False":
		return 0, d.in.typeError(t[at:end], kind)
	}
	return 0, bad("Feature: %s has element with unexpected JSON type: %s", d.in.name, kind)
}

// appendResults writes one list of labels and scores for each example.
func appendResults(b []byte, answers []Answer) []byte {
	b = append(b, "{\n    \"results\": ["...)
	for i := range answers {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, '[')
		for k, r := range answers[i].Results {
			if k > 0 {
				b = append(b, ", "...)
			}
			b = append(b, '[')
			b = append(appendString(b, r.Label), ", "...)
			b = append(appendFloat(b, r.Score), ']')
		}
		b = append(b, ']')
	}
	return append(b, "\n    ]\n}"...)
}
