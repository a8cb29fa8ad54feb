package slowdown

import (
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	for value, want := range map[string]time.Duration{"": time.Minute, "1": time.Minute, "20": 20 * time.Minute} {
		t.Setenv(Variable, value)
		if got := Of(time.Minute); got != want {
			t.Errorf("%q makes a minute %s, want %s", value, got, want)
		}
	}
	for _, value := range []string{"0", "-3", "2.5", "1001", "fast"} {
		t.Setenv(Variable, value)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", value)
				}
			}()
			Of(time.Minute)
		}()
	}
}
