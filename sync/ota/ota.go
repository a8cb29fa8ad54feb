// Package ota is the device's side of a signed model repository: it brings the
// metadata of a TUF repository up to date, says which releases there are, and
// downloads their bundles.
//
// It does not unpack, try or install what it downloaded, and it takes no advice
// on what to trust from anything but the repository's root. Targets are those of
// the top-level role: delegations are not followed.
//
// What has been verified is kept in one file, trusted.json, which is replaced
// as a whole, and the newest root in root.json. The versions that have been seen
// are kept beside it, in floors.db: whoever deletes the first brings back no old
// release. A folder serves one repository and one process at a time.
//
// # Caveats
//
// The folder is trusted: who can write to it is root on the device anyway. Against
// accidents it is held in two places. A damaged floors.db is set aside as
// floors.db.damaged, and the floors, the time floor included, are those of
// trusted.json, which is verified before; a trusted.json that is torn, older than
// the floors or not verified is fetched again. Only when both are lost at once,
// and until the next Refresh that works, may an older state come back: one that
// the newest known root's keys signed and that has not expired by the device's
// clock or its build time, whichever is later. Signed states expire, with a
// timestamp of one day, after a day. When root.json is lost as well, that is one
// of the roots' chain from the pinned root on.
//
// A server that sends slowly but without pauses is not given up: whoever calls
// Download bounds it by its context. Refresh bounds each file by two minutes.
package ota

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The kinds of errors that a caller may tell apart.
var (
	ErrExpired    = errors.New("metadata has expired")       // installs nothing new; what runs goes on
	ErrRollback   = errors.New("older than what was seen")   // a version below one that this device has seen
	ErrSignature  = errors.New("metadata is not trusted")    // not signed by enough trusted keys, or no metadata at all
	ErrCorrupt    = errors.New("not what was signed")        // a length or a hash differs
	ErrTooLarge   = errors.New("too large")                  // more bytes than announced or allowed
	ErrNotListed  = errors.New("not listed")                 // the signed metadata has no such release
	ErrWithdrawn  = errors.New("withdrawn")                  // below the signed minimum sequence
	ErrUnfit      = errors.New("not for this device")        // other hardware, or a newer agent is needed
	ErrNoSpace    = errors.New("not enough space")           // checked before a download begins
	ErrNetwork    = errors.New("repository does not answer") // worth another try later
	ErrNoMetadata = errors.New("no metadata yet")            // Refresh has not worked so far
	ErrBusy       = errors.New("in use by another process")  // the state folder
)

// Options say where the repository is and what this device is. StateDir,
// MetadataURL, TargetsURL and Root are required.
type Options struct {
	StateDir    string
	MetadataURL string // of the folder with timestamp.json, http or https
	TargetsURL  string // of the folder that targets' paths start in
	Root        []byte // the pinned root.json
	Platform    string // GOOS/GOARCH, as in release.Meta.Hardware
	Agent       string // the agent's version
	Built       time.Time
	Log         *slog.Logger // nil: none
	HTTP        HTTP
	// Progress, which may be nil, is told how much of a bundle is there, after
	// each 256 KiB and at its end, before its hash is compared. It is called
	// while the client is locked, so it must not call the client.
	Progress func(done, total int64)
}

// Client is a repository as one device sees it. Its methods may be called from
// several goroutines; they run one after the other.
type Client struct {
	o     Options
	fetch *fetcher
	now   func() time.Time
	step  func(string) error           // a test's hook before each change on disk
	free  func(string) (uint64, error) // freeSpace, or a test's

	mu     sync.Mutex // guards all following fields
	floors *ledger
	root   []byte // the newest: the pinned one or one that signatures led to since
	view   *view  // the last good state; nil before the first
}

// Open reads the state of an earlier run; it asks nothing of the network. State
// that is torn is removed: the next Refresh fetches it again.
func Open(o Options) (*Client, error) {
	if o.StateDir == "" || len(o.Root) == 0 {
		return nil, errors.New("open repository client: a state folder and a root are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f, err := newFetcher(o.HTTP, o.MetadataURL, o.TargetsURL)
	if err != nil {
		return nil, fmt.Errorf("open repository client: %w", err)
	}
	if _, err := parseRoot(o.Root); err != nil {
		return nil, fmt.Errorf("open repository client: pinned root: %w: %v", ErrSignature, oneLine(err))
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("open repository client: %w", err)
	}
	l, err := openLedger(filepath.Join(o.StateDir, "floors.db"), o.Log)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, fetch: f, floors: l, root: o.Root, now: time.Now, free: freeSpace, step: func(string) error { return nil }}
	if err := c.load(); err != nil {
		_ = l.close()
		return nil, err
	}
	return c, nil
}

// Close ends the client and frees its folder for others.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetch.close()
	return c.floors.close()
}

func (c *Client) statePath() string { return filepath.Join(c.o.StateDir, "trusted.json") }

func (c *Client) rootPath() string { return filepath.Join(c.o.StateDir, "root.json") }

// load takes over what an earlier run left, as far as it is whole, signed by
// keys that are still trusted, and not older than what this device has seen.
func (c *Client) load() error {
	s, err := readState(c.statePath())
	if e := c.loadRoot(s.Root); e != nil {
		return e
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var v *view
	if err == nil {
		s.Root = c.root
		v, err = s.verify()
	}
	if err == nil {
		err = c.floors.fl.check(v.versions)
	}
	if err == nil {
		c.view = v
		// A crash may have come between the file and its floors, or they are lost.
		return c.floors.write(c.floors.fl.raise(v.versions, s.Time))
	}
	c.o.Log.Warn("saved repository metadata is unusable and will be fetched again", "error", oneLine(err))
	if e := os.Remove(c.statePath()); e != nil && !errors.Is(e, os.ErrNotExist) {
		return fmt.Errorf("remove unusable repository metadata: %w", e)
	}
	return nil
}

// loadRoot takes the newest root that is whole: the pinned one, that of
// root.json, or, when a power cut tore that, the one beside the saved metadata.
func (c *Client) loadRoot(beside []byte) error {
	newest, err := parseRoot(c.root)
	if err != nil {
		return err
	}
	switch saved, err := readLimited(c.rootPath(), maxRoot); {
	case err == nil:
		n, err := parseRoot(saved)
		if err != nil {
			c.o.Log.Warn("the saved root is unusable", "error", oneLine(err))
		} else if n > newest {
			newest, c.root = n, saved
		}
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("read the saved root: %w", err)
	}
	if n, err := parseRoot(beside); err == nil && n > newest {
		c.root = beside
		return c.write("root", c.rootPath(), beside)
	}
	return nil
}

// reference is the time that expiry is judged by. A small device has no clock
// at boot: it is at least as late as the last good refresh and as the build.
func (c *Client) reference() time.Time {
	t := c.now()
	for _, other := range []time.Time{c.floors.fl.Time, c.o.Built} {
		if other.After(t) {
			t = other
		}
	}
	return t
}
