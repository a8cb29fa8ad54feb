package serving

import "slices"

// careful reads the checked value at i as examples. It takes whatever a
// tensor may be written as and says what is wrong with the rest in TensorFlow
// Serving's words, in its order: the shape is that of the first elements, and a
// list's size goes before what is in it. With batch, the value has the
// dimension of the examples, too, and makes them.
func (d *desk) careful(t text, i int, batch bool) (end int, err error) {
	dims, end := t.shape(i, nil)
	want := d.in.dims
	first := (d.n - 1) * d.in.values()
	if batch {
		first = d.n * d.in.values()
		want = slices.Concat([]int{-1}, want)
		fits := len(dims) == len(want) && slices.Equal(dims[1:], want[1:])
		for k := 0; fits && k < dims[0]; k++ {
			if _, err := d.add(); err != nil {
				return 0, err
			}
		}
	}
	c := copier{desk: d, text: t, dims: dims, next: first}
	if _, err := c.copy(i, 0); err != nil {
		return 0, err
	}
	if len(dims) != len(want) || !slices.Equal(dims[len(dims)-3:], d.in.dims) || batch && dims[0] == 0 {
		return 0, bad("Expecting shape %s but got: %s", shape(want), shape(dims))
	}
	return end, nil
}

// shape appends the sizes of the value at i: its own, its first element's and
// so on. A value that is no list has none.
func (t text) shape(i int, dims []int) (_ []int, end int) {
	if t[i] != '[' {
		end, _ = t.skip(i, 0) // checked before
		return dims, end
	}
	own, size := len(dims), 0
	dims = append(dims, 0)
	end, _ = t.elements(i, func(n, at int) (int, error) {
		size++
		if n > 0 {
			return t.skip(at, 0)
		}
		var e int
		dims, e = t.shape(at, dims)
		return e, nil
	})
	dims[own] = size
	return dims, end
}

// copier copies the numbers of a value whose shape is known.
type copier struct {
	desk *desk
	text text
	dims []int
	next int // number of the next value in all examples
}

// copy copies the value at i, which lies level lists deep.
func (c *copier) copy(i, level int) (end int, err error) {
	t := c.text
	if t[i] != '[' {
		return c.leaf(i, level)
	}
	if level >= len(c.dims) {
		return 0, bad("Encountered list at unexpected level: %d expected < %d", level, len(c.dims))
	}
	var fault error
	size := 0
	end, _ = t.elements(i, func(_, at int) (int, error) {
		size++
		if fault == nil {
			var e int
			if e, fault = c.copy(at, level+1); fault == nil {
				return e, nil
			}
		}
		return t.skip(at, 0)
	})
	if size != c.dims[level] {
		return 0, bad("Encountered list at unexpected size: %d at level: %d expected size: %d", size, level, c.dims[level])
	}
	return end, fault
}

func (c *copier) leaf(i, level int) (end int, err error) {
	t := c.text
	end, _ = t.skip(i, 0)
	if level != len(c.dims) {
		return 0, bad("JSON Value: %s found at incorrect level: %d in the JSON DOM. Expected at level: %d", show(t[i:end]), level+1, len(c.dims))
	}
	if kind := t.kind(i); kind != "Number" {
		return 0, c.desk.in.typeError(t[i:end], kind)
	}
	n, end, err := t.number(i)
	if err != nil {
		return 0, err
	}
	err = c.desk.put(c.next, n, t[i:end])
	c.next++
	return end, err
}
