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

	"sited/rig"
)

const small = 1 << 20 // bytes that a small disk holds

// smallDisk puts a file system of its own at a folder until the test is over.
func smallDisk(r *rig.Rig, folder string) {
	r.T.Helper()
	rig.Must(r.T, os.MkdirAll(r.Path(folder), 0o755))
	if err := unix.Mount("tmpfs", r.Path(folder), "tmpfs", 0, fmt.Sprint("size=", small)); err != nil {
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			r.T.Fatalf("mount: %v: as root it must work where CI=true (CAP_SYS_ADMIN)", err)
		}
		r.T.Skipf("mount: %v", err)
	}
	r.T.Cleanup(func() { rig.Must(r.T, unix.Unmount(r.Path(folder), unix.MNT_DETACH)) })
}

// fillDisk takes all the room that is left on a small disk, with a file.
func fillDisk(r *rig.Rig, file string) {
	r.T.Helper()
	f, err := os.Create(r.Path(file))
	rig.Must(r.T, err)
	defer f.Close()
	for piece := make([]byte, 4<<10); err == nil; {
		_, err = f.Write(piece)
	}
	if !errors.Is(err, unix.ENOSPC) {
		r.T.Fatal(err)
	}
}

// put is a PUT with or without a length, and the status it got.
func put(r *rig.Rig, path, body string, chunked bool) int {
	r.T.Helper()
	length := int64(len(body))
	if chunked {
		length = -1
	}
	status, _, err := rig.Request("PUT", r.URL("web", path), &pieces{text: strings.NewReader(body)}, length)
	if err != nil {
		r.T.Fatalf("PUT %s: %v", path, err)
	}
	return status
}

// shows fails unless the site answers with that content.
func shows(r *rig.Rig, path, want string) {
	r.T.Helper()
	if status, body, err := rig.Get(r.URL("web", path)); err != nil || status != 200 || body != want {
		r.T.Errorf("GET %s: %d, %d bytes, %v; want %d bytes", path, status, len(body), err, len(want))
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
	r := rig.New(t, binary, "web")
	smallDisk(r, "root")
	r.Write("root/page.html", "page")
	old := content("old", 1, 100<<10)
	r.Write("root/old", old)
	r.Config(oneSite)
	p := r.Start()

	wantOld := func() {
		t.Helper()
		shows(r, "/old", old)
		shows(r, "/page.html", "page")
		if r.Read("root/old") != old {
			t.Error("the old file is another")
		}
		if _, err := os.Lstat(r.Path("root/new")); err == nil {
			t.Error("the new file is there")
		}
		if left := temporaries(r, "root"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
	much := content("new", 2, 2*small)
	for _, target := range []string{"/old", "/new"} {
		for _, chunked := range []bool{false, true} {
			if status := put(r, target, much, chunked); status != 507 {
				t.Errorf("PUT %s, chunked=%v, of more than the disk holds: %d", target, chunked, status)
			}
			wantOld()
		}
	}
	// What was written of them takes no room.
	var disk unix.Statfs_t
	rig.Must(t, unix.Statfs(r.Path("root"), &disk))
	if free := disk.Bfree * uint64(disk.Bsize); free < small/2 {
		t.Errorf("only %d bytes are free", free)
	}

	fillDisk(r, "root/filler")
	for _, target := range []string{"/old", "/new"} {
		if status := put(r, target, "a few bytes", false); status != 507 {
			t.Errorf("PUT %s on a full disk: %d", target, status)
		}
		wantOld()
	}
	if status, _, err := rig.Request("DELETE", r.URL("web", "/filler"), nil, 0); err != nil || status != 204 {
		t.Fatalf("DELETE on a full disk: %d, %v", status, err)
	}
	if status := put(r, "/old", "newer", false); status != 204 {
		t.Errorf("PUT with room again: %d", status)
	}
	if status := put(r, "/new", much[:small/2], true); status != 201 {
		t.Errorf("PUT with room again: %d", status)
	}
	shows(r, "/old", "newer")
	shows(r, "/new", much[:small/2])
	if n, err := p.Metric(`sited_http_requests_total{code="507",method="PUT",site="web"}`); err != nil || n != 6 {
		t.Errorf("%v answers of 507 are counted, %v", n, err)
	}
}

// logged are the targets in a log, and how many lines of it are torn.
func logged(r *rig.Rig, name string) (targets []string, torn int) {
	r.T.Helper()
	for line := range strings.Lines(r.Read(name)) {
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
	r := rig.New(t, binary, "web")
	smallDisk(r, "logs")
	r.Write("root/page.html", "page")
	r.Config(oneSite)
	p := r.Start()
	const log, series = "logs/web/passed.log", `sited_log_lines_lost_total{site="web"}`
	asked := 0
	ask := func(n int) {
		t.Helper()
		for range n {
			asked++
			shows(r, fmt.Sprintf("/page.html?%d", asked), "page")
		}
	}
	lost := func() int {
		t.Helper()
		n, err := p.Metric(series)
		rig.Must(t, err)
		return int(n)
	}
	settled := func(what string) { // every line is either there or counted
		t.Helper()
		rig.Eventually(t, what, func() bool {
			targets, _ := logged(r, log)
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
		fillDisk(r, "logs/filler")
		for range 3 {
			ask(50) // fewer may fit into the last block of the file
			settled("lines are written or lost")
		}
		if n := lost() - before; n < 100 {
			t.Errorf("%d lines are lost on a full disk", n)
		}
		if n := p.Said(began, "no space left on device", filepath.Base(log)); n != episode || p.Said(over) != episode-1 {
			t.Errorf("it was said %d times that lines are lost, and %d times that none are, in episode %d:\n%s", n, p.Said(over), episode, p.Stderr.String())
		}
		rig.Must(t, os.Remove(r.Path("logs/filler")))
		ask(10)
		settled("lines are written or lost")
		rig.Eventually(t, "that is said", func() bool { return p.Said(over) == episode })
		if n := p.Said(over, fmt.Sprintf(`"lines_lost":%d}`, lost()-before)); n == 0 {
			t.Errorf("%d lines were lost in episode %d, but it was said:\n%s", lost()-before, episode, p.Stderr.String())
		}
	}
	targets, torn := logged(r, log)
	if torn > 2 || !slices.Contains(targets, fmt.Sprintf("/page.html?%d", asked)) {
		t.Errorf("of %d lines %d are there, %d are lost, and %d are torn", asked, len(targets), lost(), torn)
	}
	if p.Said(began) != 2 || p.Said(over) != 2 {
		t.Errorf("said:\n%s", p.Stderr.String())
	}
}
