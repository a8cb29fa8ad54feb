package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/egret-edge/egret/configs"
)

// health runs the command and gives its exit code and all that it said.
func health(args ...string) (int, string) {
	var out bytes.Buffer
	code := run(append([]string{"health"}, args...), strings.NewReader(""), &out, &out)
	return code, out.String()
}

// answering is a server that says what a real one might.
func answering(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		fmt.Fprintln(w, "ok")
	case "/away":
		http.Redirect(w, r, "/healthz", http.StatusFound)
	case "/stuck":
		<-r.Context().Done()
	case "/readyz":
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "not ready: camera front gives no frames\nsecond line\n")
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

func TestHealthURL(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(answering))
	defer s.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct {
		name, url, timeout string
		code               int
		want               string
	}{
		{"well", s.URL + "/healthz", "10s", 0, "ok\n"},
		{"elsewhere", s.URL + "/away", "10s", 0, "ok\n"},
		{"not ready", s.URL + "/readyz", "10s", 1, "503 Service Unavailable: not ready: camera front gives no frames\n"},
		{"refused without words", s.URL + "/other", "10s", 1, "403 Forbidden"},
		{"nobody there", gone.URL, "10s", 1, "does not answer"},
		{"silent", s.URL + "/stuck", "50ms", 1, "deadline exceeded"},
		{"no address", "healthz", "10s", 2, `--url "healthz" is no address`},
		{"another protocol", "ftp://127.0.0.1/healthz", "10s", 2, "is no address"},
		{"no time", s.URL + "/healthz", "0s", 2, "--timeout 0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, said := health("--url", c.url, "--timeout", c.timeout)
			if code != c.code || !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
				t.Errorf("exit code %d, %q: want %d and one line with %q", code, said, c.code, c.want)
			}
		})
	}
}

// TestHealthOfConfiguration asks where the configuration says that the agent
// listens, by TLS as well: the certificate is for another name there.
func TestHealthOfConfiguration(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(answering))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(answering))
	defer secure.Close()
	for _, c := range []struct {
		name, api string
		code      int
		want      string
	}{
		{"loopback", "{listen: '" + hostPort(t, plain.URL) + "'}", 0, "ok"},
		{"all addresses", "{listen: '0.0.0.0:" + port(t, plain.URL) + "', token_file: t}", 0, "ok"},
		{"TLS", "{listen: '" + hostPort(t, secure.URL) + "', tls: {cert_file: c.pem, key_file: k.pem}}", 0, "ok"},
		{"plain where TLS is meant", "{listen: '" + hostPort(t, secure.URL) + "'}", 1, "400 Bad Request"},
		{"client certificates", "{tls: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem}}", 1, "asks callers for a certificate"},
		{"switched off", "{enabled: false}", 1, "api.enabled is false"},
		{"wrong", "{listne: ':1'}", 2, "listen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "egret.yaml")
			text := "models: [{name: m, path: m.tflite}]\ncameras: [{name: c, source: 'pattern:'}]\napi: " + c.api + "\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			code, said := health("--config", file, "--timeout", "10s")
			if code != c.code || !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
				t.Errorf("exit code %d, %q: want %d and one line with %q", code, said, c.code, c.want)
			}
		})
	}
}

func TestHealthURLOf(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080":   "http://127.0.0.1:8080/healthz",
		":8080":            "http://127.0.0.1:8080/healthz",
		"0.0.0.0:1":        "http://127.0.0.1:1/healthz",
		"[::]:8080":        "http://[::1]:8080/healthz",
		"[fe80::1]:8080":   "http://[fe80::1]:8080/healthz",
		"10.0.0.7:8080":    "http://10.0.0.7:8080/healthz",
		"panel.local:8080": "http://panel.local:8080/healthz",
	} {
		got, err := healthURL(configs.API{Enabled: true, Listen: listen})
		if err != nil || got != want {
			t.Errorf("%s: %q, %v: want %q", listen, got, err, want)
		}
	}
}

func hostPort(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(hostPort(t, address))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
