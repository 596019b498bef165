package chaos

import (
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"sited/rig"
)

// breakage is a way in which sites.hcl can't be used any more.
type breakage struct {
	name  string
	spoil func(t *testing.T, b *broken) // to the good file
	says  []string                      // on everything that tells of it, beside the name of the file
	// hidden is whether the file does not tell where the admin endpoint is.
	hidden bool
	nobody bool // sited runs as a user who has no rights
}

var breakages = []breakage{
	{name: "deleted", hidden: true, says: []string{"can't be read: no such file or directory", "Put it there, or give the path of another"},
		spoil: func(t *testing.T, b *broken) { b.clear() }},
	{name: "folder gone", hidden: true, says: []string{"can't be read: no such file or directory", "Put it there, or give the path of another"},
		spoil: func(t *testing.T, b *broken) { rig.Must(t, os.Rename(b.Dir, b.Dir+".old")) }},
	{name: "folder of another", hidden: true, says: []string{"can't be read: no such file or directory", "Put it there, or give the path of another"},
		spoil: func(t *testing.T, b *broken) {
			rig.Must(t, os.Rename(b.Dir, b.Dir+".old"))
			b.Write("others.txt", "no configuration")
		}},
	{name: "file in the place of the folder", hidden: true, says: []string{"can't be read: not a directory", "has to be one"},
		spoil: func(t *testing.T, b *broken) {
			rig.Must(t, os.Rename(b.Dir, b.Dir+".old"))
			rig.Must(t, os.WriteFile(b.Dir, nil, 0o644))
		}},
	{name: "directory", says: []string{"has no file whose name ends in .hcl", "Put one there, or give the path of a file"},
		spoil: func(t *testing.T, b *broken) { b.clear(); rig.Must(t, os.Mkdir(b.Path("sites.hcl"), 0o755)) }},
	{name: "FIFO", hidden: true, says: []string{"it is a FIFO, not a regular file", "Put a file that can be read in its place"},
		spoil: func(t *testing.T, b *broken) { b.clear(); rig.Must(t, syscall.Mkfifo(b.Path("sites.hcl"), 0o644)) }},
	{name: "socket", hidden: true, says: []string{"can't be read", "Put a file that can be read in its place"},
		spoil: func(t *testing.T, b *broken) {
			b.clear()
			rig.Must(t, unix.Mknod(b.Path("sites.hcl"), unix.S_IFSOCK|0o644, 0))
		}},
	{name: "device", hidden: true, says: []string{"it is a device, not a regular file", "Put a file that can be read in its place"},
		spoil: func(t *testing.T, b *broken) { b.link("/dev/zero") }},
	{name: "symbolic links in a circle", hidden: true, says: []string{"can't be read: too many levels of symbolic links", "Have the links lead to a file"},
		spoil: func(t *testing.T, b *broken) { b.link("sites.hcl") }},
	{name: "symbolic link to nothing", hidden: true, says: []string{"can't be read: no such file or directory", "Put it there, or give the path of another"},
		spoil: func(t *testing.T, b *broken) { b.link("nothing") }},
	{name: "error of the disk", hidden: true, says: []string{"can't be read: input/output error", "Put a file that can be read in its place"},
		spoil: func(t *testing.T, b *broken) { b.link("/proc/self/mem") }},
	{name: "no permission", hidden: true, nobody: true, says: []string{"can't be read: permission denied", "Let the user that sited runs as read it"},
		spoil: func(t *testing.T, b *broken) { rig.Must(t, os.Chmod(b.Path("sites.hcl"), 0)) }},
	{name: "10 MB of garbage", hidden: true, says: []string{"it is larger than 1MiB", "Put the sites into several files of one directory"},
		spoil: func(t *testing.T, b *broken) { b.Write("sites.hcl", garbage(10_000_000)) }},
	{name: "500 kB of garbage", hidden: true, says: []string{"Not a text file", "Save the file as UTF-8"},
		spoil: func(t *testing.T, b *broken) { b.Write("sites.hcl", garbage(500_000)) }},
	{name: "2 MB of comments", hidden: true, says: []string{"it is larger than 1MiB", "Put the sites into several files of one directory"},
		spoil: func(t *testing.T, b *broken) {
			b.Write("sites.hcl", b.text(2)+strings.Repeat("# a comment\n", 200_000))
		}},
	{name: "empty", says: []string{"has no site block", "The least is"},
		spoil: func(t *testing.T, b *broken) { b.Write("sites.hcl", "") }},
	{name: "nothing but a comment", says: []string{"has no site block", "The least is"},
		spoil: func(t *testing.T, b *broken) { b.Write("sites.hcl", "# later\n") }},
	{name: "half of it", says: []string{"There is no closing brace for this block"},
		spoil: func(t *testing.T, b *broken) { b.Write("sites.hcl", b.text(2)[:len(b.text(2))-3]) }},
	{name: "NUL", hidden: true, says: []string{"byte 0x00", "Save the file as UTF-8"},
		spoil: func(t *testing.T, b *broken) { b.Write("sites.hcl", b.text(2)+"\x00") }},
	{name: "UTF-16", hidden: true, says: []string{"not text in UTF-8", "Save the file as UTF-8"},
		spoil: func(t *testing.T, b *broken) { b.Write("sites.hcl", inUTF16(b.text(2))) }},
}

func garbage(n int) string {
	chacha := mathrand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	chacha.Read(b) // it never fails
	return string(b)
}

func inUTF16(text string) string {
	b := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return string(b)
}

// pollTime is longer than sited lets pass before it looks at its files unasked.
const pollTime = 6 * time.Second

// TestBrokenFile makes sites.hcl unusable in every way there is while its sites
// are asked. They go on as they were, everything that tells of the state says what
// is wrong, the log once; and a good file is taken in again by itself.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	var all []*broken
	for _, kind := range breakages {
		b := newBroken(t, kind)
		b.Process = b.Launch()
		all = append(all, b)
	}
	for _, b := range all {
		b.Ready()
		b.shows("as it began", 1)
	}
	for _, b := range all {
		b.spoil(t, b)
	}
	for _, b := range all {
		b.checkBroken()
	}
	time.Sleep(pollTime)
	for _, b := range all {
		b.checkSaid("after a while")
		b.checkMended()
	}
}

// broken is a sited whose file is broken.
type broken struct {
	*rig.Rig
	*rig.Process
	breakage
	base  string
	kept  map[string]*wire // by site
	spoke int              // how often the log has told of a configuration that was read
}

// newBroken makes the folder. What the sites serve is beside that of the file,
// which may go.
func newBroken(t *testing.T, kind breakage) *broken {
	b := &broken{Rig: rig.New(t, binary, "web", "twin"), breakage: kind, kept: map[string]*wire{}}
	if kind.nobody && os.Geteuid() == 0 {
		b.runAsNobody()
	}
	b.base = b.Dir
	b.Dir += "/etc"
	rig.Must(t, os.MkdirAll(b.base+"/www", 0o755))
	rig.Must(t, os.WriteFile(b.base+"/www/index.html", []byte("page"), 0o644))
	b.Write("sites.hcl", b.text(1))
	t.Cleanup(func() {
		for _, w := range b.kept {
			w.Close()
		}
	})
	return b
}

// runAsNobody has sited run as a user who is not root, whom no file keeps out. The
// folders of the tests keep everyone else out, the one with the binary as well.
func (b *broken) runAsNobody() {
	b.T.Helper()
	dir, err := os.MkdirTemp("", "sited-chaos-nobody-")
	rig.Must(b.T, err)
	b.T.Cleanup(func() { os.RemoveAll(dir) })
	rig.Must(b.T, os.Chmod(dir, 0o755))
	rig.Must(b.T, os.Link(binary, dir+"/sited"))
	b.Dir, b.Binary = dir, dir+"/sited"
	b.User = &syscall.Credential{Uid: 65534, Gid: 65534}
}

// text is a good file.
func (b *broken) text(gen int) string {
	text := "admin {\n  @admin\n}\ndefaults {\n  timeouts { idle = \"10m\" }\n}\n"
	for _, site := range []string{"web", "twin"} {
		text += fmt.Sprintf(`
site %q {
  @%s
  root = %q
  header "/**" {
    set = { X-Generation = "%d" }
  }
  logs {
    passed = ""
    failed = ""
  }
}
`, site, site, b.base+"/www", gen)
	}
	return b.Fill(text)
}

// clear removes what is there.
func (b *broken) clear() {
	b.T.Helper()
	rig.Must(b.T, os.RemoveAll(b.Path("sites.hcl")))
}

// link puts a symbolic link in the place of the file.
func (b *broken) link(to string) {
	b.T.Helper()
	b.clear()
	rig.Must(b.T, os.Symlink(to, b.Path("sites.hcl")))
}

// wrong makes the test fail.
func (b *broken) wrong(format string, args ...any) {
	b.T.Helper()
	b.T.Errorf("%s: %s", b.name, fmt.Sprintf(format, args...))
}

// generation asks a site on the connection that has been there from the start, and
// on a new one.
func (b *broken) generation(site string) string {
	b.T.Helper()
	fresh, err := dial(b.Addrs[site])
	rig.Must(b.T, err)
	defer fresh.Close()
	if b.kept[site] == nil {
		b.kept[site], err = dial(b.Addrs[site])
		rig.Must(b.T, err)
	}
	var found []string
	for _, w := range []*wire{b.kept[site], fresh} {
		rig.Must(b.T, w.send(head("GET /")))
		a, err := w.answer("GET")
		if err != nil || a.status != 200 || a.body != "page" || a.closes {
			b.T.Fatalf("%s, %s: %+v, %v", b.name, site, a, err)
		}
		found = append(found, a.header.Get("X-Generation"))
	}
	if found[0] != found[1] {
		return strings.Join(found, " and ")
	}
	return found[0]
}

// shows sees that all sites are of that generation.
func (b *broken) shows(when string, gen int) {
	b.T.Helper()
	for _, site := range []string{"web", "twin"} {
		if got := b.generation(site); got != fmt.Sprint(gen) {
			b.wrong("%s: %s shows generation %s, want %d", when, site, got, gen)
		}
	}
}

// checkBroken waits until sited has noticed, and looks at all that tells of it.
func (b *broken) checkBroken() {
	b.T.Helper()
	rig.Eventually(b.T, b.name+": the metric says so", func() bool {
		n, err := b.Metric("sited_config_last_reload_successful")
		rig.Must(b.T, err)
		return n == 0
	})
	b.shows("broken", 1)
	b.checkTold("the log", b.diagnostics())
	if s := status(b.Rig); s.Config.Reload.Result != "refused" || s.Config.Reload.Trigger != "watch" || len(s.Config.Reload.Errors) == 0 {
		b.wrong("/api/sites: %+v", s.Config.Reload)
	}
	for _, series := range []string{`sited_site_up{site="web"}`, `sited_site_config_current{site="web"}`} {
		if n, err := b.Metric(series); err != nil || n != 1 {
			b.wrong("%s: %v, %v; its block is not what is wrong", series, n, err)
		}
	}
	file, admin := b.Path("sites.hcl"), b.Addrs["admin"]
	status, said := b.Sited("status", "--admin", admin, file)
	if status != 0 || !strings.Contains(said, "Refused, nothing was changed") || !strings.Contains(said, file) {
		b.wrong("sited status: %d, %s", status, said)
	}
	if status, said = b.Sited("validate", file); status != 1 {
		b.wrong("sited validate: exit status %d", status)
	}
	b.checkTold("sited validate", said)
	if status, said = b.Sited("reload", "--admin", admin, file); status != 1 || !strings.Contains(said, "Refused, nothing was changed") {
		b.wrong("sited reload: %d, %s", status, said)
	}
	b.checkTold("sited reload", said)
	if status, said = b.Sited("reload", file); b.hidden && (status != 1 || !strings.Contains(said, "name it with --admin ip:port")) {
		b.wrong("sited reload without --admin: %d, %s", status, said)
	}
	// The watcher looks when there may be something new; there is not.
	rig.Must(b.T, os.MkdirAll(b.base+"/..data", 0o755))
	rig.Must(b.T, os.Remove(b.base+"/..data"))
	b.spoke = b.Said(`"msg":"configuration read"`)
	b.checkSaid("broken")
}

// checkTold sees that a message names the file, what is wrong with it, and the
// remedy. Lines are broken where it suits the message.
func (b *broken) checkTold(where, said string) {
	b.T.Helper()
	told := strings.Join(strings.Fields(said), " ")
	for _, want := range append(slices.Clone(b.says), "sites.hcl") {
		if !strings.Contains(told, want) {
			b.wrong("%s does not say %q: %.1000s", where, want, said)
		}
	}
}

// diagnostics is what the log says that is wrong with configurations.
func (b *broken) diagnostics() (found string) {
	for line := range strings.Lines(b.Stderr.String()) {
		var entry struct{ Msg, Diagnostics string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "configuration" {
			found += entry.Diagnostics + "\n"
		}
	}
	return found
}

// checkSaid sees that the log has told of the broken file once, whoever has asked
// or looked since.
func (b *broken) checkSaid(when string) {
	b.T.Helper()
	if n := b.Said(`"msg":"configuration"`); n != 1 {
		b.wrong("%s: the log tells %d times what is wrong, want once:\n%s", when, n, b.Stderr.String())
	}
	if n := b.Said(`"msg":"configuration read"`); n != b.spoke {
		b.wrong("%s: the log tells of %d reloads and not of %d, though nobody has asked:\n%s", when, n, b.spoke, b.Stderr.String())
	}
	b.shows(when, 1)
}

// checkMended brings a good file back.
func (b *broken) checkMended() {
	b.T.Helper()
	if _, err := os.Stat(b.Dir + ".old"); err == nil {
		rig.Must(b.T, os.RemoveAll(b.Dir))
		rig.Must(b.T, os.Rename(b.Dir+".old", b.Dir))
	} else {
		b.clear()
	}
	b.ReplaceConfig(b.text(3))
	rig.Eventually(b.T, b.name+": the good file is taken in", func() bool {
		return b.generation("web") == "3" && b.generation("twin") == "3"
	})
	rig.Eventually(b.T, b.name+": the metric says so", func() bool {
		n, err := b.Metric("sited_config_last_reload_successful")
		return err == nil && n == 1
	})
	if status, said := b.Sited("reload", b.Path("sites.hcl")); status != 0 || !strings.Contains(said, "No changes") {
		b.wrong("sited reload of the good file: %d, %s", status, said)
	}
	if n := b.Said(`"msg":"configuration"`); n != 1 {
		b.wrong("mended, and the log tells %d times what is wrong:\n%s", n, b.Stderr.String())
	}
	if s := status(b.Rig); s.Sites[0].Restarts != 0 || s.Sites[1].Restarts != 0 {
		b.wrong("sites were restarted: %+v", s.Sites)
	}
}
