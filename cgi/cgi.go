// Package cgi runs scripts by CGI/1.1 (RFC 3875): one process for each request,
// which gets the request in its environment and on its standard input, and
// answers on its standard output.
//
// The data's way: the request's body is read to its end; the request waits for
// a slot; the process is started in a process group of its own; the head of its
// output becomes the head of the answer and the rest is streamed. However that
// ends, the whole group is killed and the process is reaped before its slot is
// given to the next request.
package cgi

import (
	"context"
	"time"

	"sited/protocol"
)

// DefaultWorkers is how many processes a Runner has at once when its Config
// does not say.
const DefaultWorkers = 32

// Config says how one kind of script is run.
type Config struct {
	Name     string        // the block's label, ".php" say: it begins every error
	Command  []string      // the interpreter and its arguments; none: the file itself is executed and needs its x bit
	Workers  int           // processes at once; 0: DefaultWorkers
	Timeout  time.Duration // the longest wait for a whole head, for the next output after it, and for a slot; above zero
	SpoolDir string        // where bodies above 64 KiB are spooled; "": os.TempDir
}

// Observer is how a Runner reports. Its methods are called from many goroutines
// at once and must be quick.
type Observer interface {
	// Waiting is called with 1 when a request has to wait for a free process,
	// and with -1 when it no longer does, with one or without.
	Waiting(more int)
	// Started is called when a process was started. It is followed by exactly
	// one Exited.
	Started()
	// Exited is called when a process was reaped.
	Exited(used Usage)
	// Done is called exactly once for each Run: when Run fails or answers with
	// a redirect, else when the output has ended or was given up. result is one
	// of Results; took runs from the call of Run, and id is Call.ID.
	Done(result string, took time.Duration, id protocol.ID)
}

// Usage is what a process has cost.
type Usage struct {
	CPU        time.Duration // user and system time of it and of the children that it waited for
	PeakMemory int64         // bytes of resident memory, at most at one time; 0: not known. See process.peak.
}

// How a request ended: the values of the result label of script_requests_total.
// The set is closed.
const (
	ResultOK          = "ok"
	ResultError       = "error"       // the script is broken: 502
	ResultTimeout     = "timeout"     // no output in time: 504
	ResultBusy        = "busy"        // no slot in time, the queue is full, or the system is short of processes, memory or descriptors: 503
	ResultUnavailable = "unavailable" // the interpreter is missing, there is no room to spool, or the Runner was closed: 503, 507, 500
	ResultAborted     = "aborted"     // the client's doing: it went away, its body did not arrive or was refused; or the context ended
)

// Results lists every result there is.
func Results() []string {
	return []string{ResultOK, ResultError, ResultTimeout, ResultBusy, ResultUnavailable, ResultAborted}
}

// Stage is what a Run has come to.
type Stage uint8

// The stages, in their order. One that a Run does not come to is left out.
const (
	StageRead     Stage = iota // the request's body was read
	StageAdmitted              // the wait for a slot is over, with or without one
	StageStarted               // the process was started
	StageOutput                // it has written its first output
	StageOver                  // as Observer.Done
)

// Call is one request for a script. Nothing of it but Stderr and Reached, and
// what Attend returned, is used after Run has returned.
type Call struct {
	Request *protocol.Request // its Body is read by Run
	MaxBody int64             // bytes of a body whose length is not known ahead: 413; zero: no such body is taken

	Filename   string // absolute path of the script on disk
	ScriptName string // the part of the URL path that names the script, decoded: /app/index.php
	PathInfo   string // the rest of the URL path, decoded; "" or begins with "/"
	Root       string // absolute path of the document root

	// AuthType is "Basic" when Request.User was authenticated by us. The
	// credentials are then kept from the script, which gets AUTH_TYPE and
	// REMOTE_USER instead.
	AuthType string

	// ID is the value of UNIQUE_ID, and tells the Observer which request it is;
	// 0 for none.
	ID protocol.ID

	// Reached, unless nil, is told each stage that the request comes to, once,
	// with the time from the call of Run. StageOver may come from any goroutine,
	// also after Run has returned; the others come from Run.
	Reached func(s Stage, took time.Duration)

	// Attend, unless nil, is called once, after the body was read: what ctx it
	// returns ends when the client goes away, too, and with it the process. stop
	// is called before Run returns an error or a redirect, else before the
	// answer's Close returns; perhaps more than once, from any goroutine.
	Attend func(ctx context.Context) (attended context.Context, stop func())

	// Stderr takes each line that the script writes to standard error, without
	// its line end and cut at 4 KiB; after 1,000 lines only the number of lines
	// dropped is told. It is called from one goroutine, also after Run has
	// returned, until the process is gone. Nil: the lines are thrown away.
	Stderr func(line string)
}

// Answer is what a script answered.
type Answer struct {
	Status int             // 200..599
	Header protocol.Header // without fields that frame the message or belong to the connection
	// Body is a protocol.Stream. Whoever has the Answer must close it, read or
	// not: the process is killed when it is closed before its end. Only for an
	// answer that has no content (to HEAD, or 204, or 304) the script is let
	// finish.
	Body protocol.Content

	// Redirect is the path and query to be served instead, when the script
	// asked for a local redirect (RFC 3875, section 6.2.2): begins with one
	// "/". Nothing else is set then, and there is nothing to close.
	Redirect string
}
