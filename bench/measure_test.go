package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

const wrkSaid = `Running 2s test @ http://127.0.0.1:1/1k.txt
  1 threads and 64 connections
  Latency Distribution
     50%    1.10ms
     99%    7.91ms
  150000 requests in 2.00s, 183.00MB read
%sRequests/sec:  75000.00
`

func TestParseWrk(t *testing.T) {
	ok := &work{connections: 64, status: 200}
	missing := &work{connections: 64, status: 404}
	tests := []struct {
		name, extra string
		work        *work
		wrong       bool
	}{
		{"all answered", "", ok, false},
		{"some connections broke", "  Socket errors: connect 0, read 9, write 0, timeout 0\n", ok, false},
		{"many connections broke", "  Socket errors: connect 0, read 9000, write 0, timeout 0\n", ok, true},
		{"other answers than asked for", "  Non-2xx or 3xx responses: 5\n", ok, true},
		{"404 as asked for", "  Non-2xx or 3xx responses: 150000\n", missing, false},
		{"404 asked for, 200 came", "", missing, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseWrk(strings.Replace(wrkSaid, "%s", tt.extra, 1), 1500*time.Millisecond, tt.work)
			if (err != nil) != tt.wrong {
				t.Fatalf("error %v", err)
			}
			if err == nil && s != (sample{cpu: 10 * time.Microsecond, requests: 75000, p99: 7910 * time.Microsecond}) {
				t.Errorf("%+v", s)
			}
		})
	}
	if _, err := parseWrk("unable to connect", 0, ok); err == nil {
		t.Error("nonsense was understood")
	}
}

func TestMedian(t *testing.T) {
	samples := []sample{{requests: 3}, {requests: 1}, {requests: 2}}
	if m := median(samples, func(s sample) float64 { return s.requests }); m != 2 {
		t.Errorf("median %v", m)
	}
}

func TestCPUTime(t *testing.T) {
	if _, err := cpuTime(1 << 30); err == nil {
		t.Error("a process that isn't there has CPU time")
	}
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for x := 0; x < 1<<26; x++ {
	}
	if after, err := cpuTime(os.Getpid()); err != nil || after <= before {
		t.Errorf("%v after %v, %v", after, before, err)
	}
	if m := memory(os.Getpid()); m < 1<<20 {
		t.Errorf("this process takes %d bytes", m)
	}
}
