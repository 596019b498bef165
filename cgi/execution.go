package cgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"sited/protocol"
)

// exitGrace is how long the end of the output waits for the process to exit, so
// that its status can be told. A script that exits does so within microseconds.
const exitGrace = 100 * time.Millisecond

var errGone = errors.New("the answer was given up before its end")

// failure is why a Run failed and what it counts as.
type failure struct {
	result string
	err    *protocol.Error
}

// execution is one process that answers one request, and the stream of its
// output. One goroutine at a time reads; abort may be called from any.
type execution struct {
	runner   *Runner
	id       protocol.ID // of the call
	filename string
	began    time.Time
	process  *process
	unattend func() // ends the watch for the client
	reached  func(Stage)

	rest     []byte // output that was read along with the head
	left     int64  // bytes of the body to come by the script's word; -1: it did not say
	contents bool   // the answer has content: not to HEAD, not 204, not 304
	end      error  // why reading is over: io.EOF or an error; nil: it is not

	mu       sync.Mutex
	unhook   func() bool // stops watching the context
	finished bool        // the result was reported
	parts    int         // what is still going on: the output, the reaper, standard error
}

// parts an execution begins with.
const executionParts = 3

// run starts the goroutines that go with the process, and watches ctx.
func (x *execution) run(ctx context.Context, stderr func(string)) {
	go func() {
		defer x.leave()
		x.runner.exited(x.process.reap())
	}()
	go func() {
		defer x.leave()
		l := lines{tell: stderr}
		l.pump(x.process.stderr)
	}()
	unhook := context.AfterFunc(ctx, func() { x.abort(context.Cause(ctx)) })
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unhook = unhook
	if x.finished {
		unhook()
	}
}

// abort kills the process and ends the output, unless that has ended already.
func (x *execution) abort(cause error) {
	x.process.abort(cause)
	x.finish(ResultAborted)
}

// finish reports the result; the first one counts.
func (x *execution) finish(result string) {
	x.mu.Lock()
	if x.finished {
		x.mu.Unlock()
		return
	}
	x.finished = true
	x.mu.Unlock()
	x.detach()
	x.runner.observer.Done(result, time.Since(x.began), x.id)
	x.reached(StageOver)
	x.leave()
}

// detach ends the watch for the client and for the end of the context.
func (x *execution) detach() {
	x.mu.Lock()
	if x.unhook != nil {
		x.unhook()
	}
	x.mu.Unlock()
	x.unattend()
}

// leave says that a part of the execution is over.
func (x *execution) leave() {
	x.mu.Lock()
	x.parts--
	over := x.parts == 0
	x.mu.Unlock()
	if over {
		x.runner.forget(x)
	}
}

// join says that a further part begins; false: too late, the output was given up.
func (x *execution) join() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.finished {
		return false
	}
	x.parts++
	return true
}

func (x *execution) fail(result string, status int, format string, args ...any) *failure {
	cause := fmt.Errorf(format, args...)
	return &failure{result, protocol.Failf(status, "script %q: %s: %w", x.runner.cfg.Name, x.filename, cause)}
}

// answer waits for the head of the output and understands it.
func (x *execution) answer(method string) (*Answer, *failure) {
	h, fail := x.head()
	if fail != nil {
		x.process.abort(fail.err)
		return nil, fail
	}
	if h.redirect != "" {
		return &Answer{Redirect: h.redirect}, x.letFinish()
	}
	x.left = h.length
	x.contents = method != protocol.MethodHead && h.status != 204 && h.status != 304
	return &Answer{Status: h.status, Header: h.header, Body: protocol.Stream(x, h.length)}, nil
}

// head reads and parses the head. The whole of it must be there in time.
func (x *execution) head() (head, *failure) {
	deadline := time.Now().Add(x.runner.cfg.Timeout)
	b := make([]byte, 0, 4<<10)
	for from := 0; ; {
		n, fail := x.next(b[len(b):cap(b)], deadline)
		if fail != nil {
			return head{}, fail
		}
		if n == 0 {
			return head{}, x.headless(len(b))
		}
		if len(b) == 0 {
			x.process.look()
			x.reached(StageOutput)
		}
		b = b[:len(b)+n]
		end, next := headEnd(b, from)
		switch {
		case end > maxHead, end == 0 && len(b) > maxHead:
			return head{}, x.fail(ResultError, 502, "the head of its output is longer than %d bytes", maxHead)
		case end > 0:
			h, err := parseHead(b[:end])
			if err != nil {
				return head{}, x.fail(ResultError, 502, "the head of its output is wrong: %w", err)
			}
			x.rest = b[end:]
			return h, nil
		}
		from = next
		if len(b) == cap(b) {
			b = append(make([]byte, 0, 2*cap(b)), b...)
		}
	}
}

// headless is the failure of a script whose output ended after n bytes, within
// the head.
func (x *execution) headless(n int) *failure {
	what := "it wrote no output"
	if n > 0 {
		what = "its output ended before the empty line that ends the head"
	}
	if !x.process.wait(exitGrace) {
		return x.fail(ResultError, 502, "%s and closed it, still running", what)
	}
	return x.fail(ResultError, 502, "%s and it ended with %v", what, x.process.cmd.ProcessState)
}

// next reads output: at least one byte, or none at its end.
func (x *execution) next(p []byte, deadline time.Time) (int, *failure) {
	n, err := x.process.stdout.read(p, deadline)
	if n > 0 {
		return n, nil
	}
	if cause := x.process.aborted(); cause != nil {
		return 0, x.fail(ResultAborted, 503, "killed: %w", cause)
	}
	switch {
	case err == io.EOF:
		return 0, nil
	case errors.Is(err, errNoOutput):
		fail := x.fail(ResultTimeout, 504, "killed: no output within %v", x.runner.cfg.Timeout)
		x.process.abort(fail.err)
		return 0, fail
	default:
		fail := x.fail(ResultError, 502, "read its output: %w", err)
		x.process.abort(fail.err)
		return 0, fail
	}
}

// Read is the stream's: see Answer.Body.
func (x *execution) Read(p []byte) (int, error) {
	if x.end != nil || len(p) == 0 {
		return 0, x.end
	}
	if x.left == 0 {
		return 0, io.EOF // not the end of the output: Close sees to what is beyond
	}
	if x.left > 0 {
		p = p[:min(int64(len(p)), x.left)]
	}
	n := copy(p, x.rest)
	x.rest = x.rest[n:]
	if n == 0 {
		var fail *failure
		n, fail = x.next(p, time.Now().Add(x.runner.cfg.Timeout))
		if fail == nil && n == 0 {
			fail = x.ended()
		}
		if fail != nil {
			x.end = fail.err
			x.process.abort(fail.err)
			x.finish(fail.result)
			return 0, x.end
		}
		if n == 0 {
			x.end = io.EOF
			x.process.stdout.close()
			x.finish(ResultOK)
			return 0, x.end
		}
	}
	if x.left > 0 {
		x.left -= int64(n)
	}
	return n, nil
}

// ended judges an output that has come to its end: whether it is whole. If so
// the process may go on for a while.
func (x *execution) ended() *failure {
	if x.left > 0 {
		return x.fail(ResultError, 502, "its output ended %d bytes short of its Content-Length", x.left)
	}
	if !x.process.wait(exitGrace) {
		x.process.linger(x.runner.cfg.Timeout)
		return nil
	}
	if cause := x.process.aborted(); cause != nil {
		return x.fail(ResultAborted, 503, "killed: %w", cause)
	}
	if signal, ok := x.process.signal(); ok && x.left < 0 {
		return x.fail(ResultError, 502, "a signal ended it within its output: %v", signal)
	}
	return nil
}

// Close is the stream's: see Answer.Body. It does not wait for the process.
func (x *execution) Close() error {
	x.detach()
	switch {
	case x.end != nil:
		x.process.stdout.close()
	case (!x.contents || x.left == 0) && x.join():
		go func() {
			defer x.leave()
			if fail := x.letFinish(); fail != nil {
				x.finish(fail.result)
			} else {
				x.finish(ResultOK)
			}
		}()
	default:
		x.abort(errGone)
	}
	x.end = errGone
	return nil
}

// letFinish throws the rest of the output away and closes it. A process that
// does not come to its end within the timeout is killed, which is no failure:
// the answer is whole.
func (x *execution) letFinish() *failure {
	defer x.process.stdout.close()
	x.rest = nil
	deadline := time.Now().Add(x.runner.cfg.Timeout)
	buf := make([]byte, 16<<10)
	for time.Now().Before(deadline) {
		n, err := x.process.stdout.read(buf, deadline)
		if n > 0 {
			continue
		}
		if cause := x.process.aborted(); cause != nil {
			return x.fail(ResultAborted, 503, "killed: %w", cause)
		}
		if err != io.EOF {
			break
		}
		x.process.linger(x.runner.cfg.Timeout)
		return nil
	}
	x.process.linger(0)
	return nil
}
