package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// plainError says in one line what is wrong and what to try, where the
// libraries' words say neither.
type plainError struct {
	text string
	err  error
}

func (e plainError) Error() string { return e.text }
func (e plainError) Unwrap() error { return e.err }

// dialError is the network's before there was a connection.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// closedByPeer tells whether the other side ended a connection, in order or not.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// day is how dates are written: with the hour, one error would be another one
// at each attempt.
const day = "2006-01-02"

// plainTLS is the reason why no encrypted connection came about. now is what
// this device takes the time to be.
func plainTLS(err error, cfg *tls.Config, now time.Time) error {
	if refused := plainAlert(err, cfg); refused != nil {
		return refused
	}
	var (
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		noTLS   tls.RecordHeaderError
		text    string
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		text = fmt.Sprintf("TLS: the broker's certificate is valid from %s on and this device's clock says %s: set the clock, or wait until it is set",
			invalid.Cert.NotBefore.UTC().Format(day), now.UTC().Format(day))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		text = fmt.Sprintf("TLS: the broker's certificate expired on %s and this device's clock says %s: renew the certificate, or set the clock",
			invalid.Cert.NotAfter.UTC().Format(day), now.UTC().Format(day))
	case errors.As(err, &host):
		text = fmt.Sprintf("TLS: the broker's certificate is for %s and not for %q: write a name of the certificate into mqtt.broker, or give the broker a certificate with this one",
			names(host.Certificate), host.Host)
	case errors.As(err, &unknown):
		text = "TLS: this device does not trust the authority of the broker's certificate: set mqtt.tls.ca_file to that authority's certificate"
	case errors.As(err, &noTLS):
		text = "TLS: the broker does not speak TLS on this port: use its TLS port (8883 as a rule), or tcp:// without TLS"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		text = "TLS: the broker took the connection and said nothing: is this its TLS port (8883 as a rule)?"
	case closedByPeer(err):
		text = "TLS: the broker closed the connection at once: is this its TLS port (8883 as a rule)?"
	default:
		return fmt.Errorf("TLS: %w", err)
	}
	return plainError{text, err}
}

// names are what a certificate is for.
func names(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no host at all"
	}
	if more := len(all) - 3; more > 0 {
		all = append(all[:3], fmt.Sprintf("%d more", more))
	}
	return strings.Join(all, ", ")
}

// plainHandshake is the reason why a broker that was reached gave no answer to
// CONNECT.
func plainHandshake(err error, u *url.URL, cfg *tls.Config) error {
	if refused := plainAlert(err, cfg); refused != nil {
		return refused
	}
	var network *net.OpError
	text := ""
	switch {
	case closedByPeer(err) && encrypted(u.Scheme) && !brings(cfg):
		text = "the broker closed the connection without an answer: if it wants a client certificate, set mqtt.tls.cert_file and key_file"
	case closedByPeer(err) && encrypted(u.Scheme):
		text = "the broker closed the connection without an answer: does it accept this device's certificate and client id?"
	case closedByPeer(err):
		text = "the broker closed the connection without an answer: is this an MQTT port, and one without TLS?"
	case errors.Is(err, os.ErrDeadlineExceeded):
		text = "the broker took the connection and did not answer in time: is this an MQTT port, and the broker well?"
	case errors.As(err, &network):
		return network
	default:
		text = fmt.Sprintf("what answered does not speak MQTT: is this the broker's port? (%v)", err)
	}
	return plainError{text, err}
}

// plainAlert is a broker's refusal in TLS' own words, nil when err is none. With
// TLS 1.3 that of a client's certificate comes only after the handshake.
func plainAlert(err error, cfg *tls.Config) error {
	var network *net.OpError
	if !errors.As(err, &network) || network.Op != "remote error" { // crypto/tls' name for an alert
		return nil
	}
	text := fmt.Sprintf("TLS: the broker refuses this device (%v): if it wants a client certificate, set mqtt.tls.cert_file and key_file", network.Err)
	if brings(cfg) {
		text = fmt.Sprintf("TLS: the broker refuses this device's certificate (%v): is mqtt.tls.cert_file of an authority that it trusts, and not expired?", network.Err)
	}
	return plainError{text, err}
}

// brings tells whether the client has a certificate to show.
func brings(cfg *tls.Config) bool { return cfg != nil && len(cfg.Certificates) > 0 }
