package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", oneSite{port: ports[7]}.addr())
	if err != nil {
		t.Skip("somebody was quicker:", err)
	}
	defer ln.Close()
	again, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range again {
		if port == ports[7] || seen[port] {
			t.Errorf("port %d is not free", port)
		}
		seen[port] = true
	}
	if _, err := freePorts(1 << 16); err == nil {
		t.Error("more ports than there are")
	}
}

// Every layout has the sites, and the extra one comes and goes.
func TestManySites(t *testing.T) {
	m, err := newManySites(t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []layout{{"sited", false}, {"sited", true}, {"nginx", false}, {"nginx", true}} {
		args, err := m.write(l, "/bin/"+l.server)
		if err != nil {
			t.Fatal(err)
		}
		shared, changing := m.parts(l)
		if file := args[len(args)-1]; file != shared && file != filepath.Dir(changing) {
			t.Errorf("%s: %q", l, args)
		}
		has := func() int {
			var all bytes.Buffer
			files, _ := filepath.Glob(filepath.Join(filepath.Dir(changing), "*"+l.extension()))
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				all.Write(text)
			}
			return strings.Count(all.String(), filepath.Join(m.dir, "roots"))
		}
		if got := has(); got != 3 {
			t.Errorf("%s: %d sites", l, got)
		}
		if err := m.add(l); err != nil || has() != 4 {
			t.Errorf("%s: %d sites after one more, %v", l, has(), err)
		}
		if err := m.remove(l); err != nil || has() != 3 {
			t.Errorf("%s: %d sites after one less, %v", l, has(), err)
		}
	}
}

func TestPrintSites(t *testing.T) {
	var out bytes.Buffer
	printSites(&out, 10, map[layout][]sitesSample{
		{"sited", false}: {{start: 30 * time.Millisecond}, {start: 10 * time.Millisecond}, {start: 20 * time.Millisecond}},
		{"nginx", false}: {{start: 40 * time.Millisecond}},
	})
	want := "| started, until the last site answers | 20.0 ms | 40.0 ms | 0.50x |  |  |  |\n"
	if !strings.Contains(out.String(), "### 10 sites\n") || !strings.Contains(out.String(), want) {
		t.Errorf("%s", &out)
	}
}

func TestAnswers(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	site := oneSite{name: "site7", port: ln.Addr().(*net.TCPAddr).Port}
	reply := make(chan string, 3)
	go func() {
		for text := range reply {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1000))
			c.Write([]byte(text))
			c.Close()
		}
	}()
	defer close(reply)
	reply <- "HTTP/1.1 200 OK\r\n\r\n<title>site7</title>"
	if ok, err := answers(site); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	reply <- "HTTP/1.1 200 OK\r\n\r\n<title>site8</title>"
	if ok, err := answers(site); ok || err == nil {
		t.Error("another site's page is taken")
	}
	ln.Close()
	if ok, err := answers(site); ok || err != nil {
		t.Errorf("nobody listens: %v, %v", ok, err)
	}
	if ok, err := refuses(site); !ok || err != nil {
		t.Errorf("nobody listens: %v, %v", ok, err)
	}
}
