package instance

import (
	"slices"
	"sync"
	"time"

	"sited/cgi"
	"sited/protocol"
)

// How much of what a request's script writes to its standard error is kept for
// the recorder: the last lines.
const (
	maxStderrLines = 20
	maxStderrBytes = 4 << 10
)

// scriptNote is what the recorder is told of the script of a request: the last
// one, should one have led to the next by a local redirect. The script may go on
// after the request is over; what it does then is in here, too. Its methods may
// be called concurrently.
type scriptNote struct {
	mu     sync.Mutex
	path   string // canonical, of the script
	stages [cgi.StageOver + 1]time.Duration
	came   [cgi.StageOver + 1]bool
	lines  []string // the last ones of all scripts of the request
	bytes  int      // in lines
}

// noteScript begins the note of a script that is to answer x.
func noteScript(x *protocol.Exchange, path string) *scriptNote {
	n, again := x.Note.(*scriptNote)
	if !again {
		n = &scriptNote{}
		x.Note = n
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path = path
	clear(n.stages[:])
	clear(n.came[:])
	return n
}

// reach notes that a stage has come, that long after the script was called for.
func (n *scriptNote) reach(s cgi.Stage, took time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stages[s], n.came[s] = took, true
}

// stderr notes a line of standard error.
func (n *scriptNote) stderr(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
	n.bytes += len(line)
	for len(n.lines) > maxStderrLines || n.bytes > maxStderrBytes && len(n.lines) > 1 {
		n.bytes -= len(n.lines[0])
		n.lines = slices.Delete(n.lines, 0, 1)
	}
}

// show fills in what a flight shows of the script. A stage that has not come has
// no phase.
func (n *scriptNote) show(f *Flight) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f.Script, f.Stderr = n.path, slices.Clone(n.lines)
	since := func(from, to cgi.Stage) float64 {
		if !n.came[from] || !n.came[to] {
			return 0
		}
		return seconds(n.stages[to] - n.stages[from])
	}
	if n.came[cgi.StageRead] && f.Received > 0 {
		f.Phases.Body = seconds(n.stages[cgi.StageRead])
	}
	f.Phases.Wait = since(cgi.StageRead, cgi.StageAdmitted)
	f.Phases.FirstOutput = since(cgi.StageStarted, cgi.StageOutput)
	f.Phases.Script = since(cgi.StageStarted, cgi.StageOver)
}

// reading is how long the request's body took to arrive.
func (n *scriptNote) reading() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stages[cgi.StageRead]
}
