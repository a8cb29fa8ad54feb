package fleet

import (
	"strings"
	"unicode"
)

// clean is text from the wire as a terminal may show it: whoever publishes for a
// device could otherwise move the operator's cursor, or hide what follows. Of
// more than limit characters the rest is cut.
func clean(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// runeWidth is the columns that a terminal gives r, or more: a line that is
// taken for too long is cut early, one taken for too short would wrap.
func runeWidth(r rune) int {
	if r >= 0x1100 && r != '…' {
		return 2 // where wide characters begin
	}
	return 1
}

func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// cut is s in at most limit columns; a limit of 0 is none.
func cut(s string, limit int) string {
	if limit <= 0 || width(s) <= limit {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeWidth(r); n > limit-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// pad is s in exactly columns columns.
func pad(s string, columns int) string {
	s = cut(s, columns)
	return s + strings.Repeat(" ", max(columns-width(s), 0))
}
