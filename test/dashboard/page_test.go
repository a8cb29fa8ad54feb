package dashboard

import (
	"net/http/httptest"
	"testing"
)

func serve(t *testing.T, d *device, token string) string {
	t.Helper()
	s := httptest.NewServer(handler(d, token))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func TestPageShowsADevice(t *testing.T) {
	for name, l := range map[string]look{"desktop-dark": desktop, "desktop-light": light, "phone": phone} {
		t.Run(name, func(t *testing.T) {
			b := open(t, serve(t, newDevice(), ""), l)
			b.waitText("device", "cam-7")
			b.waitText("link", "Live")
			b.until("the picture", `document.getElementById("blank").hidden`)
			b.changes("f-captured")
			b.changes("produced")
			b.until("predictions", `document.querySelectorAll("#list tr").length > 8`)
			b.shoot(name)
			b.shoot(name + "-whole")
			b.clean()
		})
	}
}
