package cgi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"sited/protocol"
)

// Runner runs the scripts of one kind. Its methods may be called concurrently.
type Runner struct {
	cfg       Config
	observer  Observer
	path      string // PATH, ours or a usual one
	slots     *slots
	processes atomic.Int64

	mu     sync.Mutex
	closed bool                    // nothing is started any more
	forced bool                    // what is started nevertheless is aborted
	live   map[*execution]struct{} // started, and not over in every part
	going  sync.WaitGroup          // one for each in live, and for each about to be
}

// New returns a Runner for cfg that reports to obs. It starts nothing.
func New(cfg Config, obs Observer) *Runner {
	if cfg.Workers == 0 {
		cfg.Workers = DefaultWorkers
	}
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	return &Runner{
		cfg:      cfg,
		observer: obs,
		path:     path,
		slots:    newSlots(cfg.Workers, func(more int) { obs.Waiting(more) }),
		live:     make(map[*execution]struct{}),
	}
}

// Processes is how many processes there are right now.
func (r *Runner) Processes() int { return int(r.processes.Load()) }

// Workers is how many processes there may be at once.
func (r *Runner) Workers() int { return r.cfg.Workers }

// Run runs call's script and returns when the head of its output was read; see
// Answer for what the caller must do with the rest. The process is killed when
// ctx ends before the output has. An error is a *protocol.Error.
func (r *Runner) Run(ctx context.Context, call *Call) (*Answer, error) {
	began := time.Now()
	reached := call.reached(began)
	x, fail := r.begin(ctx, call, began, reached)
	if fail != nil {
		r.observer.Done(fail.result, time.Since(began), call.ID)
		reached(StageOver)
		return nil, fail.err
	}
	answer, fail := x.answer(call.Request.Method)
	if fail != nil {
		x.finish(fail.result)
		return nil, fail.err
	}
	if answer.Redirect != "" {
		x.finish(ResultOK)
	}
	return answer, nil
}

// begin does what must be done up to the start of the process. What can be
// refused without the body is refused first.
func (r *Runner) begin(ctx context.Context, call *Call, began time.Time, reached func(Stage)) (*execution, *failure) {
	program, err := r.program(call.Filename)
	if err != nil {
		return nil, &failure{ResultUnavailable, protocol.Fail(503, err)}
	}
	env, err := environ(call, r.path)
	if err != nil {
		return nil, requestFailure(err)
	}
	in, err := readInput(call.Request, call.MaxBody, r.cfg.SpoolDir)
	if err != nil {
		return nil, requestFailure(err)
	}
	defer in.Close()
	reached(StageRead)
	stop := func() {}
	if call.Attend != nil {
		ctx, stop = call.Attend(ctx)
	}
	err = r.slots.take(ctx, r.cfg.Timeout)
	reached(StageAdmitted)
	if err != nil {
		stop()
		return nil, r.noSlot(err)
	}
	x, fail := r.start(call, program, env, in)
	if fail != nil {
		stop()
		r.slots.give()
		return nil, fail
	}
	reached(StageStarted)
	x.began, x.unattend, x.reached = began, stop, reached
	stderr := call.Stderr
	if stderr == nil {
		stderr = func(string) {}
	}
	forced := r.remember(x)
	x.run(ctx, stderr)
	if forced {
		x.abort(errClosed)
	}
	return x, nil
}

// reached tells call.Reached of stages, by the time since began.
func (call *Call) reached(began time.Time) func(Stage) {
	if call.Reached == nil {
		return func(Stage) {}
	}
	tell := call.Reached
	return func(s Stage) { tell(s, time.Since(began)) }
}

// requestFailure is the failure of a request that could not be taken in: the
// client's doing, unless the status says that it is ours.
func requestFailure(err error) *failure {
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok {
		e = protocol.Fail(500, err)
	}
	switch {
	case e.Status == 503:
		return &failure{ResultBusy, e}
	case e.Status >= 500:
		return &failure{ResultUnavailable, e}
	}
	return &failure{ResultAborted, e}
}

func (r *Runner) noSlot(err error) *failure {
	fail := &failure{ResultAborted, protocol.Failf(503, "script %q: %w", r.cfg.Name, err)}
	switch err {
	case errQueueFull, errWaitOver:
		fail.result = ResultBusy
		fail.err.Header.Add("Retry-After", "1")
		fail.err.Err = fmt.Errorf("%w (there are %d at once)", fail.err.Err, r.cfg.Workers)
	case errClosed:
		fail.result = ResultUnavailable
	}
	return fail
}

// enter counts an execution that is about to be; false: the Runner is closed.
func (r *Runner) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.going.Add(1)
	}
	return !r.closed
}

// remember makes x known to Close; forced says that Close has given up waiting.
func (r *Runner) remember(x *execution) (forced bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[x] = struct{}{}
	return r.forced
}

func (r *Runner) forget(x *execution) {
	r.mu.Lock()
	delete(r.live, x)
	r.mu.Unlock()
	r.going.Done()
}

// exited takes the slot of a process that was reaped back.
func (r *Runner) exited(used Usage) {
	r.processes.Add(-1)
	r.observer.Exited(used)
	r.slots.give()
}

// Close ends the Runner: Run fails with 503 from now on. It waits until every
// process has exited and every answer was read or closed; when ctx ends first it
// kills the processes and gives the answers up, and returns ctx's error. No
// process, goroutine or descriptor of the Runner is left when it returns. A Run
// that is still reading its request's body is not waited for: it fails by itself.
func (r *Runner) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.slots.close()

	over := make(chan struct{})
	go func() {
		r.going.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.forced = true
	live := make([]*execution, 0, len(r.live))
	for x := range r.live {
		live = append(live, x)
	}
	r.mu.Unlock()
	for _, x := range live {
		x.abort(errClosed)
	}
	<-over
	return context.Cause(ctx)
}
