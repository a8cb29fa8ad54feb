//go:build unix

package outbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child is what the test binary does when it is started again by a test.
func child(mode, path string) int {
	if mode == "full" {
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: 256 << 10, Max: 256 << 10}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	opts := Options{Path: path, FlushInterval: time.Hour, MaxHeld: 2 << 20}
	if mode == "thin" {
		thinned100(&opts)
	}
	o, err := Open(opts)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if mode == "full" {
		return childFull(o)
	}
	for i := 0; ; i++ {
		if o.Append(rec(i)) != nil {
			return 1
		}
		if i%50 == 49 {
			if o.Flush() != nil {
				return 1
			}
			fmt.Println(i + 1)
		}
	}
}

// childFull fills the file up to its limit and says how that went.
func childFull(o *Outbox) int {
	failed := 0
	for i := range 6000 {
		if err := o.Append(rec(i)); err != nil {
			fmt.Println(err)
			return 1
		}
		if i%100 == 99 && o.Flush() != nil {
			failed++
		}
		if msg := unbalanced(o.Stats()); msg != "" {
			fmt.Println(msg)
			return 1
		}
	}
	s := o.Stats()
	if failed == 0 || s.LastError == "" || s.ErrorSince.IsZero() || s.Stored == 0 || s.Held == 0 {
		fmt.Printf("%d flushes failed: %+v\n", failed, s)
		return 1
	}
	for i := 0; ; {
		b, ok := o.Take(64, 1<<20)
		if !ok {
			fmt.Println("drained", i)
			return 0
		}
		for n := range b.Len() {
			if string(b.Record(n)) != string(rec(i)) {
				fmt.Printf("record %d is %.20s\n", i, b.Record(n))
				return 1
			}
			i++
		}
		if err := o.Ack(b); err != nil {
			fmt.Println(err)
			return 1
		}
	}
}

func childCommand(t *testing.T, mode, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "OUTBOX_CHILD="+mode, "OUTBOX_PATH="+path)
	return cmd
}

func TestKilledProcessLosesNothingFlushed(t *testing.T) {
	path := tempPath(t)
	cmd := childCommand(t, "append", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	flushed := 0
	for sc := bufio.NewScanner(out); flushed < 1000 && sc.Scan(); {
		if _, err := fmt.Sscan(sc.Text(), &flushed); err != nil {
			t.Fatalf("child said %q", sc.Text())
		}
	}
	_, err = Open(Options{Path: path, LockTimeout: 20 * time.Millisecond})
	if want := fmt.Sprintf("(pid %d)", cmd.Process.Pid); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("second process: %v, want ErrLocked with %s", err, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed: that is its error
	o := open(t, path, nil)
	s := o.Stats()
	if s.Stored < uint64(flushed) || s.Produced != s.Stored {
		t.Errorf("%d were flushed: %+v", flushed, s)
	}
	wantSeqs(t, drain(t, o), 0, int(s.Stored))
}

// A process that is killed while it thins leaves a file that adds up.
func TestKilledWhileThinning(t *testing.T) {
	path := tempPath(t)
	for round := range 5 {
		cmd := childCommand(t, "thin", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		flushed := 0
		for sc := bufio.NewScanner(out); flushed < 2000+70*round && sc.Scan(); {
			if _, err := fmt.Sscan(sc.Text(), &flushed); err != nil {
				t.Fatalf("child said %q", sc.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed: that is its error
		fsck(t, path)
		s, err := Inspect(path)
		if msg := unbalanced(s); err != nil || msg != "" {
			t.Fatal(err, msg)
		}
		if s.Dropped[DroppedThinned] == 0 {
			t.Errorf("nothing was thinned: %+v", s)
		}
	}
}

// A start that was killed while it counted leaves nothing that piles up.
func TestKilledStartLeavesNoFiles(t *testing.T) {
	path := tempPath(t)
	if err := os.WriteFile(path+".boot.new", []byte("12 and half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := open(t, path, nil); o.Boot() != 1 {
		t.Errorf("boot %d, want 1", o.Boot())
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 2 { // with its boot counter
		t.Errorf("left behind: %v", files)
	}
}

func TestFullDiskKeepsRecordsInMemory(t *testing.T) {
	path := tempPath(t)
	out, err := childCommand(t, "full", path).Output()
	if err != nil || strings.TrimSpace(string(out)) != "drained 6000" {
		t.Fatalf("%v: %s", err, out)
	}
	// It ended without Close: what it had stored is still there.
	o := open(t, path, nil)
	if s := o.Stats(); s.Stored == 0 || s.Stored >= 6000 {
		t.Errorf("after the crash: %+v", s)
	}
	drain(t, o)
}
