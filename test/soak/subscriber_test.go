package main

import "testing"

func TestSubscriberCounts(t *testing.T) {
	s := newSubscriber("", "")
	s.take([]byte(`[{"boot":2,"seq":1},{"boot":2,"seq":64}]`))
	s.take([]byte(`[{"boot":2,"seq":64},{"boot":2,"seq":3},{"boot":1,"seq":2}]`))
	s.take([]byte(`no array`))
	unique, again, broken := s.counts()
	if unique != 4 || again != 1 || len(broken) != 1 {
		t.Errorf("%d unique, %d again, broken %v; want 4, 1 and one", unique, again, broken)
	}
	for _, tt := range []struct {
		boot, last uint64
		stored     map[uint64]bool
		want       int
	}{{2, 1, nil, 0}, {2, 3, nil, 1}, {2, 3, map[uint64]bool{2: true}, 0}, {2, 64, nil, 61}, {2, 500, nil, 497}, {7, 5, nil, 5}} {
		if got := s.missing(tt.boot, tt.last, tt.stored); got != tt.want {
			t.Errorf("boot %d to %d without %v: %d are missing, want %d", tt.boot, tt.last, tt.stored, got, tt.want)
		}
	}
}
