package configs

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// API is the local HTTP interface and the dashboard.
type API struct {
	Enabled         bool     `yaml:"enabled" doc:"answer HTTP: dashboard, events, metrics, predictions"`
	Listen          string   `yaml:"listen" doc:"host:port; anything but loopback needs a token or client certificates"`
	TokenFile       string   `yaml:"token_file" doc:"file with the bearer token that callers must show, read anew when it changes"`
	TokenCredential string   `yaml:"token_credential" doc:"name of a systemd credential that holds the token"`
	TLS             APITLS   `yaml:"tls" doc:"answer HTTPS instead"`
	AllowedHosts    []string `yaml:"allowed_hosts" doc:"names besides localhost under which callers without a token may reach it, such as a reverse proxy's"`
	AllowedOrigins  []string `yaml:"allowed_origins" doc:"origins of other pages that browsers may let call it, such as https://panel.example.com"`
	Dashboard       bool     `yaml:"dashboard" doc:"serve the dashboard at /"`
	MaxBody         Bytes    `yaml:"max_body" min:"64KiB" max:"64MiB" doc:"largest body of a request"`
	MaxStreams      int      `yaml:"max_streams" min:"1" max:"1000" doc:"live pictures and event streams at a time"`
	MaxConnections  int      `yaml:"max_connections" min:"8" max:"10000" doc:"open connections; one that only waits makes room for another"`
	Requests        Requests `yaml:"requests" doc:"how requests for predictions share the models with the cameras"`
	GRPC            GRPC     `yaml:"grpc" doc:"TensorFlow Serving's gRPC interface"`
	Pprof           bool     `yaml:"pprof" doc:"Go's profiles at /debug/pprof/; only on loopback"`
}

// APITLS names PEM files.
type APITLS struct {
	CertFile     string `yaml:"cert_file" doc:"certificate chain"`
	KeyFile      string `yaml:"key_file" doc:"its key"`
	ClientCAFile string `yaml:"client_ca_file" doc:"authorities of client certificates; with it, callers must have one"`
}

// Requests bounds and orders predictions that are asked for.
type Requests struct {
	Priority     string   `yaml:"priority" enum:"fair,cameras,requests" doc:"who goes first when both wait: fair, each in turn; cameras; or requests, but for a frame a second"`
	Queue        int      `yaml:"queue" min:"1" max:"1000" doc:"examples that may wait for one model; more are refused"`
	Deadline     Duration `yaml:"deadline" min:"10ms" max:"5m" doc:"a request that is not answered by then is given up"`
	MaxBatchSize int      `yaml:"max_batch_size" min:"1" max:"64" doc:"examples of several requests in one Invoke, where the model can be loaded for so many; 1: no batches"`
	BatchTimeout Duration `yaml:"batch_timeout" min:"0s" max:"1s" doc:"how long the first example waits for others"`
}

// The priorities of Requests besides fair.
const (
	CamerasFirst  = "cameras"
	RequestsFirst = "requests"
)

// GRPC is the gRPC interface; token and TLS are the API's.
type GRPC struct {
	Enabled bool   `yaml:"enabled" doc:"answer gRPC"`
	Listen  string `yaml:"listen" doc:"host:port; anything but loopback needs a token or client certificates"`
}

// defaultAPI answers this machine alone.
func defaultAPI() API {
	return API{
		Enabled: true, Listen: "127.0.0.1:8080", Dashboard: true,
		MaxBody: 16 << 20, MaxStreams: 16, MaxConnections: 256,
		Requests: Requests{Priority: "fair", Queue: 32, Deadline: Duration(10 * time.Second), MaxBatchSize: 1},
		GRPC:     GRPC{Listen: "127.0.0.1:8500"},
	}
}

func (v *validator) api(a API) {
	if a.TokenFile != "" && a.TokenCredential != "" {
		v.fail("api.token_credential", "", "stands beside token_file: give one")
	}
	if (a.TLS.CertFile == "") != (a.TLS.KeyFile == "") {
		v.fail("api.tls", "", "has one of cert_file and key_file: give both or none")
	}
	if a.TLS.ClientCAFile != "" && a.TLS.CertFile == "" {
		v.fail("api.tls.client_ca_file", "", "needs cert_file and key_file")
	}
	if a.Enabled {
		v.listen("api.listen", a.Listen, a)
		if err := checkLoopback(a.Listen); a.Pprof && err != nil {
			v.fail("api.pprof", "listen on 127.0.0.1 and use a tunnel", "is for loopback alone: profiles tell the program's memory")
		}
	}
	if a.GRPC.Enabled {
		v.listen("api.grpc.listen", a.GRPC.Listen, a)
		if a.Enabled && a.GRPC.Listen == a.Listen {
			v.fail("api.grpc.listen", "give it another port", "is the address of api.listen")
		}
	}
	for i, o := range a.AllowedOrigins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			v.fail(fmt.Sprintf("api.allowed_origins[%d]", i), "write it as https://panel.example.com", "%q is no origin", o)
		}
	}
	for i, h := range a.AllowedHosts {
		if u, err := url.Parse("http://" + h); err != nil || h == "" || u.Hostname() != h || strings.Contains(h, "*") {
			v.fail(fmt.Sprintf("api.allowed_hosts[%d]", i), "write the name alone", "%q is no host name", h)
		}
	}
}

// listen checks an address, and that strangers on it must show who they are.
func (v *validator) listen(field, addr string, a API) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		v.fail(field, "", "%q is not host:port", addr)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		v.fail(field, "", "%q is no port: 0 to 65535", port)
		return
	}
	guarded := a.TokenFile != "" || a.TokenCredential != "" || a.TLS.ClientCAFile != ""
	if err := checkLoopback(addr); err != nil && !guarded {
		v.fail(field, "give token_file, or tls with client_ca_file", "%v, and everybody who reaches it could look through the cameras", err)
	}
}
