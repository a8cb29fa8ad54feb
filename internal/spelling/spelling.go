// Package spelling finds what somebody may have meant by a mistyped word.
package spelling

import (
	"fmt"
	"strings"
)

// Hint is "did you mean …?" with the known word that is nearest to word, or the
// list of all when none is near: at most a third of the letters may differ.
func Hint(word string, known []string) string {
	word = word[:min(len(word), maxWord)]
	best, bestDistance := "", len(word)/3+1
	for _, k := range known {
		if d := distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known: " + strings.Join(known, ", ")
}

// maxWord bounds the work for a word from outside.
const maxWord = 64

// distance is Damerau and Levenshtein's (optimal string alignment): a swap of
// neighbours counts as one.
func distance(a, b string) int {
	b = b[:min(len(b), maxWord)]
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
