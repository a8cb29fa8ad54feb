package agent

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts the child and all it starts into a process group that is
// killed as one, and has the kernel end it should we die.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// expendable has the kernel take this process first when memory runs out
// (proc_pid_oom_score_adj(5)): a model that is tried must not cost the one that
// serves. Where that is not allowed, the largest process goes.
func expendable() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0o644) }
