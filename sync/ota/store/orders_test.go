package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestOrders(t *testing.T) {
	s := odd(t)
	if o, err := s.Orders(); err != nil || o.Number != 0 || !s.OrdersChanged().IsZero() {
		t.Errorf("of nothing: %+v, %v", o, err)
	}
	do := func(change func(*Orders)) Orders {
		t.Helper()
		if err := s.Command(func(o *Orders) error { change(o); return nil }); err != nil {
			t.Fatal(err)
		}
		o, err := s.Orders()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	o := do(func(o *Orders) { o.Last = &Order{Model: cats(3), Back: true} })
	if o.Number != 1 || o.Last == nil || !o.Last.Back || s.OrdersChanged().IsZero() {
		t.Errorf("%+v", o)
	}
	o = do(func(o *Orders) { o.Pins["cats"], o.Canaries["dogs"] = 3, 4 })
	if o.Number != 2 || o.Last != nil || o.Pins["cats"] != 3 || o.Canaries["dogs"] != 4 {
		t.Errorf("%+v", o)
	}
	o = do(func(o *Orders) { delete(o.Pins, "cats") })
	if o.Number != 3 || len(o.Pins) != 0 || o.Canaries["dogs"] != 4 {
		t.Errorf("%+v", o)
	}
	no := errors.New("no")
	if err := s.Command(func(o *Orders) error { o.Pins["cats"] = 9; return no }); !errors.Is(err, no) {
		t.Error(err)
	}
	if err := s.Command(func(o *Orders) error {
		for i := range 20_000 {
			o.Pins[fmt.Sprint("a model with a long name ", i)] = i
		}
		return nil
	}); err == nil || !strings.Contains(err.Error(), "256 KiB") {
		t.Errorf("orders that nobody can read: %v", err)
	}
	if o, err := s.Orders(); err != nil || o.Number != 3 || len(o.Pins) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestDamagedOrders(t *testing.T) {
	for name, data := range map[string]string{"empty": "", "torn": `{"number":1,"pi`, "type": `{"pins":{"a":"b"}}`, "large": strings.Repeat(" ", maxOrders) + "{}"} {
		t.Run(name, func(t *testing.T) {
			s := odd(t)
			path := filepath.Join(s.Updates(), ordersFile)
			write(t, path, data)
			if o, err := s.Orders(); err == nil || o.Number != 0 {
				t.Errorf("%+v, %v", o, err)
			}
			err := s.Command(func(*Orders) error { return nil })
			if err == nil || !strings.Contains(err.Error(), "remove that file") || !strings.Contains(err.Error(), ordersFile) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error does not say what to try: %v", err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := s.Command(func(*Orders) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCommandsAtOnce: goroutines and processes give orders at once, and none is
// lost.
func TestCommandsAtOnce(t *testing.T) {
	const each = 25
	give := func(s Store, who string) error {
		for i := range each {
			if err := s.Command(func(o *Orders) error { o.Pins[who+strconv.Itoa(i)] = 1; return nil }); err != nil {
				return err
			}
		}
		return nil
	}
	if dir := os.Getenv("EGRET_TEST_ORDERS"); dir != "" {
		if err := give(New(dir), os.Getenv("EGRET_TEST_WHO")); err != nil {
			t.Fatal(err)
		}
		return
	}
	s := odd(t)
	var wg sync.WaitGroup
	const processes, goroutines = 3, 3
	for i := range processes {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCommandsAtOnce$")
			cmd.Env = append(os.Environ(), "EGRET_TEST_ORDERS="+s.state, fmt.Sprint("EGRET_TEST_WHO=process ", i, " "))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for i := range goroutines {
		wg.Go(func() {
			if err := give(s, fmt.Sprint("goroutine ", i, " ")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	o, err := s.Orders()
	if want := (processes + goroutines) * each; err != nil || o.Number != uint64(want) || len(o.Pins) != want {
		t.Errorf("%d orders, %d pins, %v, want %d", o.Number, len(o.Pins), err, want)
	}
}

// FuzzOrders: whatever lies there, it is read, or an error that changes nothing.
func FuzzOrders(f *testing.F) {
	f.Add([]byte(`{"number":3,"last":{"model":{"name":"cats","version":3},"back":true},"pins":{"cats":3},"canaries":{"cats":4}}`))
	f.Add([]byte(`{"number":18446744073709551615}`))
	f.Add([]byte(`{"pins":null}`))
	f.Add([]byte(`{"number":`))
	s := odd(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(s.Updates(), ordersFile)
		write(t, path, string(data))
		before, err := s.Orders()
		e := s.Command(func(o *Orders) error { o.Pins["cats"] = 5; return nil })
		if err != nil {
			if e == nil {
				t.Fatal("a damaged file was overwritten")
			}
			if now, _ := os.ReadFile(path); string(now) != string(data) {
				t.Fatal("the file was changed")
			}
			return
		}
		if e != nil && len(data) < maxOrders/8 {
			t.Fatal(e)
		}
		after, err := s.Orders()
		if err != nil || e == nil && (after.Number != before.Number+1 || after.Pins["cats"] != 5) {
			t.Fatalf("%+v, then %+v, %v", before, after, err)
		}
	})
}
