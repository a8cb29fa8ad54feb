package agent

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestStreak(t *testing.T) {
	s := streak{filepath.Join(t.TempDir(), StreakFile)}
	for want := range 4 { // each of them ends badly
		if bad, err := s.begin(); bad != want || err != nil {
			t.Errorf("start %d: %d bad ends, %v", want, bad, err)
		}
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if bad, err := s.begin(); bad != 0 || err != nil {
		t.Errorf("after a good end: %d bad ones, %v", bad, err)
	}
	for _, text := range []string{"", "x", "-3", "99999999999999999999"} {
		if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if bad, err := s.begin(); bad != 0 || err != nil {
			t.Errorf("%q counts as %d, %v", text, bad, err)
		}
	}
}

func TestStreakEndsInCalm(t *testing.T) {
	path := filepath.Join(t.TempDir(), StreakFile)
	synctest.Test(t, func(t *testing.T) {
		s := streak{path}
		if _, err := s.begin(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.run(ctx) }()
		time.Sleep(calmAfter - time.Second)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("forgotten too early: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := os.Stat(path); err == nil {
			t.Error("still counted")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
