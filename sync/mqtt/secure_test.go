package mqtt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/egret-edge/egret/test/mosquitto"
)

// writeCA makes ca, server and client certificates in a folder; change (nil for
// none) may spoil one before it is signed.
func writeCA(t *testing.T, change func(name string, cert *x509.Certificate)) (path func(string) string) {
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
		if change != nil {
			change(name, cert)
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

// tlsBroker is Mosquitto with the folder's certificates.
func tlsBroker(t *testing.T, path func(string) string) *mosquitto.Broker {
	return mosquitto.Start(t, mosquitto.Config{CA: path("ca.pem"), Cert: path("server.pem"), Key: path("server.key")})
}

// TestTLS: each mistake with certificates is said in one line, in State and in
// the log, with what to try; nothing is lost meanwhile.
func TestTLS(t *testing.T) {
	valid := func(from, to time.Duration) func(string, *x509.Certificate) {
		return func(name string, c *x509.Certificate) {
			if name == "server" {
				c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to)
			}
		}
	}
	good := writeCA(t, nil)
	client := TLSFiles{CA: good("ca.pem"), Cert: good("client.pem"), Key: good("client.key")}
	bare := TLSFiles{CA: good("ca.pem")}
	own := func(path func(string) string) TLSFiles {
		return TLSFiles{CA: path("ca.pem"), Cert: path("client.pem"), Key: path("client.key")}
	}
	expired := writeCA(t, valid(-48*time.Hour, -24*time.Hour))
	early := writeCA(t, valid(24*time.Hour, 48*time.Hour))
	elsewhere := writeCA(t, func(name string, c *x509.Certificate) {
		if name == "server" {
			c.IPAddresses, c.DNSNames = nil, []string{"broker.example", "b", "c", "d", "e"}
		}
	})
	stale := writeCA(t, func(name string, c *x509.Certificate) {
		if name == "client" {
			c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
		}
	})
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(day) }
	for _, c := range []struct {
		name   string
		server func(string) string
		files  TLSFiles
		says   []string // one of the texts; none means that it works
	}{
		{"right", good, client, nil},
		{"expired", expired, own(expired), []string{"TLS: the broker's certificate expired on " + date(-24*time.Hour) + " and this device's clock says " + date(0) + ": renew the certificate, or set the clock"}},
		{"not valid yet", early, own(early), []string{"TLS: the broker's certificate is valid from " + date(24*time.Hour) + " on and this device's clock says " + date(0) + ": set the clock, or wait until it is set"}},
		{"wrong name", elsewhere, own(elsewhere), []string{"TLS: the broker's certificate is for broker.example, b, c, 2 more and not for \"127.0.0.1\": write a name of the certificate into mqtt.broker, or give the broker a certificate with this one"}},
		{"unknown authority", good, TLSFiles{Cert: client.Cert, Key: client.Key}, []string{"TLS: this device does not trust the authority of the broker's certificate: set mqtt.tls.ca_file to that authority's certificate"}},
		// The alert may be overtaken by the broker's reset.
		{"no client certificate", good, bare, []string{
			"TLS: the broker refuses this device (tls: certificate required): if it wants a client certificate, set mqtt.tls.cert_file and key_file",
			"the broker closed the connection without an answer: if it wants a client certificate, set mqtt.tls.cert_file and key_file"}},
		{"expired client certificate", stale, own(stale), []string{
			"TLS: the broker refuses this device's certificate (tls: expired certificate): is mqtt.tls.cert_file of an authority that it trusts, and not expired?",
			"the broker closed the connection without an answer: does it accept this device's certificate and client id?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := tlsBroker(t, c.server)
			cfg, err := TLSConfig(c.files)
			if err != nil {
				t.Fatal(err)
			}
			o := newOutbox(t)
			appendN(t, o, 0, 20)
			r := run(t, "mqtts://"+b.Addr(), o, func(o *Options) { o.TLS = cfg })
			if len(c.says) == 0 {
				eventually(t, "acknowledged", func() bool { return o.Stats().Acknowledged == 20 })
				return
			}
			eventually(t, "some attempts", func() bool { return r.State().Attempts > 3 })
			if s := r.State(); s.Connected || !slices.Contains(c.says, s.LastError) {
				t.Errorf("connected %v: %q, want one of %q", s.Connected, s.LastError, c.says)
			}
			if n := strings.Count(r.log.String(), "level=WARN"); n < 1 || n > 1 && len(c.says) == 1 {
				t.Errorf("%d warnings of one mistake:\n%s", n, r.log)
			}
			addsUp(t, o, 20)
		})
	}
}

// TestWrongPorts: TLS where there is none, none where there is, and nothing.
func TestWrongPorts(t *testing.T) {
	path := writeCA(t, nil)
	encrypted, open := tlsBroker(t, path), mosquitto.Start(t, mosquitto.Config{})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	silent := newLink(t, open.Addr())
	silent.misbehave(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for _, c := range []struct{ url, says string }{
		{"tcp://" + encrypted.Addr(), "is this an MQTT port, and one without TLS?"},
		{"mqtts://" + open.Addr(), "is this its TLS port (8883 as a rule)?"},
		{"wss://" + open.Addr(), "is this its TLS port (8883 as a rule)?"},
		{"tcp://" + gone.Addr().String(), "connection refused"},
		{"mqtts://" + silent.ln.Addr().String(), "took the connection and said nothing"},
		{"wss://" + silent.ln.Addr().String(), "took the connection and said nothing"},
	} {
		r := run(t, c.url, newOutbox(t), func(o *Options) { o.ConnectTimeout = 300 * time.Millisecond })
		eventually(t, c.url+": "+c.says, func() bool { return strings.Contains(r.State().LastError, c.says) })
		r.stop()
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
