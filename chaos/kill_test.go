package chaos

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sited/rig"
)

var (
	kills = flag.Int("kills", 15, "how often TestKillDuringUploads kills sited")
	seed  = flag.Uint64("seed", 0, "of what is random in a test; 0 for another one each time")
)

const (
	uploaders   = 4
	largest     = 2 << 20                // bytes of an upload
	longestLife = 400 * time.Millisecond // under load, before it is killed

	// stale is how long after a change that another generation has made a file may
	// be answered as it was, and then some: it is compared every 200 ms.
	stale = time.Second
)

// killing is a site that takes uploads while it is killed again and again.
type killing struct {
	*rig.Rig
	files   []string // names below the root
	history *history
	text    string // what sites.hcl holds
	random  *mathrand.Rand

	stop     chan struct{} // closed to end the load
	load     sync.WaitGroup
	uploads  atomic.Int64 // answered
	reads    atomic.Int64
	edits    int
	reloads  int
	lost     int // writes that got no answer
	leftover int // found after kills
	swept    int // put there by the test
}

// TestKillDuringUploads kills sited at random moments while clients write, read
// and delete files and its configuration is edited. Afterwards each file is as one
// of the writes has left it, and none that was answered is lost.
func TestKillDuringUploads(t *testing.T) {
	t.Parallel()
	t.Logf("-seed %d", *seed)
	k := newKilling(t)
	begun := time.Now()
	for round := range *kills {
		p := k.Launch()
		if round%6 == 5 {
			time.Sleep(k.upTo(100 * time.Millisecond)) // while it starts
		} else {
			p.Ready()
			k.checkServed()
			k.underLoad(p, k.upTo(longestLife))
		}
		p.Kill()
		k.endLoad()
		k.reloads += p.Said("configuration read") - p.Said("configuration read", `"trigger":"start"`)
		k.checkDisk()
		if round%3 == 0 {
			k.leave()
		}
		if t.Failed() {
			t.Fatalf("in round %d; sited said:\n%s", round, p.Stderr.String())
		}
	}
	k.Start()
	k.checkServed()
	if k.uploads.Load() == 0 || k.reads.Load() == 0 || k.lost == 0 || k.reloads == 0 {
		t.Error("the load was none")
	}
	t.Logf("%d kills in %v: %d writes answered, %d cut short, %d reads, %d edits of sites.hcl and %d reloads, %d files left by kills and %d by the test",
		*kills, time.Since(begun).Round(time.Second), k.uploads.Load(), k.lost, k.reads.Load(), k.edits, k.reloads, k.leftover, k.swept)
}

func newKilling(t *testing.T) *killing {
	k := &killing{Rig: rig.New(t, binary, "web", "twin"), random: mathrand.New(mathrand.NewPCG(*seed, 0))}
	folders := []string{""}
	rig.Must(t, os.MkdirAll(k.Path("root/sub/folder"), 0o755))
	if fd, err := unix.Open(k.Path("root"), unix.O_TMPFILE|unix.O_WRONLY, 0o600); err == nil {
		unix.Close(fd)
		folders = append(folders, "sub/", "sub/folder/") // else these are swept by the next upload only
	}
	for n := range 6 * uploaders {
		k.files = append(k.files, fmt.Sprintf("%sfile%d", folders[n%len(folders)], n))
	}
	k.history = newHistory(k.files)
	k.text = k.ReplaceConfig(configuration(0))
	return k
}

// configuration is a sites.hcl; the number decides what changes in it. Two sites
// share the root, one of which comes and goes.
func configuration(number int) string {
	const twin = `
site "twin" {
  @twin
  root    = "root"
  methods = ["GET", "PUT"]
}
`
	text := fmt.Sprintf(`
admin {
  @admin
}
defaults {
  limits { max_body = "%dMiB" }
}
site "web" {
  @web
  root    = "root"
  methods = ["GET", "PUT", "DELETE"]
}
`, 4+number%7)
	if number%3 != 0 {
		text += twin
	}
	return text
}

func (k *killing) upTo(d time.Duration) time.Duration {
	return time.Duration(k.random.Int64N(int64(d)))
}

// underLoad has all clients at work for a while. They go on until endLoad.
func (k *killing) underLoad(p *rig.Process, d time.Duration) {
	k.stop = make(chan struct{})
	for n := range uploaders {
		random := mathrand.New(mathrand.NewPCG(*seed, k.random.Uint64()))
		k.load.Go(func() { k.upload(n, random) })
	}
	random := mathrand.New(mathrand.NewPCG(*seed, k.random.Uint64()))
	k.load.Go(func() { k.visit(random) })
	k.load.Go(func() { k.edit(p) })
	time.Sleep(d)
}

func (k *killing) endLoad() {
	if k.stop != nil {
		close(k.stop)
		k.load.Wait()
		k.stop = nil
	}
}

func (k *killing) stopped() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}

// upload writes and deletes files. Most are those of one client alone.
func (k *killing) upload(client int, random *mathrand.Rand) {
	for !k.stopped() {
		file := k.files[random.IntN(len(k.files)/uploaders)*uploaders+client]
		if random.IntN(8) == 0 {
			file = k.files[0]
		}
		if random.IntN(8) == 0 {
			k.remove(file)
			continue
		}
		size := int(math.Exp(random.Float64() * math.Log(largest)))
		text, v := k.history.put(file, size)
		body := &pieces{text: strings.NewReader(text)}
		if random.IntN(2) == 0 {
			body.wait = 2 * time.Millisecond
		}
		length := int64(size)
		if random.IntN(2) == 0 {
			length = -1 // chunked
		}
		switch status, _, err := rig.Request("PUT", k.URL("web", "/"+file), body, length); {
		case err != nil: // killed
			time.Sleep(time.Millisecond)
		case status == 201 || status == 204:
			k.history.answer(v)
			k.uploads.Add(1)
		default:
			k.T.Errorf("PUT %s, %d bytes: %d", file, size, status)
		}
	}
}

func (k *killing) remove(file string) {
	v := k.history.remove(file)
	switch status, _, err := rig.Request("DELETE", k.URL("web", "/"+file), nil, 0); {
	case err != nil:
	case status == 204:
		k.history.answer(v)
	case status == 404:
		k.history.refused(file, v)
	default:
		k.T.Errorf("DELETE %s: %d", file, status)
	}
}

// pieces is a body that comes bit by bit.
type pieces struct {
	text io.Reader
	wait time.Duration
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.wait > 0 {
		time.Sleep(mathrand.N(p.wait))
	}
	return p.text.Read(b[:min(len(b), 16<<10)])
}

// visit looks at files all the time.
func (k *killing) visit(random *mathrand.Rand) {
	for !k.stopped() {
		file := k.files[random.IntN(len(k.files))]
		k.look(file, stale)
	}
}

// look gets a file. What it sees may be as old as stale.
func (k *killing) look(file string, stale time.Duration) {
	from := time.Now().Add(-stale)
	status, text, err := rig.Get(k.URL("web", "/"+file))
	if err != nil {
		return // killed
	}
	found := digestOf(text)
	if status == 404 {
		found = digest{}
	}
	if status != 200 && status != 404 || !k.history.possible(file, found, from, time.Now()) {
		k.T.Errorf("GET %s: %d, %d bytes that begin %.60q: nobody sent this, or it was replaced", file, status, len(text), text)
	}
	k.reads.Add(1)
}

// edit changes sites.hcl as editors do, in place or by renaming.
func (k *killing) edit(p *rig.Process) {
	for !k.stopped() {
		k.edits++
		text := k.Fill(configuration(k.edits))
		name := k.Path("sites.hcl")
		if k.edits%2 == 0 {
			name += ".new"
		}
		err := os.WriteFile(name, []byte(text), 0o644)
		if k.edits%2 == 0 {
			err = errors.Join(err, os.Rename(name, k.Path("sites.hcl")))
		}
		if err != nil {
			k.T.Error(err)
		}
		k.text = text
		pause := 200 * time.Millisecond // the watcher waits for half of it
		if k.edits%3 > 0 {
			p.Cmd.Process.Signal(syscall.SIGHUP) // it may be gone
			pause = 40 * time.Millisecond
		}
		time.Sleep(mathrand.N(pause))
	}
}

// checkDisk looks at the files while nothing runs, and takes them for what they
// are from now on.
func (k *killing) checkDisk() {
	k.T.Helper()
	if k.Read("sites.hcl") != k.text {
		k.T.Error("sites.hcl was changed")
	}
	k.lost += k.history.unanswered()
	k.leftover += len(temporaries(k.Rig, "root"))
	known := map[string]bool{}
	for _, file := range k.files {
		known[file] = true
		b, err := os.ReadFile(k.Path("root/" + file))
		found := digestOf(string(b))
		if errors.Is(err, fs.ErrNotExist) {
			found, err = digest{}, nil
		}
		rig.Must(k.T, err)
		if now := time.Now(); !k.history.possible(file, found, now, now) {
			k.T.Errorf("%s holds %d bytes that begin %.60q: nobody sent this, or it was replaced, or what was answered is lost", file, len(b), b)
		}
		k.history.settle(file, found)
	}
	rig.Must(k.T, filepath.WalkDir(k.Path("root"), func(path string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(path, k.Path("root")+"/")
		if err == nil && !d.IsDir() && !known[name] && !strings.HasPrefix(d.Name(), ".sited-upload-") {
			k.T.Errorf("%s: nobody put it there", name)
		}
		return err
	}))
}

// checkServed looks at the files through the site, and waits for the sweep.
func (k *killing) checkServed() {
	k.T.Helper()
	for _, file := range k.files {
		k.look(file, 0)
	}
	rig.Eventually(k.T, "nothing is left of uploads that were cut short", func() bool { return len(temporaries(k.Rig, "root")) == 0 })
}

// leave puts there what a kill leaves in the moment in which a file that replaces
// another has a name.
func (k *killing) leave() {
	k.Write("root/.sited-upload-"+rand.Text(), "half a f")
	k.swept++
}
