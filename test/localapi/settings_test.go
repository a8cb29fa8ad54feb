package localapi

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/egret-edge/egret/agent/api/serving/tfproto"
	"github.com/egret-edge/egret/test/smallmodel"
)

// asks is the status of a GET on a connection of its own, with a token or
// without; 0 when nobody answers.
func (d *device) asks(path, token string) int {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, d.url+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Close = true
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := d.client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// becomes waits for a status.
func (d *device) becomes(path, token string, want int) {
	d.t.Helper()
	got := -1
	for deadline := d.deadline(); got != want; {
		if got = d.asks(path, token); got != want && deadline() {
			d.t.Fatalf("GET %s gives %d, want %d", path, got, want)
		}
	}
}

// TestSettings changes the interface's settings one after the other, while the
// camera goes on.
func TestSettings(t *testing.T) {
	t.Parallel()
	d := newDevice(t, "")
	d.version(1, smallmodel.Options{Side: 32})
	use := func(settings string) {
		t.Helper()
		d.write(strings.ReplaceAll(fmt.Sprintf(colours, settings), "FPS", "20"))
		if d.reload != nil {
			frames := d.frames.Load()
			d.reloaded()
			d.eventually("a frame after the reload", func() bool { return d.frames.Load() > frames })
		}
	}
	use("")
	d.begin().answers()

	before := d.url
	d.listen = freePort(t)
	d.url = "http://" + d.listen
	use("")
	d.becomes("/api/status", "", 200)
	d.becomes("/", "", 200)
	if got := (&device{t: t, url: before, client: d.client}).asks("/healthz", ""); got != 0 {
		t.Errorf("the port before gives %d", got)
	}

	put(t, d.dir, "token", []byte(token))
	use("token_file: DIR/token")
	d.becomes("/api/status", "", 401)
	d.becomes("/api/status", token, 200)
	d.becomes("/v1/models/m", "", 401)
	d.becomes("/healthz", "", 200)
	second := strings.Repeat("x", len(token))
	put(t, d.dir, "token", []byte(second)) // no reload
	d.becomes("/api/status", second, 200)
	d.becomes("/api/status", token, 401)
	use("")
	d.becomes("/api/status", "", 200)

	grpcAt := freePort(t)
	ask := func() codes.Code {
		c := caller{at: grpcAt}
		_, err := tfproto.NewModelServiceClient(c.dial(t)).GetModelStatus(c.context(t), &tfproto.GetModelStatusRequest{ModelSpec: spec})
		return status.Code(err)
	}
	if got := ask(); got != codes.Unavailable {
		t.Errorf("gRPC that is off gives %v", got)
	}
	use(fmt.Sprintf("grpc: {enabled: true, listen: %q}", grpcAt))
	d.eventually("gRPC", func() bool { return ask() == codes.OK })
	use("")
	if got := ask(); got != codes.Unavailable {
		t.Errorf("gRPC that was turned off gives %v", got)
	}

	use("dashboard: false")
	d.becomes("/", "", 404)
	d.becomes("/api/status", "", 200)
	use("enabled: false")
	d.becomes("/api/status", "", 0)
	use("")
	d.becomes("/api/status", "", 200)
	if d.whole(); d.log.count("level=ERROR")+d.log.count("did not end in time") > 0 {
		t.Error("something went wrong on the way")
	}
}

// TestTakenPort: a port that is another program's keeps the agent from nothing
// but answering there.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	d := newDevice(t, strings.ReplaceAll(fmt.Sprintf(colours, ""), "FPS", "10"))
	d.version(1, smallmodel.Options{Side: 32})
	other, err := net.Listen("tcp", d.listen)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	d.begin()
	// Long enough for a second attempt, which comes after a second or so.
	d.eventually("predictions", func() bool { return d.frames.Load() > 25 })
	if n := d.log.count("nobody can ask here for now"); n != 1 {
		t.Errorf("it was said %d times that the port is taken", n)
	}
	other.Close()
	d.answers()
	d.goesOn(2)
}

// TestRenewedCertificate: the new one is shown without a reload, and until both
// of its files are there, the one before.
func TestRenewedCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	d := newDevice(t, strings.ReplaceAll(fmt.Sprintf(colours, "tls: {cert_file: DIR/cert.pem, key_file: DIR/key.pem}"), "FPS", "10"))
	d.version(1, smallmodel.Options{Side: 32})
	ca.issue(t, d.dir)
	d.url = "https://" + d.listen
	d.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: ca.pool()}
	d.begin().answers()
	serial := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", d.listen, &tls.Config{RootCAs: ca.pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	cert, key := ca.pair(t)
	put(t, d.dir, "cert.pem", cert)
	if got := serial(); got != first {
		t.Errorf("certificate %s with the key of %s", got, first)
	}
	put(t, d.dir, "key.pem", key)
	if got := serial(); got == first {
		t.Error("the certificate before is still shown")
	}
	d.becomes("/api/status", "", 200)
}

// TestReplacedAuthority: after a reload, those whose certificates are from an
// authority that was taken out of its file are not answered any more.
func TestReplacedAuthority(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	d := newDevice(t, strings.ReplaceAll(fmt.Sprintf(colours, "tls: {cert_file: DIR/cert.pem, key_file: DIR/key.pem, client_ca_file: DIR/clients.pem}"), "FPS", "10"))
	d.version(1, smallmodel.Options{Side: 32})
	ca.issue(t, d.dir)
	put(t, d.dir, "clients.pem", ca.pem)
	d.url = "https://" + d.listen
	ask := func(shown tls.Certificate) error {
		c := newClient(t)
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{shown}}
		res, err := c.Get(d.url + "/healthz")
		if err == nil {
			res.Body.Close()
		}
		c.CloseIdleConnections()
		return err
	}
	before, after := ca.client(t), other.client(t)
	d.begin()
	d.eventually("an answer", func() bool { return ask(before) == nil })
	if ask(after) == nil {
		t.Error("a stranger was answered")
	}
	put(t, d.dir, "clients.pem", other.pem)
	d.reloaded()
	d.eventually("an answer to the new authority's", func() bool { return ask(after) == nil })
	if ask(before) == nil {
		t.Error("the authority before still counts")
	}
}
