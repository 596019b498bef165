package config

import (
	"fmt"
	"strings"
)

// didYouMean is a sentence that offers the name nearest to given, or "".
func didYouMean(given string, names []string) string {
	if s := nearest(given, names); s != "" {
		return fmt.Sprintf(" Did you mean %q?", s)
	}
	return ""
}

// nearest is the name that given was probably meant to be: one that differs in
// case only, or the one with the smallest edit distance under 3 that also is
// less than half of the name.
func nearest(given string, names []string) string {
	best, found := 3, ""
	for _, name := range names {
		if strings.EqualFold(given, name) {
			return name
		}
		if d := distance(given, name); d < best && 2*d <= len(name) {
			best, found = d, name
		}
	}
	return found
}

// distance is the Levenshtein distance of two strings, in bytes.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
