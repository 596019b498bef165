package main_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// children are the processes that p has started and that were not reaped yet.
func children(t *testing.T, p *process) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no list of children: %v", err)
	}
	var pids []string
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread is gone, and its children are another's
		}
		pids = append(pids, strings.Fields(string(b))...)
	}
	return pids
}

// descriptors is how many files p has open.
func descriptors(t *testing.T, p *process) int {
	t.Helper()
	open, err := os.ReadDir("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
