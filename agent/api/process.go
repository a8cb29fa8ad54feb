package api

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"time"
)

// runtimeMetrics are Go's own, under the names that Prometheus' client gives
// them, so that existing dashboards work.
var runtimeMetrics = []struct{ of, name, kind, help string }{
	{"/sched/goroutines:goroutines", "go_goroutines", gauge, "Goroutines that exist."},
	{"/gc/cycles/total:gc-cycles", "go_gc_cycles_total_gc_cycles_total", counter, "Garbage collections."},
	{"/gc/heap/allocs:bytes", "go_memstats_alloc_bytes_total", counter, "Bytes that were allocated in the heap, in all."},
	{"/memory/classes/heap/objects:bytes", "go_memstats_heap_alloc_bytes", gauge, "Bytes in the heap."},
	{"/memory/classes/total:bytes", "go_memstats_sys_bytes", gauge, "Bytes that Go has from the system."},
	{"/gc/gomemlimit:bytes", "go_gc_gomemlimit_bytes", gauge, "Go's limit of memory."},
}

// process tells of this one, as far as the system does.
func (e *exposition) process(st *State) {
	e.family("go_info", gauge, "1; its label is Go's version.")
	e.sample(1, "version", runtime.Version())
	samples := make([]metrics.Sample, len(runtimeMetrics))
	for i, m := range runtimeMetrics {
		samples[i].Name = m.of
	}
	metrics.Read(samples)
	for i, m := range runtimeMetrics {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			e.one(m.name, m.kind, m.help, float64(samples[i].Value.Uint64()))
		}
	}
	e.one("process_start_time_seconds", gauge, "When the agent was started, by the clock as it is now.", seconds(st.Time.Add(-time.Duration(st.Uptime*float64(time.Second)))))
	if user, system, ok := processorTime(); ok {
		e.one("process_cpu_seconds_total", counter, "Processor time, of all cores.", user+system)
	}
	if virtual, resident, threads, ok := processMemory(); ok {
		e.one("process_resident_memory_bytes", gauge, "Memory that is resident.", resident)
		e.one("process_virtual_memory_bytes", gauge, "Address space.", virtual)
		e.one("go_threads", gauge, "Threads of the process.", threads)
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		e.one("process_open_fds", gauge, "Open file descriptors.", float64(len(open)-1)) // one is this reading's
	}
}

// processMemory reads proc_pid_stat(5); false where there is none.
func processMemory() (virtual, resident, threads float64, ok bool) {
	data, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0, 0, false
	}
	_, rest, _ := bytes.Cut(data[bytes.IndexByte(data, '(')+1:], []byte(") ")) // field 3, the state, is the first then
	fields := bytes.Fields(rest)
	if len(fields) < 22 {
		return 0, 0, 0, false
	}
	number := func(field int) float64 {
		v, err := strconv.ParseFloat(string(fields[field-3]), 64)
		ok = ok && err == nil
		return v
	}
	ok = true
	threads, virtual = number(20), number(23)
	resident = number(24) * float64(os.Getpagesize())
	return virtual, resident, threads, ok
}
