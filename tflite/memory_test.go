//go:build linux

package tflite

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestCloseGivesMemoryBack loads a model on several threads at once, as reloads
// do one after the other, and closes all: the C library must not keep what they
// held.
func TestCloseGivesMemoryBack(t *testing.T) {
	const threads = 6
	b, err := OpenBundle("../models/ssd_mobilenet_v1_quant")
	if err != nil {
		t.Fatal(err)
	}
	open := func() *Model {
		m, err := Load(b, Options{Delegate: CPU, Threads: 1})
		if err != nil {
			t.Error(err)
			return nil
		}
		return m
	}
	if m := open(); m == nil || m.Close() != nil { // what the library has once
		t.Fatal("the model cannot be loaded and closed")
	}
	before := anonymous(t)
	var loaded, done sync.WaitGroup
	loaded.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread() // not unlocked: the thread ends with its arena in use
			m := open()
			loaded.Done()
			loaded.Wait()
			if m == nil {
				return
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	runtime.GC()
	grown := anonymous(t) - before
	t.Logf("%d KiB are kept", grown>>10)
	if grown > 3<<20 { // of 8 MiB and more
		t.Errorf("%d models were loaded and closed, and %d KiB are kept", threads, grown>>10)
	}
}

// anonymous is this process's resident memory that is no file's, in bytes.
func anonymous(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no RssAnon in /proc/self/status")
	return 0
}
