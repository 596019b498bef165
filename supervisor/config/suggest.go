package config

import (
	"fmt"
	"strings"
)

// didYouMean is a sentence that offers suggestion, or "" when there is none.
func didYouMean(suggestion string) string {
	if suggestion == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", suggestion)
}

// Nearest is the one of names that given was probably meant to be, or "".
func Nearest(given string, names []string) string { return nearest(given, names) }

// nearest is the name that given was probably meant to be: one that differs in
// case only, or the one with the smallest edit distance, which is at most 2 and
// half of the name.
func nearest(given string, names []string) string { return closest(given, names, 2) }

// nearestValue is nearest for a value of an enumeration, of which given may well
// be none: at most a third of it may differ.
func nearestValue(given string, values []string) string { return closest(given, values, 3) }

// closest finds what differs in case only, or else the smallest edit distance of
// at most 2 and one part in so many of the name.
func closest(given string, names []string, parts int) string {
	best, found := 3, ""
	for _, name := range names {
		if strings.EqualFold(given, name) {
			return name
		}
		if d := distance(given, name); d < best && parts*d <= len(name) {
			best, found = d, name
		}
	}
	return found
}

// distance is the number of bytes to insert, delete, replace or exchange with
// the next one to make b of a (the optimal string alignment distance); 64 when
// one of them is longer than that.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, before
		row[0] = i + 1
		for j := range len(b) {
			substitute := above[j]
			if a[i] != b[j] {
				substitute++
			}
			row[j+1] = min(substitute, row[j]+1, above[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
