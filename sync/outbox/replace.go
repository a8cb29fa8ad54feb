package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/egret-edge/egret/internal/wholefile"
)

func lockedError(path string) error {
	who := ""
	if pid := lockHolder(path); pid > 0 {
		who = fmt.Sprintf(" (pid %d)", pid)
	}
	return fmt.Errorf("outbox %q is %w%s", path, ErrLocked, who)
}

// openOrReplace opens the file; a damaged one is set aside for a fresh one,
// which gets what can be read of it.
func openOrReplace(opts Options) (*bolt.DB, account, error) {
	db, acc, err := openFile(opts)
	if !isDamage(err) {
		return db, acc, err
	}
	aside, err := setAside(opts.Path, opts.Logger, err)
	if err != nil {
		return nil, acc, err
	}
	if db, acc, err = openFile(opts); err != nil {
		return nil, acc, err
	}
	s, err := salvage(aside, db, nil)
	if s.acc.Format != 0 {
		acc = s.acc
	}
	acc.settle(s)
	opts.Logger.Warn("records of the damaged outbox", "path", aside, "outcome", s.sayWhat(err))
	err = guard(func() error {
		return db.Update(func(tx *bolt.Tx) error { return writeAccount(tx, acc) })
	})
	if err != nil {
		return nil, acc, errors.Join(fmt.Errorf("open outbox %q: %w", opts.Path, err), guard(db.Close))
	}
	return db, acc, nil
}

func openFile(opts Options) (*bolt.DB, account, error) {
	db, err := openBolt(opts.Path, opts.LockTimeout, false)
	if err != nil {
		return nil, account{}, err
	}
	// Only now: nobody else writes to the file any more.
	var acc account
	fresh := false
	if err = checkFile(opts.Path, checkTime); err == nil {
		acc, fresh, err = startFile(db)
	}
	if err != nil {
		_ = guard(db.Close)
		return nil, acc, fmt.Errorf("open outbox %q: %w", opts.Path, err)
	}
	if fresh {
		if err := prefillNew(db, opts); err != nil {
			opts.Logger.Warn("cannot reserve the outbox's space, which costs the flash more writes", "path", opts.Path, "error", err)
		}
	}
	return db, acc, nil
}

// checkTime bounds the check of a file before it is used. It reads some 100
// MB a second and more; whoever has a larger backlog on a slow card shall not
// wait for it.
const checkTime = 2 * time.Second

func setAside(path string, log *slog.Logger, cause error) (aside string, err error) {
	aside = fmt.Sprintf("%s.damaged-%d", path, time.Now().Unix())
	for n := 1; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.damaged-%d.%d", path, time.Now().Unix(), n)
	}
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set damaged outbox aside: %w", err)
	}
	log.Error("outbox was damaged, starting a fresh one", "path", path, "kept", aside, "error", cause)
	old, _ := filepath.Glob(path + ".damaged-*")
	slices.SortFunc(old, func(a, b string) int { return modified(b).Compare(modified(a)) })
	for i, file := range old {
		if i >= maxAside && file != aside {
			_ = os.Remove(file)
		}
	}
	return aside, nil
}

// maxAside damaged files are kept: a failing card makes one after the other.
const maxAside = 3

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// replace is openOrReplace while running, called with flushMu held: what is
// in memory is kept, what was only in the file is saved as far as it can be
// read. The old file is not closed: after a panic bbolt may hold its own locks
// for ever.
func (o *Outbox) replace(cause error) error {
	aside, err := setAside(o.opts.Path, o.opts.Logger, cause)
	if err != nil {
		return err
	}
	db, _, err := openFile(o.opts)
	if err != nil {
		return err
	}
	// Appending and acknowledging go on meanwhile; nothing is read.
	o.mu.Lock()
	o.broken = cause
	skip := map[uint64]struct{}{}
	for first := range o.blocks {
		skip[first] = struct{}{}
	}
	maps.Copy(skip, o.dead)
	o.mu.Unlock()
	s, err := salvage(aside, db, func(first uint64) bool {
		_, skip := skip[first]
		return skip
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.opts.Logger.Warn("records of the damaged outbox", "path", aside, "outcome", s.sayWhat(err))
	kept := o.stored.recs
	for _, r := range kept {
		if r.state == done {
			continue
		}
		o.acc.Stored--
		r.blk, r.at = nil, time.Now()
		o.heldN++
		o.heldSize += int64(len(r.data))
	}
	o.held = line{recs: append(kept, o.held.recs...)}
	o.stored = line{}
	before := o.acc.Dropped[DroppedDamaged]
	acc := o.acc
	acc.NextSeq = o.nextSeq
	acc.settle(s)
	o.drops.add(DroppedDamaged, acc.Dropped[DroppedDamaged]-before)
	o.start(db, acc)
	o.counted = true
	o.changed()
	return nil
}

// countBoot makes the boot counter one more than it ever was. It is kept
// twice, since ids are made of it and must not come again when the file had to
// be replaced. The account is the first thing written to the file: damage that
// only a writer meets, such as that of the list of free pages, shows here.
func (o *Outbox) countBoot() error {
	side := o.opts.Path + ".boot"
	var seen uint64
	if buf, err := os.ReadFile(side); err == nil {
		// Anything unreadable counts as zero: the file itself knows better.
		seen, _ = strconv.ParseUint(strings.TrimSpace(string(buf)), 10, 64)
	}
	o.acc.Boot = max(o.acc.Boot, seen) + 1
	if err := wholefile.Write(side, []byte(strconv.FormatUint(o.acc.Boot, 10)+"\n")); errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		// The file itself has room for its account: see prefill.
		o.opts.Logger.Warn("the disk is full, the start is counted in the outbox only", "path", o.opts.Path)
	} else if err != nil {
		return fmt.Errorf("count boot: %w", err)
	}
	err := o.saveAccount()
	if isDamage(err) {
		if err = o.replace(err); err == nil {
			err = o.saveAccount()
		}
	}
	if err != nil {
		return fmt.Errorf("count boot in %q: %w", o.opts.Path, err)
	}
	return nil
}

func (o *Outbox) saveAccount() error {
	o.acc.NextSeq = o.nextSeq
	return guard(func() error {
		return o.db.Update(func(tx *bolt.Tx) error { return writeAccount(tx, o.acc) })
	})
}
