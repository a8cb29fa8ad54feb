package ota

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// HTTP says how to reach the repository. The zero value works.
type HTTP struct {
	Proxy     string        // a URL; empty: as the environment says
	CAFile    string        // PEM, instead of the system's authorities
	TokenFile string        // a bearer token, read anew for each request
	Bandwidth int64         // bytes per second, 0: no limit
	Stall     time.Duration // how long a server may be silent; 0: 30 s
	Retries   int           // further tries of a request; 0: 4, below 0: none
	MaxWait   time.Duration // between tries, whatever the server asks; 0: 1 min
}

const (
	maxRedirects = 5
	maxToken     = 16 << 10
	// metadataTime bounds one file of metadata: a server that sends a byte now
	// and then never stalls.
	metadataTime = 2 * time.Minute
)

type fetcher struct {
	h                 HTTP
	metadata, targets *url.URL
	client            *retryablehttp.Client
	transport         *http.Transport
	sleep             func(context.Context, time.Duration) // or a test's
}

// final is an error after which another try of the same request is in vain, or
// that comes after all of them.
type final struct{ error }

func (e final) Unwrap() error { return e.error }

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func newFetcher(h HTTP, metadataURL, targetsURL string) (*fetcher, error) {
	f := &fetcher{h: h, sleep: sleep}
	if f.h.Stall <= 0 {
		f.h.Stall = 30 * time.Second
	}
	if f.h.Retries == 0 {
		f.h.Retries = 4
	}
	f.h.Retries = max(f.h.Retries, 0)
	if f.h.MaxWait <= 0 {
		f.h.MaxWait = time.Minute
	}
	var err error
	if f.metadata, err = parseURL(metadataURL); err != nil {
		return nil, err
	}
	if f.targets, err = parseURL(targetsURL); err != nil {
		return nil, err
	}
	if f.transport, err = newTransport(f.h); err != nil {
		return nil, err
	}
	f.client = retryablehttp.NewClient()
	f.client.Logger = nil
	f.client.HTTPClient = &http.Client{Transport: f, CheckRedirect: checkRedirect}
	f.client.RetryMax = f.h.Retries
	f.client.RetryWaitMin = min(time.Second, f.h.MaxWait)
	f.client.RetryWaitMax = f.h.MaxWait
	f.client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	f.client.Backoff = func(low, high time.Duration, n int, r *http.Response) time.Duration {
		return min(retryablehttp.DefaultBackoff(low, high, n, r), high)
	}
	f.client.CheckRetry = func(ctx context.Context, r *http.Response, err error) (bool, error) {
		if errors.As(err, new(final)) {
			return false, nil
		}
		return retryablehttp.DefaultRetryPolicy(ctx, r, err)
	}
	return f, nil
}

func newTransport(h HTTP) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // lengths are of what was signed
	t.ResponseHeaderTimeout = h.Stall
	t.MaxResponseHeaderBytes = 64 << 10
	if h.Proxy != "" {
		u, err := url.Parse(h.Proxy)
		if err != nil || u.Host == "" {
			return nil, errors.New("the proxy is not a URL such as http://proxy:3128")
		}
		t.Proxy = http.ProxyURL(u)
	}
	if h.CAFile != "" {
		pem, err := os.ReadFile(h.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %q holds no certificate in PEM", h.CAFile)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return t, nil
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%.200q is not an http or https URL without user and password", s)
	}
	return u, nil
}

func checkRedirect(to *http.Request, via []*http.Request) error {
	switch last := via[len(via)-1].URL.Scheme; {
	case len(via) > maxRedirects:
		return final{fmt.Errorf("more than %d redirects", maxRedirects)}
	case to.URL.Scheme != "https" && to.URL.Scheme != last:
		return final{fmt.Errorf("redirect from %s to %s", last, to.URL.Scheme)}
	}
	return nil
}

// RoundTrip adds the token, for the configured hosts alone: a redirect may lead
// anywhere.
func (f *fetcher) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.h.TokenFile != "" && (sameHost(r.URL, f.metadata) || sameHost(r.URL, f.targets)) {
		data, err := readLimited(f.h.TokenFile, maxToken)
		if err != nil {
			return nil, final{fmt.Errorf("read token: %w", err)}
		}
		token := strings.TrimSpace(string(data))
		if token == "" || len(data) > maxToken || strings.ContainsAny(token, "\r\n") {
			return nil, final{fmt.Errorf("token file %q must hold one line", f.h.TokenFile)}
		}
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return f.transport.RoundTrip(r)
}

func sameHost(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

func (f *fetcher) close() { f.transport.CloseIdleConnections() }

// get asks for a URL, several times where that may help; its error is final. The body that it returns fails when the server falls
// silent, keeps to the bandwidth, and frees everything when it is closed.
func (f *fetcher) get(ctx context.Context, u string, header http.Header) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := f.client.Do(req)
	if err != nil {
		ended := ctx.Err() // the caller's doing, not the server's
		cancel(nil)
		if res != nil {
			res.Body.Close()
		}
		if ended != nil {
			return nil, final{fmt.Errorf("%w: %w", ErrNetwork, ended)}
		}
		return nil, final{fmt.Errorf("%w: %s", ErrNetwork, oneLine(err))}
	}
	res.Body = &body{from: res.Body, ctx: ctx, cancel: cancel, stall: f.h.Stall, rate: f.h.Bandwidth, sleep: f.sleep}
	return res, nil
}

type body struct {
	from   io.ReadCloser
	ctx    context.Context // of this one response
	cancel context.CancelCauseFunc
	stall  time.Duration
	rate   int64
	sleep  func(context.Context, time.Duration)
}

var errStall = errors.New("the server sends nothing")

func (b *body) Read(p []byte) (int, error) {
	if b.rate > 0 {
		// A tenth of a second at a time, or the limit would be one of bursts.
		p = p[:min(int64(len(p)), max(b.rate/10, 1))]
	}
	timer := time.AfterFunc(b.stall, func() { b.cancel(errStall) })
	n, err := b.from.Read(p)
	timer.Stop()
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause // what was read fails of it, in other words
		}
		err = fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	if b.rate > 0 && n > 0 && err == nil {
		b.sleep(b.ctx, time.Duration(n)*time.Second/time.Duration(b.rate))
	}
	return n, err
}

func (b *body) Close() error {
	b.cancel(nil)
	return b.from.Close()
}

// bound is what go-tuf takes, which knows no contexts.
type bound struct {
	ctx context.Context
	f   *fetcher
}

// DownloadFile implements go-tuf's fetcher.Fetcher.
func (b bound) DownloadFile(u string, limit int64, _ time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(b.ctx, metadataTime)
	defer cancel()
	for try := 0; ; try++ {
		data, err := b.once(ctx, u, limit)
		if err == nil || errors.As(err, new(final)) || !errors.Is(err, ErrNetwork) || try >= b.f.h.Retries || ctx.Err() != nil {
			return data, err
		}
		b.f.pause(ctx, try)
	}
}

func (b bound) once(ctx context.Context, u string, limit int64) ([]byte, error) {
	res, err := b.f.get(ctx, u, nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: res.StatusCode, URL: u}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if res.ContentLength > limit || int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", u, ErrTooLarge, limit)
	}
	return data, nil
}

// pause waits before another try.
func (f *fetcher) pause(ctx context.Context, try int) {
	f.sleep(ctx, f.client.Backoff(f.client.RetryWaitMin, f.client.RetryWaitMax, try, nil))
}
