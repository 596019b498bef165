package cgi

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// hold is a script that holds so many bytes of memory when it answers, then says
// so and ends once there is a file seen.
func hold(bytes int64, seen string) string {
	return "#!/bin/sh\nx=$(head -c " + strconv.FormatInt(bytes, 10) + " /dev/zero | tr '\\0' x)\nprintf 'Content-Type: a/b\\n\\n%s' ${#x}\n" +
		"until [ -e " + seen + " ]; do sleep 0.01; done\n"
}

// What a process held when it answered is known although it is less than what we
// hold; beyond that its peak is, whenever it was.
func TestPeakMemory(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes int64
	}{{"below our own", 4 << 20}, {"above our own", ownPeak() + 24<<20}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Config{Workers: 1})
			seen := filepath.Join(t.TempDir(), "seen")
			call := b.call(b.script(hold(c.bytes, seen)), "GET", "")
			call.Reached = func(s Stage, _ time.Duration) {
				if s == StageOutput { // it has been looked at
					if err := os.WriteFile(seen, nil, 0o644); err != nil {
						t.Error(err)
					}
				}
			}
			if _, got := b.whole(call); got != strconv.FormatInt(c.bytes, 10) {
				t.Fatalf("it held %q", got)
			}
			eventually(t, "it has ended", func() bool { b.seen.mu.Lock(); defer b.seen.mu.Unlock(); return b.seen.exited == 1 })
			if got := b.seen.used.PeakMemory; got < c.bytes || got > 4*c.bytes+8<<20 {
				t.Errorf("peak of %d bytes of memory, want a bit more than %d; ours is %d", got, c.bytes, ownPeak())
			}
		})
	}
}

// Our own peak is not taken for that of a process that never answered.
func TestPeakMemoryUnknown(t *testing.T) {
	b := newBench(t, Config{})
	b.fails(b.call(b.script("#!/bin/sh\nexit 1\n"), "GET", ""), 502, ResultError)
	eventually(t, "it has ended", func() bool { b.seen.mu.Lock(); defer b.seen.mu.Unlock(); return b.seen.exited == 1 })
	if got := b.seen.used.PeakMemory; got != 0 {
		t.Errorf("a peak of %d bytes; want 0, not known. Ours is %d", got, ownPeak())
	}
}

func TestHighWater(t *testing.T) {
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	if peak, ok := highWater(own); !ok || peak < 1<<20 || peak > 1<<32 {
		t.Errorf("of this process: %d, %t", peak, ok)
	}
	for text, want := range map[string]int64{
		"Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   12 kB\nVmRSS:\t    8 kB\n": 12 << 10,
		"Name:\tx\nState:\tZ (zombie)\n":                                    -1,
		"Name:\tx\nVmHWM:\t   x kB\n":                                       -1,
		"":                                                                  -1,
	} {
		peak, ok := highWater([]byte(text))
		if ok != (want >= 0) || ok && peak != want {
			t.Errorf("%q: %d, %t", text, peak, ok)
		}
	}
}

// BenchmarkLook is what it costs to look at a process.
func BenchmarkLook(b *testing.B) {
	p := &process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	for b.Loop() {
		p.look()
	}
	if p.seen.Load() == 0 {
		b.Error("nothing seen")
	}
}
