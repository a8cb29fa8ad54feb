package sensors

// Host reads the device's own sensors. The zero value reads the real ones; it
// keeps nothing and is safe for concurrent use.
type Host struct {
	// Root is put before every path, for tests; empty means the real root.
	Root string
}

// HostReading is what the device said at one moment; nil means that it has no
// such sensor or does not let it be read.
type HostReading struct {
	TemperatureC *float64 // the hottest thermal zone, °C
	// Throttled: the processor is held back now, by heat or low voltage.
	Throttled    *bool
	MemTotal     *uint64 // bytes
	MemAvailable *uint64 // bytes, as the kernel estimates
	Load1        *float64
	RSS          *uint64 // this process's resident memory, bytes
	DiskFree     *uint64 // bytes that this user may still write on path's file system
}
