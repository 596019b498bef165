// Command soak has sited serve files at full load while they are replaced,
// appended to, rewritten, deleted, uploaded and turned into folders, and checks
// every answer: its bytes, length and validators must be those of what was on
// disk at some moment between 200 ms before the request began and the end of the
// answer. After a change through the site was confirmed, no request that begins
// later may see what was there before. Memory, goroutines and descriptors of the
// process must stay flat.
//
//	go run ./bench/soak                 ten minutes, on a sited built from this tree
//	go run ./bench/soak -for 60s -clients 32 -files 200
//
// It exits with 1 when anything is wrong. What counts as on disk is in
// history.go, and what is right for which answer in check.go:
//
//   - a file that is replaced by rename, deleted, uploaded or turned into a folder:
//     each answer is exactly one version of it;
//   - a file that is appended to: each answer is all that was in it at some moment;
//   - a file that is emptied and written again in place: the same, but while that
//     happens an answer may be cut short, or made of whole records of both
//     versions: no server that reads without a lock can do better.
//
// A run is drawn out by a minute at most when a kind of answer has not come yet.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.DurationVar(&o.length, "for", 10*time.Minute, "how long the load lasts")
	flag.StringVar(&o.sited, "sited", "", "the sited binary; built from this tree when not given")
	flag.IntVar(&o.clients, "clients", 16, "clients that ask all the time")
	flag.IntVar(&o.files, "files", 72, "files and folders that change")
	flag.StringVar(&o.dir, "dir", "", "the folder for everything; a temporary one when not given")
	flag.Parse()
	o.memorySlack = 16 << 20
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := soak(ctx, &o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	length         time.Duration
	sited, dir     string
	clients, files int
	memorySlack    int64 // bytes; see measures
}

// soak runs it all and prints what came of it. The error says everything that
// was wrong. When ctx ends the run does, too, and is judged so far.
func soak(ctx context.Context, o *options, out io.Writer) (err error) {
	if o.length < time.Second || o.clients < 1 || o.files < 1 {
		return errors.New("-for is at least 1s, -clients and -files are at least 1")
	}
	dir, err := os.MkdirTemp(o.dir, "sited-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := o.sited
	if binary == "" {
		if binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	s, err := startServer(ctx, binary, dir)
	if err != nil {
		return err
	}
	err = soakServer(ctx, s, o, out)
	return errors.Join(err, s.stop())
}

func soakServer(ctx context.Context, s *server, o *options, out io.Writer) error {
	l := &load{files: s.files, upload: s.upload, incoming: s.path("incoming"), clients: o.clients, subjects: o.files}
	var err error
	if l.packed, err = probePacked(l.files); err != nil {
		return err
	}
	if err := l.prepare(); err != nil {
		return err
	}
	idle, err := s.sample(l.clock.now())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d clients, %d paths, %v\n", o.clients, len(l.resources), o.length)
	began := l.clock.now()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var samples []sample
	var watched error
	done := make(chan struct{})
	go func() {
		defer close(done)
		samples, watched = s.watch(watching, l.clock)
	}()
	loaded := l.run(ctx, o.length)
	took := l.clock.now() - began
	stopWatching()
	<-done
	after, settled := s.settle(context.WithoutCancel(ctx), l.clock, idle)

	l.report.print(out, took)
	for len(samples) > 0 && samples[0].at < began+warmUp(took) {
		samples = samples[1:]
	}
	printSamples(out, idle, after, samples, o.memorySlack)
	wrong := []error{loaded, watched, settled}
	for _, m := range measures(o.memorySlack) {
		wrong = append(wrong, flat(samples, m))
	}
	if l.report.wrongs > 0 {
		wrong = append(wrong, fmt.Errorf("%d wrong answers", l.report.wrongs))
	}
	if none := l.missing(); len(none) > 0 {
		wrong = append(wrong, fmt.Errorf("nothing is proved: no answer of the kind %s", strings.Join(none, ", ")))
	}
	return errors.Join(wrong...)
}
