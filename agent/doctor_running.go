package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/egret-edge/egret/agent/checkup"
	"github.com/egret-edge/egret/configs"
)

// agentState is what the doctor reads of the running agent's /api/status.
type agentState struct {
	Version string        `json:"version"`
	Uptime  float64       `json:"uptime_s"`
	Cameras []agentCamera `json:"cameras"`
}

type agentCamera struct {
	Name      string  `json:"name"`
	Source    string  `json:"source"`
	State     string  `json:"state"`
	Captured  uint64  `json:"captured"`
	FPS       float64 `json:"fps"`
	LastError string  `json:"last_error"`
}

// agentPatience bounds the question to the running agent, maxStatus its answer.
const (
	agentPatience = 5 * time.Second
	maxStatus     = 4 << 20
)

// askAgent asks the agent that runs with this configuration how it is. The error
// says why it cannot be asked.
func askAgent(ctx context.Context, cfg configs.Config) (*agentState, error) {
	switch {
	case !cfg.API.Enabled:
		return nil, errors.New("api.enabled is false")
	case cfg.API.TLS.ClientCAFile != "":
		return nil, errors.New("it wants a client certificate (api.tls.client_ca_file)")
	}
	d := &doctor{cfg: cfg}
	var err error
	if cfg.API.TokenFile, err = d.secretFile(cfg.API.TokenFile, cfg.API.TokenCredential); err != nil {
		return nil, err
	}
	if cfg.API.TokenFile != "" {
		cfg.API.TokenCredential = ""
	}
	token, err := apiToken(cfg.API)
	if err != nil {
		return nil, err
	}
	client, base, err := localClient(cfg.API)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/status", nil)
	if err != nil {
		return nil, err
	}
	if token != nil {
		t, err := token()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+string(t))
	}
	return readStatus(client.Do(req))
}

func readStatus(resp *http.Response, err error) (*agentState, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	var s agentState
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&s); err != nil || s.Version == "" {
		return nil, errors.New("what answers at api.listen is no egret")
	}
	return &s, nil
}

// localClient reaches the agent's own door on this machine. With TLS it takes
// the very certificate that is configured and no other: its name need not be
// localhost.
func localClient(cfg configs.API) (*http.Client, string, error) {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	base := "http://" + net.JoinHostPort(host, port)
	transport := &http.Transport{Proxy: nil}
	if cfg.TLS.CertFile != "" {
		base = "https://" + net.JoinHostPort(host, port)
		pair, err := tls.LoadX509KeyPair(cfg.TLS.CertFile, cfg.TLS.KeyFile)
		if err != nil {
			return nil, "", fmt.Errorf("api.tls: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || !bytes.Equal(raw[0], pair.Certificate[0]) {
				return errors.New("it shows another certificate than api.tls.cert_file: was it renewed, or is it another program?")
			}
			return nil
		}}
	}
	return &http.Client{Transport: transport}, base, nil
}

// since is when the agent started.
func (s *agentState) since() string {
	return time.Now().Add(-time.Duration(s.Uptime * float64(time.Second))).UTC().Format(time.RFC3339)
}

// camera finds the running agent's camera of that name and source; a changed
// source that was not reloaded is another camera.
func (s *agentState) camera(name, source string) (agentCamera, bool) {
	if s == nil {
		return agentCamera{}, false
	}
	i := slices.IndexFunc(s.Cameras, func(c agentCamera) bool { return c.Name == name && c.Source == source })
	if i < 0 {
		return agentCamera{}, false
	}
	return s.Cameras[i], true
}

// verdict is what the agent says of its camera.
func (c agentCamera) verdict() checkup.Verdict {
	switch c.State {
	case "running":
		if c.Captured == 0 {
			return checkup.Verdict{Level: checkup.Warn, Detail: "the running agent has it, and no frame of it yet: ask again in ten seconds"}
		}
		return checkup.Verdict{Level: checkup.OK, Detail: fmt.Sprintf("the running agent has it: %d frames so far, %.1f predictions/s", c.Captured, c.FPS)}
	case "ended":
		return checkup.Verdict{Level: checkup.OK, Detail: fmt.Sprintf("the running agent has read all of it: %d frames", c.Captured)}
	}
	return checkup.Verdict{Level: checkup.Fail, Detail: fmt.Sprintf("the running agent waits for it and tries again: %s", c.LastError)}
}
