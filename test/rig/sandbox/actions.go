//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// errNotTried: the attempt never came to what would be refused, since something
// that it needs is missing. That is neither allowed nor denied.
var errNotTried = errors.New("not tried")

func notTried(err error) error { return fmt.Errorf("%w: %v", errNotTried, err) }

// there wants a file or device behind the name: none refuses nothing.
func there(try func() error) func() error {
	return func() error {
		err := try()
		for _, missing := range []error{unix.ENOENT, unix.ENXIO, unix.ENODEV} {
			if errors.Is(err, missing) {
				return notTried(err)
			}
		}
		return err
	}
}

// execute writes a program where there is none, and starts it.
func execute(path string) func() error {
	return func() error {
		if _, err := os.Stat(path); err != nil {
			if err := copyFile(path, "/usr/bin/true"); err != nil {
				return notTried(err)
			}
		}
		return exec.Command(path).Run()
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(0o755); err != nil {
		return err
	}
	return out.Close()
}

// others finds a process of another user in /proc.
func others() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+e.Name(), &st) == nil && int(st.Uid) != os.Getuid() {
			return nil
		}
	}
	return errors.New("none is there to see")
}

func hostFiles() error {
	for _, path := range []string{"/proc/meminfo", "/proc/cpuinfo", "/proc/loadavg", "/proc/sys/kernel/random/boot_id"} {
		if _, err := os.ReadFile(path); err != nil {
			return err
		}
	}
	return nil
}

// peek reads a word of the parent's memory. The address may be wrong: then
// EFAULT says that the kernel would have read.
func peek() error {
	buf := make([]byte, 8)
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	_, err := unix.ProcessVMReadv(os.Getppid(), local, []unix.RemoteIovec{{Base: 1 << 20, Len: 8}}, 0)
	if errors.Is(err, unix.EFAULT) {
		return nil
	}
	return err
}

func setuidFile(path string) func() error {
	return func() error {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
		if err != nil {
			return notTried(err)
		}
		defer f.Close()
		return unix.Fchmod(int(f.Fd()), 0o4755)
	}
}

// raise asks for CAP_SYS_ADMIN.
func raise() error {
	runtime.LockOSThread()
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	d := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
	return unix.Capset(&h, &d[0])
}

func listenLow() error {
	l, err := net.Listen("tcp", "127.0.0.1:81")
	if err == nil {
		l.Close()
	}
	return err
}

func writeExecute() error {
	_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	return err
}

func makeExecutable() error {
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return notTried(err)
	}
	return unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC)
}

func affinity() error {
	var set unix.CPUSet
	set.Set(0)
	return unix.SchedSetaffinity(0, &set)
}

// tasks starts threads until there are 200; Go's runtime gives up when the
// kernel refuses one.
func tasks() error {
	var up, down sync.WaitGroup
	down.Add(1)
	for range 200 {
		up.Add(1)
		go func() {
			runtime.LockOSThread()
			up.Done()
			down.Wait()
		}()
	}
	up.Wait()
	down.Done()
	return nil
}

// memory writes to 1 GiB, as the first process to be killed for it.
func memory() error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		return notTried(err)
	}
	var kept [][]byte
	for range 64 {
		block := make([]byte, 16<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		kept = append(kept, block)
	}
	runtime.KeepAlive(kept)
	return nil
}

// coreDump raises the limit on core dumps as far as it goes.
func coreDump() error {
	lim := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if unix.Prlimit(0, unix.RLIMIT_CORE, &lim, nil) != nil {
		var now unix.Rlimit
		if err := unix.Prlimit(0, unix.RLIMIT_CORE, nil, &now); err != nil {
			return err
		}
		if now.Max > 0 {
			now.Cur = now.Max
			_ = unix.Prlimit(0, unix.RLIMIT_CORE, &now, nil)
			return nil
		}
		return errors.New("the limit is 0")
	}
	return nil
}
