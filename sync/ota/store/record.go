package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/egret-edge/egret/internal/wholefile"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Record is what must survive a restart about updates. The agent alone writes
// it, always before it acts on it.
type Record struct {
	// Models are by the bundle's name, as in models/<name>/<version>.
	Models map[string]Model `json:"models"`
	// Attempt is the one under way, or how the last one ended; nil before the
	// first.
	Attempt *Attempt `json:"attempt,omitempty"`
	// Seen is the newest rollout document by topic: older ones are replayed.
	Seen map[string]Stamp `json:"seen,omitempty"`
	// Failed are not tried again, oldest first.
	Failed []Failure `json:"failed,omitempty"`
	// MinSequence is the signed policy as it was seen last: by model, the
	// lowest sequence number that may still serve.
	MinSequence map[string]uint64 `json:"min_sequence,omitempty"`
	// Obeyed is the number of the last order that was carried out.
	Obeyed uint64 `json:"obeyed,omitempty"`
}

// Model is what serves under a model's name.
type Model struct {
	// Base is the configured path that the rest belongs to: with another one,
	// the configuration was changed on purpose and the rest is void.
	Base string `json:"base"`
	// Current serves; nil is the factory model: what Base says by itself.
	Current *Version `json:"current,omitempty"`
	// Previous is what to go back to; nil is the factory model.
	Previous *Version `json:"previous,omitempty"`
	// Looked is the highest version in the folder Base that was dealt with.
	Looked int `json:"looked,omitempty"`
}

// Version is one version of a model on this device.
type Version struct {
	Version int    `json:"version"`
	Dir     string `json:"dir"`
	// Digest is of the model file, as predictions have it.
	Digest string `json:"digest"`
	// Bundle is the SHA-256 of the zip file that it came in; empty without.
	Bundle   string `json:"bundle,omitempty"`
	Release  string `json:"release,omitempty"`
	Gen      uint64 `json:"gen,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
}

// Stamp is when a rollout document was written.
type Stamp struct {
	Gen uint64 `json:"gen"`
	Rev uint64 `json:"rev"`
}

// Failure is something that is not tried again.
type Failure struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// The ways by which a model comes.
const (
	ByRollout = "rollout" // its cohort's document
	ByPin     = "pin"     // the device's own document
	ByFolder  = "folder"  // somebody put it into the folder of the configured model
	ByOrder   = "order"   // egret model pin, promote or rollback
)

// Attempt is one new model's way.
type Attempt struct {
	State  payload.ReleaseState `json:"state"`
	Reason string               `json:"reason,omitempty"`
	Since  time.Time            `json:"since"`
	By     string               `json:"by"`
	// Key names it among the failures.
	Key string `json:"key"`
	// Doc is the document that asked for it; nil without.
	Doc   *release.Rollout `json:"doc,omitempty"`
	Model release.Model    `json:"model"`
	// NotBefore is when the download may begin.
	NotBefore time.Time `json:"not_before,omitzero"`
	// New is the version itself, from verifying on.
	New    Version        `json:"new,omitzero"`
	Limits release.Limits `json:"limits,omitzero"`
	// Starts counts the agent's starts in this state that had no orderly end so
	// far, of the states in which the model may be to blame.
	Starts int           `json:"starts,omitempty"`
	Proof  payload.Proof `json:"proof,omitzero"`
	// InvokeUs is the median Invoke of the model before it, measured beside it.
	InvokeUs float64 `json:"invoke_us,omitempty"`
}

const (
	recordFile = "record.json"
	// maxRecord bounds what is read; a record has a few kilobytes.
	maxRecord   = 1 << 20
	maxFailures = 64
)

// HasFailed tells whether key is among the failures.
func (r *Record) HasFailed(key string) (Failure, bool) {
	i := slices.IndexFunc(r.Failed, func(f Failure) bool { return f.Key == key })
	if i < 0 {
		return Failure{}, false
	}
	return r.Failed[i], true
}

// Fail remembers a failure, in the place of the oldest when there are many.
func (r *Record) Fail(key, reason string) {
	r.Forgive(key)
	r.Failed = append(r.Failed, Failure{key, reason})
	r.Failed = r.Failed[max(0, len(r.Failed)-maxFailures):]
}

// Forgive takes a failure back.
func (r *Record) Forgive(key string) {
	r.Failed = slices.DeleteFunc(r.Failed, func(f Failure) bool { return f.Key == key })
}

// Serving is the version that answers for a model now: the one on trial, or
// the current one; nil is the factory model.
func (r *Record) Serving(name string) *Version {
	if a := r.Attempt; a != nil && a.State == payload.Trial && a.Model.Name == name {
		return &a.New
	}
	return r.Models[name].Current
}

// Load reads the record. One that is not there is empty; one that is damaged is
// set aside and empty too, and the error says so: what is written next is whole.
func (s Store) Load() (Record, error) {
	r, err := s.Peek()
	if err == nil {
		return r, nil
	}
	path := filepath.Join(s.Updates(), recordFile)
	err = fmt.Errorf("%w: going on without it", err)
	return r, errors.Join(err, os.Rename(path, path+".damaged"))
}

// Peek is Load for who is not the agent: it changes nothing.
func (s Store) Peek() (Record, error) {
	r := Record{}
	path := filepath.Join(s.Updates(), recordFile)
	data, err := readLimited(path, maxRecord)
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil {
		err = r.check()
	}
	if err != nil {
		r = Record{}
	}
	if r.Models == nil {
		r.Models = map[string]Model{}
	}
	if r.Seen == nil {
		r.Seen = map[string]Stamp{}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	return r, fmt.Errorf("read the record of updates in %s: %w", path, err)
}

// check tells why a record cannot be gone on with: the state of an attempt says
// what has been proved, so one that is not known must not be guessed.
func (r *Record) check() error {
	a := r.Attempt
	if a == nil {
		return nil
	}
	switch a.State {
	case payload.Downloading:
		if a.Doc == nil {
			return errors.New("a download without its document")
		}
	case payload.Verifying, payload.Probing, payload.Shadow, payload.Trial,
		payload.Idle, payload.Committed, payload.RolledBack, payload.Rejected:
	default:
		return fmt.Errorf("an attempt in the unknown state %.50q", a.State)
	}
	return nil
}

// Save replaces the record; it is on disk when Save returns.
func (s Store) Save(r Record) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write the record of updates: %w", err)
	}
	if len(data) > maxRecord { // it could not be read again
		return fmt.Errorf("write the record of updates: it has more than %d KiB", maxRecord>>10)
	}
	return s.write(recordFile, data)
}

func (s Store) write(name string, data []byte) error {
	if err := os.MkdirAll(s.Updates(), 0o750); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := wholefile.Write(filepath.Join(s.Updates(), name), data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := wholefile.SyncDir(s.Updates()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d KiB", limit>>10)
	}
	return data, err
}
