// Package mosquitto runs a real Mosquitto broker for tests: on loopback, on a
// port that the system picks, with a configuration and a folder of its own.
//
// It is for tests only and never skips one: a missing binary fails the test
// and says what to install.
package mosquitto

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// TB is what Start needs of a *testing.T: `make bench` has none, and gives
// something of its own.
type TB interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Fatal(...any)
	Fatalf(string, ...any)
}

// Config chooses what the broker asks for. The zero value is open TCP.
type Config struct {
	// User and Password are required of every client when set.
	User, Password string
	// CA, Cert and Key are PEM files; setting them turns on TLS, and clients
	// must bring a certificate of that CA.
	CA, Cert, Key string
	// WebSocket makes the listener speak MQTT over WebSocket.
	WebSocket bool
	// Persistence keeps sessions and their queued messages over a Restart, so
	// that a subscriber with a session of its own misses nothing.
	Persistence bool
	// MaxPacket is the size in bytes above which it closes the connection.
	// Zero means no limit.
	MaxPacket int
}

// Broker is a running Mosquitto. It ends with its test.
type Broker struct {
	t    TB
	dir  string
	addr string

	mu     sync.Mutex
	cmd    *exec.Cmd
	output *bytes.Buffer
}

// Start starts a broker and waits until it accepts connections.
func Start(t TB, cfg Config) *Broker {
	t.Helper()
	b := &Broker{t: t, dir: t.TempDir()}
	// Another process may take the port before Mosquitto does: pick again.
	for try := 0; ; try++ {
		b.addr = freeAddr(t)
		b.configure(cfg)
		err := b.start()
		if err == nil {
			break
		}
		if try == 4 {
			t.Fatal(err)
		}
	}
	t.Cleanup(b.Stop)
	return b
}

// Addr is "127.0.0.1:port", the same over every Restart.
func (b *Broker) Addr() string { return b.addr }

// Stop ends the broker by its process id and waits for it.
func (b *Broker) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	_ = b.cmd.Process.Signal(syscall.SIGCONT) // or frozen
	_ = b.cmd.Wait()                          // its exit code says nothing here
	b.cmd = nil
}

// Kill ends the broker as a crash does, and waits for it.
func (b *Broker) Kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill() // it may be gone already
	_ = b.cmd.Wait()         // it was killed: that is its error
	b.cmd = nil
}

// Restart starts the broker again, after Stop or while it runs, on the same
// port and without what it knew.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	if err := b.start(); err != nil {
		b.t.Fatal(err)
	}
}

// Freeze stops the broker where it is, as a machine that swaps does: its
// connections stay open and nothing answers. Thaw lets it go on.
func (b *Broker) Freeze() { b.signal(syscall.SIGSTOP) }

// Thaw ends a Freeze, or does nothing.
func (b *Broker) Thaw() { b.signal(syscall.SIGCONT) }

func (b *Broker) signal(s syscall.Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd != nil {
		_ = b.cmd.Process.Signal(s) // it may be gone already
	}
}

func freeAddr(t TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (b *Broker) configure(cfg Config) {
	b.t.Helper()
	_, port, _ := net.SplitHostPort(b.addr)
	// As root it changes to another user, who could not read the test's folder.
	conf := fmt.Sprintf("persistence false\nmax_queued_messages 0\nuser root\nlistener %s 127.0.0.1\n", port)
	if cfg.Persistence {
		conf = fmt.Sprintf("persistence true\npersistence_location %s/\nmax_queued_messages 0\nuser root\nlistener %s 127.0.0.1\n", b.dir, port)
	}
	if cfg.MaxPacket > 0 {
		// It is not of a listener; before the first one it is of them all.
		conf = fmt.Sprintf("max_packet_size %d\n", cfg.MaxPacket) + conf
	}
	if cfg.WebSocket {
		// Without ipv4 it would listen on every address, and with WebSocket
		// listeners only, Mosquitto 2.0.11 says that it has none and ends.
		conf += fmt.Sprintf("socket_domain ipv4\nprotocol websockets\nlistener 0 %s\n", filepath.Join(b.dir, "s"))
	}
	if cfg.CA != "" {
		conf += fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\n", cfg.CA, cfg.Cert, cfg.Key)
	}
	if cfg.User == "" {
		conf += "allow_anonymous true\n"
	} else {
		conf += fmt.Sprintf("allow_anonymous false\npassword_file %s\n", b.passwords(cfg))
	}
	if err := os.WriteFile(filepath.Join(b.dir, "mosquitto.conf"), []byte(conf), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *Broker) passwords(cfg Config) string {
	b.t.Helper()
	path := filepath.Join(b.dir, "passwords")
	out, err := exec.Command("mosquitto_passwd", "-b", "-c", path, cfg.User, cfg.Password).CombinedOutput()
	if err != nil {
		b.t.Fatalf("mosquitto_passwd: %v: %s (apt-get install mosquitto)", err, out)
	}
	return path
}

// binary: Debian puts it where an ordinary user's PATH does not look.
func binary() (string, error) {
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("mosquitto is not installed and this test needs it: apt-get install mosquitto")
}

func (b *Broker) start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	path, err := binary()
	if err != nil {
		b.t.Fatal(err)
	}
	b.output = new(bytes.Buffer)
	cmd := exec.Command(path, "-c", filepath.Join(b.dir, "mosquitto.conf"))
	cmd.Stdout, cmd.Stderr = b.output, b.output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start mosquitto: %w", err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", b.addr); err == nil {
			_ = conn.Close()
			b.cmd = cmd
			return nil
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return fmt.Errorf("mosquitto does not listen on %s: %s", b.addr, b.output)
}
