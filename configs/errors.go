package configs

import (
	"fmt"
	"strings"
)

// Error is one mistake in a configuration.
type Error struct {
	File    string
	Line    int    // from 1; 0 when the file as a whole is meant
	Field   string // such as cameras[0].source; empty when none is meant
	Problem string
	Hint    string // what to try; may be empty
}

// Error is the mistake in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	b.WriteString(": " + e.Problem)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Errors are all mistakes that were found, in the order of the file.
type Errors []*Error

// maxErrors bounds what is reported: more than a screen helps nobody.
const maxErrors = 20

// Error is one line per mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}
