package cgi

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// stages collects what Reached is told.
type stages struct {
	mu   sync.Mutex
	seen []Stage
	took []time.Duration
}

func (s *stages) reach(stage Stage, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.took = append(s.seen, stage), append(s.took, took)
}

func (s *stages) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.seen)
}

func TestStages(t *testing.T) {
	for _, c := range []struct {
		name, script, method string
		status               int // of an error; 0: none
		want                 []Stage
	}{
		{"an answer", "printf 'Content-Type: a/b\\n'; printf '\\nabc'", "GET", 0, []Stage{StageRead, StageAdmitted, StageStarted, StageOutput, StageOver}},
		{"no content", "printf 'Content-Type: a/b\\n\\nabc'", "HEAD", 0, []Stage{StageRead, StageAdmitted, StageStarted, StageOutput, StageOver}},
		{"a redirect", "printf 'Location: /x\\n\\n'", "GET", 0, []Stage{StageRead, StageAdmitted, StageStarted, StageOutput, StageOver}},
		{"no output", "exit 1", "GET", 502, []Stage{StageRead, StageAdmitted, StageStarted, StageOver}},
		{"a script that is not executable", "", "GET", 502, []Stage{StageRead, StageAdmitted, StageOver}},
		{"a body that is too long", "exit 1", "POST", 413, []Stage{StageOver}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Config{})
			file := writeScript(t, b.dir, "plain", "#!/bin/sh\n"+c.script+"\n", 0o755)
			if c.script == "" {
				file = writeScript(t, b.dir, "plain", "exit 1", 0o644)
			}
			call, s := b.call(file, c.method, ""), &stages{}
			call.Reached = s.reach
			if c.method == "POST" {
				call = b.call(file, c.method, "0123456789")
				call.Reached, call.MaxBody, call.Request.Length = s.reach, 5, -1
			}
			answer, err := b.run(t.Context(), call)
			if err != nil != (c.status > 0) {
				t.Fatal(err)
			}
			if err == nil && answer.Redirect == "" {
				reader(t, answer)
				if c.method == "GET" {
					if _, err := fmt.Fscan(reader(t, answer), new(string)); err != nil {
						t.Error(err)
					}
				}
				answer.Body.Close()
			}
			eventually(t, fmt.Sprint(c.want), func() bool { return s.all() == fmt.Sprint(c.want) })
			for i := 1; i < len(s.took); i++ {
				if s.took[i] < s.took[i-1] {
					t.Errorf("the stages came after %v", s.took)
				}
			}
		})
	}
}

// A request that waits for its turn in vain has waited, and nothing of it has
// started.
func TestStagesOfAWait(t *testing.T) {
	b := newBench(t, Config{Workers: 1, Timeout: 50 * time.Millisecond})
	b.slots.free = 0
	call, s := b.call(b.script("#!/bin/sh\nexit 1\n"), "GET", ""), &stages{}
	call.Reached = s.reach
	b.fails(call, 503, ResultBusy)
	if s.all() != fmt.Sprint([]Stage{StageRead, StageAdmitted, StageOver}) || s.took[1]-s.took[0] < 50*time.Millisecond {
		t.Errorf("%s after %v", s.all(), s.took)
	}
}
