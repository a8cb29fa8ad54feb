package mqtt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/egret-edge/egret/test/mosquitto"
)

// writeCA makes ca, server and client certificates in a folder.
func writeCA(t *testing.T) (path func(string) string) {
	t.Helper()
	dir := t.TempDir()
	path = func(name string) string { return filepath.Join(dir, name) }
	write := func(name, kind string, der []byte) {
		if err := os.WriteFile(path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	for i, name := range []string{"ca", "server", "client"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: i == 0, BasicConstraintsValid: true,
		}
		if i == 0 {
			ca, caKey = cert, key
		}
		der, err := x509.CreateCertificate(rand.Reader, cert, ca, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".pem", "CERTIFICATE", der)
		write(name+".key", "PRIVATE KEY", keyDER)
	}
	return path
}

func TestTLSWithClientCertificate(t *testing.T) {
	path := writeCA(t)
	b := mosquitto.Start(t, mosquitto.Config{CA: path("ca.pem"), Cert: path("server.pem"), Key: path("server.key")})
	for _, c := range []struct {
		name  string
		files TLSFiles
		ok    bool
	}{
		{"right", TLSFiles{CA: path("ca.pem"), Cert: path("client.pem"), Key: path("client.key")}, true},
		{"no client certificate", TLSFiles{CA: path("ca.pem")}, false},
		{"unknown authority", TLSFiles{Cert: path("client.pem"), Key: path("client.key")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := TLSConfig(c.files)
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, "mqtts://"+b.Addr(), newOutbox(t), func(o *Options) { o.TLS = cfg })
			eventually(t, "an outcome", func() bool { s := r.State(); return s.Connected || s.Attempts > 2 })
			if r.State().Connected != c.ok {
				t.Errorf("connected %v: %s", r.State().Connected, r.State().LastError)
			}
		})
	}
}

func TestWebSocketDelivers(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{WebSocket: true})
	o := newOutbox(t)
	run(t, "ws://"+b.Addr(), o, nil)
	appendN(t, o, 0, 100)
	eventually(t, "acknowledged", func() bool { return o.Stats().Acknowledged == 100 })
}

func TestRefusedPasswordIsSaidAndRotationWorks(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Config{User: "cam", Password: "right-one"})
	var password atomic.Value
	password.Store("wrong-one")
	r := run(t, "tcp://cam:in-the-url@"+b.Addr(), newOutbox(t), func(o *Options) {
		o.Password = func() (string, error) { return password.Load().(string), nil }
	})
	eventually(t, "refused", func() bool {
		e := r.State().LastError
		return strings.Contains(e, "user name or password") || strings.Contains(e, "does not authorise")
	})
	password.Store("right-one")
	eventually(t, "connected", func() bool { return r.State().Connected })
	for _, secret := range []string{"wrong-one", "right-one", "in-the-url"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

var brokers = []struct {
	in, host string // host "" means refused
}{
	{"tcp://a", "a:1883"}, {"mqtt://a:1", "a:1"}, {"mqtts://a", "a:8883"}, {"tls://[::1]", "[::1]:8883"},
	{"ws://a/mqtt", "a:80"}, {"wss://u:p@a", "a:443"}, {"", ""}, {"a:1883", ""}, {"http://a", ""}, {"tcp://", ""},
	{"tcp://u:secret@a:port", ""}, {"://", ""},
}

func TestParseBroker(t *testing.T) {
	for _, c := range brokers {
		u, err := parseBroker(c.in)
		if (err == nil) != (c.host != "") || err == nil && u.Host != c.host {
			t.Errorf("%q: %v, %v, want %q", c.in, u, err, c.host)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error has the password: %v", c.in, err)
		}
	}
}

func FuzzParseBroker(f *testing.F) {
	for _, c := range brokers {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := parseBroker(s); err == nil && (u.Port() == "" || strings.Contains(redacted(u), "@")) {
			t.Errorf("%q gives %q", s, redacted(u))
		}
	})
}
