package supervisor

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	real "sited/rig"
)

// browser is a headless Chromium with one tab, which is told what to do by the
// Chrome DevTools Protocol through a pipe.
type browser struct {
	t       *testing.T
	to      *os.File
	from    *os.File
	reader  *bufio.Reader
	last    int
	session string
	errors  []string // what the page's console says is wrong
	events  map[string]int
}

// startBrowser starts Chromium. Where it is not installed the test is skipped, but
// not in CI.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	program := real.Need(t, "chromium")
	home, err := os.MkdirTemp("", "sited-browser-")
	must(t, err)
	theirIn, ourOut, err := os.Pipe()
	must(t, err)
	ourIn, theirOut, err := os.Pipe()
	must(t, err)
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--lang=en",
		"--user-data-dir="+home, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	must(t, cmd.Start(), theirIn.Close(), theirOut.Close())
	b := &browser{t: t, to: ourOut, from: ourIn, reader: bufio.NewReaderSize(ourIn, 1<<20), events: map[string]int{}}
	t.Cleanup(func() {
		_ = ourOut.Close() // Chromium ends with its pipe
		over := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		over.Stop()
		_ = ourIn.Close()
		for range 50 { // its helpers may write a moment longer
			if os.RemoveAll(home) == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	var tab struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &tab)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": tab.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

type browserMessage struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// call has the browser do something and decodes what it answers; into may be nil.
func (b *browser) call(method string, params, into any) {
	b.t.Helper()
	b.last++
	request := map[string]any{"id": b.last, "method": method}
	if params != nil {
		request["params"] = params
	}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	raw, err := json.Marshal(request)
	must(b.t, err)
	_, err = b.to.Write(append(raw, 0))
	must(b.t, err)
	for {
		m := b.next()
		if m.ID != b.last {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if into != nil {
			must(b.t, json.Unmarshal(m.Result, into))
		}
		return
	}
}

// next reads one message and notes what it tells of the page.
func (b *browser) next() browserMessage {
	b.t.Helper()
	must(b.t, b.from.SetReadDeadline(time.Now().Add(30*time.Second)))
	raw, err := b.reader.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("chromium: %v", err)
	}
	var m browserMessage
	must(b.t, json.Unmarshal(raw[:len(raw)-1], &m))
	b.events[m.Method]++
	switch m.Method {
	case "Runtime.exceptionThrown":
		b.errors = append(b.errors, string(m.Params))
	case "Log.entryAdded":
		if strings.Contains(string(m.Params), `"level":"error"`) {
			b.errors = append(b.errors, string(m.Params))
		}
	}
	return m
}

// open loads a page.
func (b *browser) open(url string) {
	b.t.Helper()
	before := b.events["Page.loadEventFired"]
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	for b.events["Page.loadEventFired"] == before {
		b.next()
	}
}

// eval evaluates JavaScript in the page and decodes what comes out; into may be
// nil.
func (b *browser) eval(expression string, into any) {
	b.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	if into != nil {
		must(b.t, json.Unmarshal(out.Result.Value, into))
	}
}

// is evaluates a condition.
func (b *browser) is(condition string) bool {
	b.t.Helper()
	var yes bool
	b.eval("!!("+condition+")", &yes)
	return yes
}

// wait polls until a condition holds in the page.
func (b *browser) wait(condition string) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !b.is(condition); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			var text string
			b.eval("document.body.innerText", &text)
			b.t.Fatalf("never true: %s\nin:\n%s\nerrors: %q", condition, text, b.errors)
		}
	}
}

// want checks a condition.
func (b *browser) want(condition string) {
	b.t.Helper()
	if !b.is(condition) {
		b.t.Errorf("not true: %s", condition)
	}
}

// see sets the size of the window and the colour scheme that is preferred.
func (b *browser) see(width, height int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// screenshot writes the page, all of its height up to most, to a file.
func (b *browser) screenshot(file string, width, most int) {
	b.t.Helper()
	var height float64
	b.eval("document.documentElement.scrollHeight", &height)
	clip := map[string]any{"x": 0, "y": 0, "width": width, "height": min(height, float64(most)), "scale": 1}
	var out struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": clip}, &out)
	raw, err := base64.StdEncoding.DecodeString(out.Data)
	must(b.t, err, os.WriteFile(file, raw, 0o644))
	fmt.Printf("%s: %d bytes\n", file, len(raw))
}

// pass has the page's clock run on by that many milliseconds, as fast as it can.
func (b *browser) pass(ms int) {
	b.t.Helper()
	before := b.events["Emulation.virtualTimeBudgetExpired"]
	b.call("Emulation.setVirtualTimePolicy", map[string]any{"policy": "pauseIfNetworkFetchesPending", "budget": ms}, nil)
	for b.events["Emulation.virtualTimeBudgetExpired"] == before {
		b.next()
	}
}
