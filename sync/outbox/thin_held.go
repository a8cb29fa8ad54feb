package outbox

import "slices"

// thinHeld thins what is held, once, when the disk takes nothing and MaxHeld
// is near. It is called with mu held, in a flush, and lets go of it while it
// thins. With a disk that works the held records are soon stored ones.
func (o *Outbox) thinHeld() {
	if o.failing.err == nil || o.heldSize <= o.opts.MaxHeld/4*3 {
		return
	}
	for size := 0; size < thinBytes && o.heldSize > o.opts.MaxHeld/2; {
		old, data := o.heldRun()
		if len(old) == 0 {
			return
		}
		for _, rec := range data {
			size += len(rec)
		}
		o.thinning.heldTo = old[len(old)-1].seq + 1
		if out := o.choose(data, false); out.worth {
			o.replaceHeld(old, out)
		}
	}
}

// heldRun is free records in a row, of which no earlier run was made.
func (o *Outbox) heldRun() (run []*record, data [][]byte) {
	size := 0
	for _, r := range o.held.recs {
		if r.seq < o.thinning.heldTo || len(run) == 0 && r.state != free {
			continue
		}
		if r.state != free || size > blockBytes {
			break
		}
		run, data = append(run, r), append(data, r.data)
		size += len(r.data)
	}
	return run, data
}

// replaceHeld puts what stays in the place of a run, unless somebody took of
// it meanwhile.
func (o *Outbox) replaceHeld(old []*record, out choice) {
	at := slices.Index(o.held.recs, old[0])
	if at < 0 || at+len(old) > len(o.held.recs) || !slices.Equal(o.held.recs[at:at+len(old)], old) {
		return
	}
	if slices.ContainsFunc(old, func(r *record) bool { return r.state != free }) {
		return
	}
	for _, r := range old {
		r.state = done
		o.heldSize -= int64(len(r.data))
	}
	recs := make([]*record, len(out.recs))
	for i, rec := range out.recs {
		recs[i] = o.arena.new(old[0].seq+uint64(i), rec, old[0].at)
	}
	o.held.recs = slices.Replace(o.held.recs, at, at+len(old), recs...)
	o.held.rewind()
	o.heldN = o.heldN - uint64(len(old)) + uint64(len(recs))
	o.heldSize += int64(out.size)
	o.countThinned(out)
}
