package spelling

import (
	"strings"
	"testing"
)

func TestHint(t *testing.T) {
	known := []string{"mqtt", "models", "cameras", "stall_timeout"}
	for word, want := range map[string]string{
		"mqqt": `"mqtt"`, "modles": `"models"`, "camera": `"cameras"`, "stall_timout": `"stall_timeout"`, "stall-timeout": `"stall_timeout"`,
		"zebra": "known: mqtt, models", "": "known:", strings.Repeat("x", 1000): "known:",
	} {
		if got := Hint(word, known); !strings.Contains(got, want) {
			t.Errorf("%.20q: %s, want %s", word, got, want)
		}
	}
}
