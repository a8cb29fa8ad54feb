package api

import "context"

// places bounds how many do something at a time.
type places struct{ free chan struct{} }

func newPlaces(n int) *places { return &places{make(chan struct{}, n)} }

// try takes a place when there is one; leave gives it back.
func (p *places) try() bool {
	select {
	case p.free <- struct{}{}:
		return true
	default:
		return false
	}
}

// wait takes a place, unless ctx is done first.
func (p *places) wait(ctx context.Context) bool {
	select {
	case p.free <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *places) leave()     { <-p.free }
func (p *places) taken() int { return len(p.free) }
