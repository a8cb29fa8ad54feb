package agent

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the child and all it starts into a process group that is
// killed as one, and has the kernel end it should we die.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
