//go:build linux

package main

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// open opens a file for reading or, with flags, otherwise.
func open(path string, flags int) func() error {
	return func() error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func read(path string) func() error { return open(path, unix.O_RDONLY) }

// create makes a file, which stays.
func create(path string) func() error { return open(path, unix.O_CREAT|unix.O_WRONLY) }

func list(path string) func() error {
	return func() error {
		_, err := os.ReadDir(path)
		return err
	}
}

func socket(domain, typ, proto int) func() error {
	return func() error {
		fd, err := unix.Socket(domain, typ|unix.SOCK_CLOEXEC, proto)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

// call makes a system call with arguments that would be wrong, or harmless,
// were it allowed: only its being forbidden counts as a refusal.
func call(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		switch errno {
		case unix.EPERM, unix.EACCES:
			return errno
		}
		return nil
	}
}

func connect() error {
	c, err := net.Dial("tcp", "127.0.0.1:1883")
	if err == nil {
		c.Close()
	}
	return err
}

// attempts are the rows: files, devices, the kernel, the network, memory and
// scheduling.
func attempts() []attempt {
	const state, run = "/var/lib/egret/", "/run/egret/"
	bad := ^uintptr(0)
	return []attempt{
		{name: "read the configuration", allow: true, try: read("/etc/egret/egret.yaml")},
		{name: "write the state folder", allow: true, try: create(state + "rig-probe")},
		{name: "write the runtime folder", allow: true, try: create(run + "rig-probe")},
		{name: "write /tmp (its own)", allow: true, try: create("/tmp/rig-probe")},
		{name: "read another's file in /tmp", try: read("/tmp/rig-open")},
		{name: "read /etc/shadow", try: there(read("/etc/shadow"))},
		{name: "read /root, open to all", try: there(list("/root"))},
		{name: "read /home, open to all", try: there(list("/home"))},
		{name: "write /usr, open to all", try: there(create("/usr/rig-open/x"))},
		{name: "write /etc, open to all", try: there(create("/etc/rig-open/x"))},
		{name: "write /var/lib elsewhere, open to all", try: there(create("/var/lib/rig-open/x"))},
		{name: "read another's file in /dev/shm", try: read("/dev/shm/rig-open")},
		{name: "write /dev/shm (its own)", allow: true, try: create("/dev/shm/rig-probe")},
		{name: "execute a file of /dev/shm", try: execute("/dev/shm/rig-program")},
		{name: "execute a file of the state folder", try: execute(state + "rig-program")},
		{name: "execute a file of /tmp", try: execute("/tmp/rig-program")},
		{name: "execute a program of /usr", allow: true, try: execute("/usr/bin/true")},
		{name: "read /proc of process 1", try: read("/proc/1/status")},
		{name: "see another's processes", try: others},
		{name: "read /proc/kmsg", try: there(read("/proc/kmsg"))},
		{name: "write /proc/sys", try: there(open("/proc/sys/vm/overcommit_memory", unix.O_WRONLY))},
		{name: "write /sys", try: there(open("/sys/power/state", unix.O_WRONLY)), machine: true},
		{name: "write its control group", try: there(open("/sys/fs/cgroup/system.slice/egret.service/cgroup.procs", unix.O_WRONLY)), machine: true},
		{name: "read /proc/meminfo, /proc/cpuinfo", allow: true, try: hostFiles},
		{name: "list /sys/class", allow: true, try: list("/sys/class")},

		{name: "open /dev/null", allow: true, try: open("/dev/null", unix.O_RDWR)},
		{name: "open /dev/urandom", allow: true, try: read("/dev/urandom")},
		{name: "open a camera", allow: true, try: there(open("/dev/video0", unix.O_RDWR)), machine: true},
		{name: "open /dev/mem, open to all", try: there(read("/dev/mem")), machine: true},
		{name: "open /dev/kmsg, open to all", try: there(read("/dev/kmsg")), machine: true},
		{name: "open the disk, open to all", try: there(read("/dev/vda")), machine: true},
		{name: "open a GPU's node, open to all", try: there(open("/dev/dri/renderD128", unix.O_RDWR)), machine: true},
		{name: "open a USB device, open to all", try: there(open("/dev/bus/usb/001/001", unix.O_RDWR)), machine: true},
		{name: "open the terminal of the machine", try: there(open("/dev/console", unix.O_WRONLY)), machine: true},
		{name: "make a device node", try: func() error { return unix.Mknod(state+"rig-node", unix.S_IFBLK|0o600, 0xfe00) }},

		{name: "mount", try: func() error { return unix.Mount("tmpfs", state, "tmpfs", 0, "") }},
		{name: "a user namespace", try: func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{name: "a network namespace", try: func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
		{name: "trace another process", try: func() error { return unix.PtraceSeize(os.Getppid()) }},
		{name: "read another process's memory", try: peek},
		{name: "kexec", try: call(unix.SYS_KEXEC_LOAD, 0, 0, 0, bad)},
		{name: "bpf", try: call(unix.SYS_BPF, bad, 0, 0)},
		{name: "perf_event_open", try: call(unix.SYS_PERF_EVENT_OPEN, 0, 0, bad, bad, bad)},
		{name: "a key in the keyring", try: call(unix.SYS_ADD_KEY, 0, 0, 0, 0, bad)},
		{name: "read the keyring", try: call(unix.SYS_KEYCTL, bad)},
		{name: "load a module", try: call(unix.SYS_INIT_MODULE, 0, 0, 0)},
		{name: "reboot", try: call(unix.SYS_REBOOT, 0, 0, 0, 0)},
		{name: "ask the kernel for its clock's state", try: func() error { _, err := unix.Adjtimex(&unix.Timex{}); return err }},
		{name: "set the clock's speed", try: func() error { _, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_FREQUENCY}); return err }},
		{name: "set the clock", try: call(unix.SYS_CLOCK_SETTIME, uintptr(unix.CLOCK_REALTIME), 0)},
		{name: "set the time of day", try: call(unix.SYS_SETTIMEOFDAY, 0, 0)},
		{name: "set the host's name", try: call(unix.SYS_SETHOSTNAME, 0, bad)},
		{name: "swap", try: call(unix.SYS_SWAPON, 0, 0)},
		{name: "read the kernel's log", try: call(unix.SYS_SYSLOG, 3, 0, 0)},
		{name: "open by handle", try: call(unix.SYS_OPEN_BY_HANDLE_AT, bad, 0, 0)},
		{name: "chroot", try: func() error { return unix.Chroot("/") }},
		{name: "become root", try: func() error { return unix.Setuid(0) }},
		{name: "give a file away", try: func() error { return unix.Chown(state+"rig-probe", 0, 0) }},
		{name: "a set-user-id file", try: setuidFile(state + "rig-suid")},
		{name: "another personality", try: call(unix.SYS_PERSONALITY, 0x0400000)},
		{name: "raise a capability", try: raise},

		{name: "a TCP connection", allow: true, try: connect},
		{name: "an IPv6 socket", allow: true, try: socket(unix.AF_INET6, unix.SOCK_STREAM, 0)},
		{name: "a Unix socket", allow: true, try: socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)},
		{name: "a raw socket", try: socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{name: "a packet socket", try: socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)},
		{name: "a netlink socket", try: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)},
		{name: "a Bluetooth socket", try: socket(unix.AF_BLUETOOTH, unix.SOCK_STREAM, 0)},
		{name: "a port below 1024", try: listenLow},

		{name: "memory to write and execute", try: writeExecute},
		{name: "make memory executable", try: makeExecutable},
		{name: "real-time scheduling", try: call(unix.SYS_SCHED_SETSCHEDULER, 0, 1, 0)},
		{name: "a higher priority", try: call(unix.SYS_SETPRIORITY, 0, 0, uintptr(^uint(4)))},
		{name: "other processors", try: affinity},
		{name: "more tasks than TasksMax", try: tasks, machine: true},
		{name: "more memory than MemoryMax", try: memory, machine: true},
		{name: "a core dump", try: coreDump},
	}
}
