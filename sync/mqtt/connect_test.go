package mqtt

import (
	"context"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/mosquitto"
)

// TestTry with a real broker, which is stricter than the embedded one.
func TestTry(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{User: "op", Password: "right"})
	for password, want := range map[string]string{"right": "", "wrong": "broker tcp://" + b.Addr() + ": the broker does not authorise this client"} {
		err := Try(context.Background(), Options{
			Broker: "tcp://" + b.Addr(), Topics: topics, Username: "op",
			Password: func() (string, error) { return password, nil },
		})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", password, err, want)
		}
	}
}
