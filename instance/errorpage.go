package instance

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"sited/protocol"
)

// maxErrorPage is how large, in bytes, the file of an error page may be: it is
// kept in memory.
const maxErrorPage = 1 << 20

func (p *policy) prepareErrorPages() error {
	if len(p.spec.ErrorPages) > 0 {
		p.errorPages = map[int]string{}
	}
	for _, page := range p.spec.ErrorPages {
		key, err := strconv.Atoi(strings.TrimSuffix(page.Status, "xx"))
		isClass := strings.HasSuffix(page.Status, "xx")
		switch {
		case err != nil, isClass && key != 4 && key != 5, !isClass && (key < 400 || key > 599):
			return fmt.Errorf(`error_page %q: write a status from 400 to 599, "4xx" or "5xx"`, page.Status)
		case !strings.HasPrefix(page.File, "/") || strings.HasSuffix(page.File, "/"):
			return fmt.Errorf("error_page %q: %q is not the path of a file from the root on", page.Status, page.File)
		}
		p.errorPages[key] = page.File
	}
	return nil
}

// errorPage is the file for a status, "" when there is none: that of the very
// status, else that of its class.
func (p *policy) errorPage(status int) string {
	if file, ok := p.errorPages[status]; ok {
		return file
	}
	return p.errorPages[status/100]
}

// errorResponse returns what changes the answers to requests that failed: a hook
// of protocol.Service, nil when there is nothing to change.
func (i *Instance) errorResponse() func(*protocol.Exchange) {
	always := false
	for _, r := range i.policy.headers {
		always = always || r.always
	}
	if len(i.policy.errorPages) == 0 && !always && !i.spec.RequestID {
		return nil
	}
	pages := map[string]*errorPage{}
	for _, file := range i.policy.errorPages {
		pages[file] = &errorPage{name: relative(file), contentType: contentType(file), refused: i.policy.neverPage(file)}
	}
	return func(x *protocol.Exchange) {
		if page := pages[i.policy.errorPage(x.Res.Status)]; page != nil {
			if body, ok := page.get(&i.root, time.Now()); ok {
				x.Res.Header.Set("Content-Type", page.contentType)
				x.Res.Body = protocol.Bytes(body)
			}
		}
		i.policy.setFields(&x.Res.Header, x.Req.Path, x.Res.Status)
		if i.spec.RequestID {
			identify(x)
		}
	}
}

// neverPage reports whether a file is none that is sent: a dotfile or a script.
func (p *policy) neverPage(file string) bool {
	_, isScript := p.script(file)
	return isScript || hidden(file)
}

// errorPage keeps the content of one file. Its methods may be called
// concurrently.
type errorPage struct {
	name        string // relative to the root
	contentType string
	refused     bool // it is never read

	mu      sync.Mutex
	checked time.Time
	there   bool
	body    []byte
	same    identity // of the file that body is from; zero when it is to be read again
}

// get returns the page as its file is now, or was lookTime before, since errors
// come in floods; ok is false when there is none.
func (e *errorPage) get(root *siteRoot, now time.Time) (body []byte, ok bool) {
	if e.refused {
		return nil, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.checked) < lookTime {
		return e.body, e.there
	}
	e.checked = now
	folder, err := root.get(now)
	if err != nil {
		e.there, e.body, e.same = false, nil, identity{}
		return nil, false
	}
	if !e.there || !e.current(folder) {
		e.body, e.same, err = readErrorPage(folder.Root, e.name)
		e.there = err == nil
	}
	return e.body, e.there
}

func (e *errorPage) current(folder *folder) bool {
	now, there := lookAt(folder.fd, e.name)
	runtime.KeepAlive(folder)
	return there && now == e.same
}

// readErrorPage reads a page. same is zero when the file may have changed without
// its times telling so.
func readErrorPage(root *os.Root, name string) (body []byte, same identity, err error) {
	file, info, err := openFile(root, name)
	if err != nil {
		return nil, identity{}, err
	}
	defer file.Close()
	switch {
	case !info.Mode().IsRegular():
		return nil, identity{}, errors.New("not a file")
	case info.Size() > maxErrorPage:
		return nil, identity{}, fmt.Errorf("larger than %d bytes", maxErrorPage)
	}
	same = identityOf(info)
	body, unchanged, err := readWhole(file, same)
	if !unchanged || !same.settled(time.Now().UnixNano()) {
		same = identity{}
	}
	return body, same, err
}

// sayErrorPage tells which page an answer with that status has.
func (p *policy) sayErrorPage(status int, t *trace) {
	file := p.errorPage(status)
	if file == "" {
		return
	}
	err := errors.New("neither a dotfile nor a script is sent")
	if !p.neverPage(file) {
		err = p.tryErrorPage(file)
	}
	if err != nil {
		t.say("error_page %s can't be sent, the built-in page is: %v", file, err)
		return
	}
	t.say("error_page: sends %s with the status", file)
}

func (p *policy) tryErrorPage(file string) error {
	root, err := os.OpenRoot(p.spec.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	_, _, err = readErrorPage(root, relative(file))
	return err
}
