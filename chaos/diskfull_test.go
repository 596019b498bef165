package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const small = 1 << 20 // bytes that a small disk holds

// smallDisk puts a file system of its own at a folder until the test is over.
func (r *rig) smallDisk(folder string) {
	r.t.Helper()
	must(r.t, os.MkdirAll(r.path(folder), 0o755))
	if err := unix.Mount("tmpfs", r.path(folder), "tmpfs", 0, fmt.Sprint("size=", small)); err != nil {
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			r.t.Fatalf("mount: %v: as root it must work where CI=true (CAP_SYS_ADMIN)", err)
		}
		r.t.Skipf("mount: %v", err)
	}
	r.t.Cleanup(func() { must(r.t, unix.Unmount(r.path(folder), unix.MNT_DETACH)) })
}

// fillDisk takes all the room that is left on a small disk, with a file.
func (r *rig) fillDisk(file string) {
	r.t.Helper()
	f, err := os.Create(r.path(file))
	must(r.t, err)
	defer f.Close()
	for piece := make([]byte, 4<<10); err == nil; {
		_, err = f.Write(piece)
	}
	if !errors.Is(err, unix.ENOSPC) {
		r.t.Fatal(err)
	}
}

// put is a PUT with or without a length, and the status it got.
func (r *rig) put(path, body string, chunked bool) int {
	r.t.Helper()
	length := int64(len(body))
	if chunked {
		length = -1
	}
	status, _, err := request("PUT", r.url("web", path), &pieces{text: strings.NewReader(body)}, length)
	if err != nil {
		r.t.Fatalf("PUT %s: %v", path, err)
	}
	return status
}

// shows fails unless the site answers with that content.
func (r *rig) shows(path, want string) {
	r.t.Helper()
	if status, body, err := get(r.url("web", path)); err != nil || status != 200 || body != want {
		r.t.Errorf("GET %s: %d, %d bytes, %v; want %d bytes", path, status, len(body), err, len(want))
	}
}

const oneSite = `
admin {
  @admin
}
site "web" {
  @web
  root    = "root"
  methods = ["GET", "PUT", "DELETE"]
  limits { max_body = "8MiB" }
}
`

// An upload that finds no room gets 507, leaves nothing behind and everything as
// it was. When there is room again, it is taken.
func TestUploadsOnAFullDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, "web")
	r.smallDisk("root")
	r.write("root/page.html", "page")
	old := content("old", 1, 100<<10)
	r.write("root/old", old)
	r.config(oneSite)
	p := r.start()

	wantOld := func() {
		t.Helper()
		r.shows("/old", old)
		r.shows("/page.html", "page")
		if r.read("root/old") != old {
			t.Error("the old file is another")
		}
		if _, err := os.Lstat(r.path("root/new")); err == nil {
			t.Error("the new file is there")
		}
		if left := r.temporaries("root"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
	much := content("new", 2, 2*small)
	for _, target := range []string{"/old", "/new"} {
		for _, chunked := range []bool{false, true} {
			if status := r.put(target, much, chunked); status != 507 {
				t.Errorf("PUT %s, chunked=%v, of more than the disk holds: %d", target, chunked, status)
			}
			wantOld()
		}
	}
	// What was written of them takes no room.
	var disk unix.Statfs_t
	must(t, unix.Statfs(r.path("root"), &disk))
	if free := disk.Bfree * uint64(disk.Bsize); free < small/2 {
		t.Errorf("only %d bytes are free", free)
	}

	r.fillDisk("root/filler")
	for _, target := range []string{"/old", "/new"} {
		if status := r.put(target, "a few bytes", false); status != 507 {
			t.Errorf("PUT %s on a full disk: %d", target, status)
		}
		wantOld()
	}
	if status, _, err := request("DELETE", r.url("web", "/filler"), nil, 0); err != nil || status != 204 {
		t.Fatalf("DELETE on a full disk: %d, %v", status, err)
	}
	if status := r.put("/old", "newer", false); status != 204 {
		t.Errorf("PUT with room again: %d", status)
	}
	if status := r.put("/new", much[:small/2], true); status != 201 {
		t.Errorf("PUT with room again: %d", status)
	}
	r.shows("/old", "newer")
	r.shows("/new", much[:small/2])
	if n, err := p.metric(`sited_http_requests_total{code="507",method="PUT",site="web"}`); err != nil || n != 6 {
		t.Errorf("%v answers of 507 are counted, %v", n, err)
	}
}

// logged are the targets in a log, and how many lines of it are torn.
func (r *rig) logged(name string) (targets []string, torn int) {
	r.t.Helper()
	for line := range strings.Lines(r.read(name)) {
		var entry struct{ Target string }
		if json.Unmarshal([]byte(line), &entry) != nil || !strings.HasSuffix(line, "\n") {
			torn++
			continue
		}
		targets = append(targets, entry.Target)
	}
	return targets, torn
}

// A log that finds no room does not hold up the site. What is lost of it is
// counted, which is said when it begins and when it is over; what comes after is
// whole.
func TestLogsOnAFullDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, "web")
	r.smallDisk("logs")
	r.write("root/page.html", "page")
	r.config(oneSite)
	p := r.start()
	const log, series = "logs/web/passed.log", `sited_log_lines_lost_total{site="web"}`
	asked := 0
	ask := func(n int) {
		t.Helper()
		for range n {
			asked++
			r.shows(fmt.Sprintf("/page.html?%d", asked), "page")
		}
	}
	lost := func() int {
		t.Helper()
		n, err := p.metric(series)
		must(t, err)
		return int(n)
	}
	settled := func(what string) { // every line is either there or counted
		t.Helper()
		eventually(t, what, func() bool {
			targets, _ := r.logged(log)
			return len(targets)+lost() == asked
		})
	}
	ask(10)
	settled("lines are written")
	if n := lost(); n != 0 {
		t.Errorf("%d lines are lost from the start", n)
	}
	const began, over = "access log can't be written", "access log is written again"
	for episode := 1; episode <= 2; episode++ {
		before := lost()
		r.fillDisk("logs/filler")
		for range 3 {
			ask(50) // fewer may fit into the last block of the file
			settled("lines are written or lost")
		}
		if n := lost() - before; n < 100 {
			t.Errorf("%d lines are lost on a full disk", n)
		}
		if n := p.said(began, "no space left on device", filepath.Base(log)); n != episode || p.said(over) != episode-1 {
			t.Errorf("it was said %d times that lines are lost, and %d times that none are, in episode %d:\n%s", n, p.said(over), episode, p.stderr.String())
		}
		must(t, os.Remove(r.path("logs/filler")))
		ask(10)
		settled("lines are written or lost")
		eventually(t, "that is said", func() bool { return p.said(over) == episode })
		if n := p.said(over, fmt.Sprintf(`"lines_lost":%d}`, lost()-before)); n == 0 {
			t.Errorf("%d lines were lost in episode %d, but it was said:\n%s", lost()-before, episode, p.stderr.String())
		}
	}
	targets, torn := r.logged(log)
	if torn > 2 || !slices.Contains(targets, fmt.Sprintf("/page.html?%d", asked)) {
		t.Errorf("of %d lines %d are there, %d are lost, and %d are torn", asked, len(targets), lost(), torn)
	}
	if p.said(began) != 2 || p.said(over) != 2 {
		t.Errorf("said:\n%s", p.stderr.String())
	}
}
