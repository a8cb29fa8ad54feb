package main

import (
	"fmt"

	"github.com/egret-edge/egret/test/mosquitto"
)

// host is what the broker's helper expects of a test.
type host struct{ dir string }

type stopped string

func (host) Helper()                   {}
func (h host) TempDir() string         { return h.dir }
func (host) Cleanup(func())            {} // whoever started it stops it
func (host) Fatal(a ...any)            { panic(stopped(fmt.Sprint(a...))) }
func (host) Fatalf(f string, a ...any) { panic(stopped(fmt.Sprintf(f, a...))) }
func (s stopped) Error() string        { return string(s) }

// guarded does what fails by a panic of host's.
func guarded(do func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case stopped:
			err = p
		default:
			panic(p)
		}
	}()
	do()
	return nil
}

func startBroker(dir string) (b *mosquitto.Broker, err error) {
	err = guarded(func() { b = mosquitto.Start(host{dir}, mosquitto.Config{}) })
	return b, err
}
