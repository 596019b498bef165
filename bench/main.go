// Command bench measures sited beside the servers it competes with, on the same
// files and under the same load: the server on one core, wrk on another, several
// rounds in turn. It prints the CPU time that each server takes for a request,
// and what goes with it, as a Markdown table with ratios.
//
//	go run ./bench                    all works, all peers that are installed
//	go run ./bench -work '1 KiB' -peers sited,nginx -rounds 5
//	go run ./bench -sites 1000        the start, the memory and a change with many sites
//
// The ratios of one run mean something; the figures of two runs don't compare.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds, seconds, idle   int
	sites                   int
	serverCore, loadCore    int
	work, peers, out, sited string
}

func bench() error {
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each work")
	flag.IntVar(&o.seconds, "seconds", 3, "how long a round lasts for one server")
	flag.IntVar(&o.idle, "idle", 2000, "idle connections to measure the memory of; 0: none")
	flag.IntVar(&o.sites, "sites", 0, "instead of a load: so many sites, which sited and nginx start with and change one of")
	flag.IntVar(&o.serverCore, "server-core", 0, "CPU core of the servers")
	flag.IntVar(&o.loadCore, "load-core", 1, "CPU core of the load")
	flag.StringVar(&o.work, "work", "", "only works whose name has this in it")
	flag.StringVar(&o.peers, "peers", "", "only these servers, separated by commas")
	flag.StringVar(&o.out, "out", "", "write the tables to this file, too")
	flag.StringVar(&o.sited, "sited", "", "the sited binary; built from this tree when not given")
	flag.Parse()

	tools := []string{"taskset", "wrk"}
	if o.sites > 0 {
		tools = tools[:1]
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is needed: apt-get install wrk util-linux", tool)
		}
	}
	dir, err := os.MkdirTemp("", "sited-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // servers that drop root must read it
		return err
	}
	if o.sited == "" {
		o.sited = filepath.Join(dir, "sited.bin")
		build := exec.Command("go", "build", "-o", o.sited, "./cmd/sited")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("go build: %w", err)
		}
	}
	out, err := output(o.out)
	if err != nil {
		return err
	}
	defer out.Close()
	if o.sites > 0 {
		return benchSites(&o, dir, out)
	}
	site := filepath.Join(dir, "site")
	if err := os.Mkdir(site, 0o755); err != nil {
		return err
	}
	if err := makeSite(site); err != nil {
		return err
	}
	servers, err := startAll(&o, dir, site)
	for _, s := range servers {
		defer s.stop()
	}
	if err != nil {
		return err
	}
	return measureAll(&o, dir, out, servers)
}

// tee is standard output and a file, if there is one.
type tee struct {
	io.Writer
	file *os.File
}

func output(file string) (tee, error) {
	if file == "" {
		return tee{Writer: os.Stdout}, nil
	}
	f, err := os.Create(file)
	return tee{io.MultiWriter(os.Stdout, f), f}, err
}

func (t tee) Close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}

func startAll(o *options, dir, site string) ([]*server, error) {
	var servers []*server
	for _, p := range peers(o.sited) {
		if o.peers != "" && !slices.Contains(strings.Split(o.peers, ","), p.name) {
			continue
		}
		if p.find() == "" {
			fmt.Fprintf(os.Stderr, "%s is not installed (%s): left out\n", p.name, p.install)
			continue
		}
		s, err := p.start(dir, site, o.serverCore)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func measureAll(o *options, dir string, out io.Writer, servers []*server) error {
	if o.idle > 0 && strings.Contains("idle connections", o.work) { // first: what a load leaves in memory is no cost of theirs
		measureIdle(out, servers, o.idle)
	}
	for _, w := range works() {
		if !strings.Contains(w.name, o.work) {
			continue
		}
		rows := map[string][]sample{}
		for range o.rounds {
			for _, s := range servers {
				if s.name == "floor" && !w.floor {
					continue
				}
				one, err := run(s, &w, dir, o.loadCore, o.seconds)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w.name, s.name, err)
				}
				rows[s.name] = append(rows[s.name], one)
			}
		}
		printWork(out, &w, servers, rows)
	}
	return nil
}

func measureIdle(out io.Writer, servers []*server, n int) {
	fmt.Fprintf(out, "### %d idle kept-alive connections\n\n| server | memory of each | memory of the server at rest |\n|---|---:|---:|\n", n)
	for _, s := range servers {
		if s.name == "floor" || s.name == "apache" { // apache is set up with 128 threads
			continue
		}
		rest := memory(s.cmd.Process.Pid)
		each, err := idleCost(s, n)
		if err != nil {
			fmt.Fprintf(os.Stderr, "idle connections, %s: %v: left out\n", s.name, err)
			continue
		}
		fmt.Fprintf(out, "| %s | %.1f KiB | %.1f MiB |\n", s.name, each/1024, float64(rest)/(1<<20))
	}
	fmt.Fprintln(out)
}
