//go:build linux

// Command sandbox tries from inside a unit's sandbox what an intruder would try
// and what the agent needs, and prints a Markdown table of it: the unit's
// ExecStart is replaced by this program and nothing else. Each attempt runs in
// a process of its own, since some of them end it. The exit code is 1 when
// something is not as wanted.
//
// The rig opens the modes of files and device nodes to all before (see
// checks/sandbox.sh), so that it is the sandbox that refuses and not the mode.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// attempt is a row of the table. An error from try means that it was refused,
// but errNotTried.
type attempt struct {
	name  string
	allow bool
	// machine: only a machine of its own has this node, or this limit; a
	// container under another machine's kernel does not.
	machine bool
	try     func() error
}

func main() {
	if os.Getuid() == 0 {
		fmt.Fprintln(os.Stderr, "sandbox: as root some of this would be done, not only tried: run it as a unit's own user")
		os.Exit(2)
	}
	table := attempts()
	if len(os.Args) == 3 && os.Args[1] == "try" {
		os.Exit(try(table, os.Args[2]))
	}
	machine := os.Getenv("RIG") != "container"
	rows, bad := 0, 0
	fmt.Println("| tried | wanted | got | |\n|---|---|---|---|")
	for _, a := range table {
		if a.machine && !machine {
			continue
		}
		got, why := run(a.name)
		verdict := "as wanted"
		if got != word(a.allow) {
			verdict, bad = "**not as wanted**", bad+1
		}
		rows++
		fmt.Printf("| %s | %s | %s | %s |\n", a.name, word(a.allow), strings.TrimSuffix(got+": "+why, ": "), verdict)
	}
	// Who reads the table can tell that none is missing.
	fmt.Printf("\n%d rows\n", rows)
	if bad > 0 {
		os.Exit(1)
	}
}

func word(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

// The exit codes of one attempt. Go's runtime ends with 2 when it cannot go on.
const (
	allowed  = 0
	denied   = 1
	untested = 3
)

// try makes one attempt.
func try(table []attempt, name string) int {
	for _, a := range table {
		if a.name != name {
			continue
		}
		err := a.try()
		if err == nil {
			return allowed
		}
		if errors.Is(err, errNotTried) {
			fmt.Println(err)
			return untested
		}
		fmt.Println(reason(err))
		return denied
	}
	fmt.Println("no such attempt")
	return untested
}

// reason is an error's last part, without the path, which the name tells.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// run makes an attempt in a process of its own and says what came of it, and by
// what it was refused.
func run(name string) (got, why string) {
	cmd := exec.Command("/proc/self/exe", "try", name)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return word(true), ""
	case !errors.As(err, &exit):
		return "not tried", err.Error()
	case exit.ExitCode() == untested:
		return "not tried", strings.TrimPrefix(strings.TrimSpace(out.String()), "not tried: ")
	}
	if line, _, ok := strings.Cut(errs.String(), "\n"); ok { // Go's runtime
		return word(false), strings.TrimPrefix(line, "runtime: ")
	}
	if said := strings.TrimSpace(out.String()); said != "" {
		return word(false), said
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return word(false), status.Signal().String()
	}
	return word(false), err.Error()
}
