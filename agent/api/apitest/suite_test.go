package apitest

import "testing"

func TestFake(t *testing.T) {
	Suite(t, &Fake{}, "bird")
	t.Run("street", func(t *testing.T) { Suite(t, &Fake{}, "street") })
}
