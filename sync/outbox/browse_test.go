package outbox

import (
	"fmt"
	"slices"
	"testing"
)

func TestBrowse(t *testing.T) {
	o := open(t, tempPath(t), nil)
	var want []string // newest first
	for block := range 4 {
		for i := range 5 {
			rec := fmt.Sprintf("block %d record %d", block, i)
			if err := o.Append([]byte(rec)); err != nil {
				t.Fatal(err)
			}
			want = append(want, rec)
		}
		if err := o.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	// What is acknowledged is not there any more: a whole block, and a part of
	// the next.
	b, _ := o.Take(7, 1<<20)
	if err := o.Ack(b); err != nil {
		t.Fatal(err)
	}
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	want = want[7:]
	slices.Reverse(want)
	for _, page := range []int{1, 2, 5, 100} {
		for _, blocks := range []int{1, 2, 100} {
			var got []string
			before := uint64(0)
			for range 100 {
				n := 0
				next, err := o.Browse(before, blocks, func(_ uint64, rec []byte) bool {
					got = append(got, string(rec))
					n++
					return n < page
				})
				if err != nil {
					t.Fatal(err)
				}
				if before = next; next == 0 {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d in %d blocks: %q, want %q", page, blocks, got, want)
			}
		}
	}
}
