package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/egret-edge/egret/agent/api"
)

// TestTLS: behind TLS the same bounds hold, those that never finish the
// handshake included, and HTTP/1.1 is spoken.
func TestTLS(t *testing.T) {
	borrowed := httptest.NewUnstartedServer(nil) // for its certificate
	borrowed.StartTLS()
	defer borrowed.Close()
	o := options()
	o.Loopback, o.ClientCerts, o.MaxConnections = false, true, 10
	server, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	certificates := borrowed.TLS.Certificates
	go func() {
		done <- server.Run(ctx, tls.NewListener(ln, &tls.Config{Certificates: certificates, NextProtos: []string{"http/1.1"}}))
	}()
	for i := range 30 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			c.Write([]byte("\x16\x03\x01\x02\x00\x01"))
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(borrowed.Certificate())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	res, err := client.Get("https://" + ln.Addr().String() + "/api/status")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || res.ProtoMajor != 1 || server.Open() > 10 {
		t.Errorf("%d by %s with %d connections", res.StatusCode, res.Proto, server.Open())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
