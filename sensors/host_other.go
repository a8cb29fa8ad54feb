//go:build !linux

package sensors

import "errors"

// Read is empty: only Linux has these sensors.
func (h *Host) Read(path string) HostReading { return HostReading{} }

// ClockSynced is known on Linux only.
func ClockSynced() (bool, error) {
	return false, errors.New("the clock's state is known on Linux only")
}
