package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/configs"
)

func newHealth() *cobra.Command {
	var path, url string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running agent whether it is alive, for scripts and containers",
		Long: `Ask a running agent's /healthz, which needs no token, and print what it says.
The address is that of api.listen in the configuration; --url asks elsewhere.

Exit code 0 when the agent answers, 1 when it does not, 2 when the configuration
is wrong.`,
		Example: `  egret health
  egret health --url http://127.0.0.1:8080/healthz`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usageError{fmt.Errorf("--timeout %v: must be more than 0", timeout)}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			var trust *tls.Config // nil: the system's authorities
			if url == "" {
				cfg, err := configs.Load(path)
				if err != nil {
					return err
				}
				if url, err = healthURL(cfg.API); err != nil {
					return err
				}
				// The certificate is for the name by which others know this device, and
				// often of an authority of its own. The question holds no secret.
				trust = &tls.Config{InsecureSkipVerify: true}
			}
			return askHealth(ctx, cmd.OutOrStdout(), url, trust)
		}),
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&url, "url", "", "ask this `address` instead of the configured one")
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "give up after this long")
	return cmd
}

// healthURL is where the agent with this configuration answers on its own
// machine.
func healthURL(a configs.API) (string, error) {
	if !a.Enabled {
		return "", errors.New("api.enabled is false, so there is nobody to ask: switch the API on, or give --url")
	}
	if a.TLS.ClientCAFile != "" {
		return "", errors.New("api.tls.client_ca_file asks callers for a certificate, and this command has none: give --url of a door without, or use a check of your own")
	}
	host, port, err := net.SplitHostPort(a.Listen)
	if err != nil {
		return "", fmt.Errorf("api.listen: %w", err)
	}
	// All addresses, or all of one family.
	switch ip := net.ParseIP(host); {
	case host == "", ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.Equal(net.IPv6unspecified):
		host = "::1"
	}
	scheme := "http"
	if a.TLS.CertFile != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/healthz", nil
}

// askHealth prints the first line of the answer; only the status 200 is well.
// trust says whose certificates are taken; nil: those of the system's
// authorities.
func askHealth(ctx context.Context, w io.Writer, url string, trust *tls.Config) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil || req.URL.Host == "" || (req.URL.Scheme != "http" && req.URL.Scheme != "https") {
		return usageError{fmt.Errorf("--url %q is no address: write it as http://127.0.0.1:8080/healthz", url)}
	}
	// No proxy: it would answer for itself.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the agent does not answer: %w", err)
	}
	defer res.Body.Close()
	said := bufio.NewScanner(io.LimitReader(res.Body, 4<<10))
	said.Scan() // an empty answer is one too
	line := strings.TrimSpace(said.Text())
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s: %s", url, res.Status, line)
	}
	_, err = fmt.Fprintln(w, line)
	return err
}
