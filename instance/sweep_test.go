package instance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leftover makes what a process that was killed leaves in a folder, and returns
// its path.
func leftover(t testing.TB, folder string) string {
	t.Helper()
	file := filepath.Join(folder, tempPrefix+rand.Text())
	writeFile(t, file, "half a f")
	return file
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// again makes another instance of the same site, as a restart does.
func (s *site) again() *Instance {
	s.t.Helper()
	i, err := New(s.spec, Shared{Metrics: s.reg, Files: NewBudget(DefaultBudget), Log: slog.New(slog.NewTextHandler(s.log, nil))})
	must(s.t, err)
	s.t.Cleanup(func() { must(s.t, i.Close(context.Background())) })
	return i
}

// mount puts a file system of 1 MiB, or of another folder when bind is set, at a
// folder until the test is over.
func mount(t *testing.T, folder, bind string) {
	t.Helper()
	must(t, os.MkdirAll(folder, 0o755))
	var err error
	if bind != "" {
		err = unix.Mount(bind, folder, "", unix.MS_BIND, "")
	} else {
		err = unix.Mount("tmpfs", folder, "tmpfs", 0, "size=1m")
	}
	if err != nil {
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			t.Fatalf("mount: %v: as root it must work where CI=true (CAP_SYS_ADMIN)", err)
		}
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(folder, unix.MNT_DETACH)) })
}

func TestSweep(t *testing.T) {
	s := prepare(t, nil)
	s.sweeper.stop()
	gone := []string{leftover(t, s.root), leftover(t, s.root)}
	must(t, os.Chmod(gone[1], 0o400))
	s.file("sub/x", "x")
	s.file("page.html", "x")
	stay := []string{
		leftover(t, filepath.Join(s.root, "sub")), // not the root's own folder
		filepath.Join(s.root, tempPrefix),
		filepath.Join(s.root, tempPrefix+strings.Repeat("A", 25)),
		filepath.Join(s.root, tempPrefix+strings.Repeat("a", 26)),
		filepath.Join(s.root, strings.TrimPrefix(tempPrefix, ".")+strings.Repeat("A", 26)),
	}
	for _, file := range stay {
		writeFile(t, file, "somebody's")
	}
	folder := filepath.Join(s.root, tempPrefix+rand.Text())
	link := filepath.Join(s.root, tempPrefix+rand.Text())
	out := filepath.Join(s.root, tempPrefix+rand.Text())
	fifo := filepath.Join(s.root, tempPrefix+rand.Text())
	outside := leftover(t, s.dir)
	must(t, errors.Join(os.Mkdir(folder, 0o755), os.Symlink("page.html", link), os.Symlink(outside, out), syscall.Mkfifo(fifo, 0o644)))
	inUse := leftover(t, s.root)
	writer, err := os.OpenFile(inUse, os.O_WRONLY, 0)
	must(t, err)
	must(t, flock(writer, unix.LOCK_EX))
	stay = append(stay, folder, link, out, fifo, outside, inUse, filepath.Join(s.root, "page.html"))

	s.again().sweeper.running.Wait()
	for _, file := range gone {
		if exists(file) {
			t.Errorf("%s is still there", file)
		}
	}
	for _, file := range stay {
		if !exists(file) {
			t.Errorf("%s was removed", file)
		}
	}
	if said := s.log.String(); strings.Count(said, "files=2") != 1 || strings.Count(said, "\n") != 1 {
		t.Errorf("said:\n%s", said)
	}
	must(t, writer.Close()) // as by the end of its process
	s.again().sweeper.running.Wait()
	if exists(inUse) {
		t.Error("what was in use is still there when its writer has gone")
	}
}

func TestSweepOfALargeFolder(t *testing.T) {
	s := prepare(t, nil)
	s.sweeper.stop()
	for n := range 1500 {
		writeFile(t, filepath.Join(s.root, fmt.Sprint("page", n)), "")
		if n%3 == 0 {
			leftover(t, s.root)
		}
	}
	s.again().sweeper.running.Wait()
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("%d are left", len(left))
	}
	if entries, err := os.ReadDir(s.root); err != nil || len(entries) != 1500 {
		t.Errorf("%d files, %v", len(entries), err)
	}
}

// A site that takes no uploads never removes anything.
func TestNoSweepWithoutPut(t *testing.T) {
	s := prepare(t, func(spec *Spec) { spec.Methods = []string{"GET", "DELETE"} })
	file := leftover(t, s.root)
	s.again().sweeper.running.Wait()
	if !exists(file) {
		t.Error("it was removed")
	}
}

// The root is swept when it is opened: also one that comes up or changes while the
// site runs.
func TestSweepOfAnotherRoot(t *testing.T) {
	s := prepare(t, func(spec *Spec) { spec.Root += "/current" })
	root := func(release string) string {
		folder := filepath.Join(s.root, release)
		must(t, os.Mkdir(folder, 0o755))
		file := leftover(t, folder)
		must(t, errors.Join(os.Symlink(release, s.root+"/next"), os.Rename(s.root+"/next", s.spec.Root)))
		return file
	}
	if err := s.Problem(); err == nil {
		t.Fatal("the root is there")
	}
	s.root = filepath.Dir(s.spec.Root)
	for _, release := range []string{"one", "two"} {
		file := root(release)
		eventually(t, release+" was swept", func() bool { return s.Problem() == nil && !exists(file) })
	}
	s.sweeper.stop()
}

// What can't be removed is said once, and does no harm.
func TestSweepFails(t *testing.T) {
	s := prepare(t, nil)
	s.sweeper.stop()
	file := leftover(t, s.root)
	mount(t, s.root, s.root)
	must(t, unix.Mount("", s.root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	s.again().sweeper.running.Wait()
	if said := s.log.String(); !exists(file) || strings.Count(said, "\n") != 1 || !strings.Contains(said, "read-only") || !strings.Contains(said, "remedy=") {
		t.Errorf("there: %v; said:\n%s", exists(file), said)
	}
}

// While folders are swept all the time, by the instance and by others, no upload
// loses its file.
func TestSweepSparesUploads(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, s *site) {
		opened, err := s.Instance.root.get(time.Now())
		must(t, err)
		stop := make(chan struct{})
		var sweepers, writers sync.WaitGroup
		for range 2 {
			other := &sweeper{log: discard()}
			sweepers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						other.sweep(opened.Root, ".")
					}
				}
			})
		}
		for w := range 4 {
			writers.Go(func() {
				for n := range 50 {
					body := fmt.Sprintf("%d %d", w, n)
					name := fmt.Sprintf("/f%d", w)
					if a := s.do("PUT", name, body); a.status/100 != 2 {
						t.Errorf("PUT %s: %d", body, a.status)
					}
					s.wantStored("after PUT", name, body)
				}
			})
		}
		writers.Wait()
		close(stop)
		sweepers.Wait()
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

// A folder on another file system takes uploads all the same, and is swept by
// the first one that needs a name there.
func TestUploadIntoAnotherFileSystem(t *testing.T) {
	for _, bind := range []bool{false, true} {
		t.Run(fmt.Sprint("bind=", bind), func(t *testing.T) {
			bothWays(t, nil, func(t *testing.T, s *site) {
				from := ""
				if bind {
					from = t.TempDir()
				}
				mount(t, filepath.Join(s.root, "mnt"), from)
				s.file("mnt/sub/old", "old")
				file := leftover(t, filepath.Join(s.root, "mnt/sub"))
				s.do("PUT", "/mnt/sub/new", "new").want(t, "PUT", 201, "")
				s.do("PUT", "/mnt/sub/old", "newer").want(t, "PUT", 204, "")
				s.wantStored("a new file", "mnt/sub/new", "new")
				s.wantStored("an old file", "mnt/sub/old", "newer")
				eventually(t, "the folder was swept", func() bool { return !exists(file) })
				if left := s.leftovers(); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			})
		})
	}
}

// A file that is new belongs to the group of its folder where the folder says so.
func TestUploadInheritsTheGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give folders to any group")
	}
	bothWays(t, nil, func(t *testing.T, s *site) {
		s.file("shared/x", "x")
		folder := filepath.Join(s.root, "shared")
		must(t, errors.Join(os.Chown(folder, -1, 12345), os.Chmod(folder, 0o775|os.ModeSetgid)))
		s.do("PUT", "/shared/new", "new").want(t, "PUT", 201, "")
		info, err := os.Stat(filepath.Join(folder, "new"))
		must(t, err)
		if gid := info.Sys().(*syscall.Stat_t).Gid; gid != 12345 {
			t.Errorf("group %d", gid)
		}
	})
}

// Clients neither see nor touch the files of uploads.
func TestTempFilesAreNobodysBusiness(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.Listing = true })
	s.sweeper.stop()
	s.file("sub/x", "x")
	s.file(".well-known/x", "x")
	for _, folder := range []string{"/", "/sub/", "/.well-known/"} {
		name := folder + filepath.Base(leftover(t, filepath.Join(s.root, folder)))
		for _, target := range []string{name, strings.Replace(name, "/.s", "/%2es", 1), strings.Replace(name, "/.s", "/./.s", 1), name + "/"} {
			for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST"} {
				s.do(method, target, "").want(t, method+" "+target, 404, "")
			}
		}
		if a := s.get(folder); a.status != 200 || strings.Contains(a.body, "sited-upload") {
			t.Errorf("listing of %s: %d %s", folder, a.status, a.body)
		}
		s.wantStored("after all of it", name, "half a f")
	}
}

// The name that a file gets to replace another is in the root's own folder, which
// is swept when the root is opened, whatever folder the other is in.
func TestNamesAreGivenInTheRoot(t *testing.T) {
	s := prepare(t, nil)
	s.file("sub/deep/old", "old")
	opened, err := s.Instance.root.get(time.Now())
	must(t, err)
	temp, err := s.newTemp(opened, "sub/deep")
	must(t, err)
	if temp.name != "" {
		t.Skip("the file system has no files without a name")
	}
	folder, err := s.lockFolder(opened.Root, "sub/deep")
	must(t, err)
	must(t, s.giveName(temp, folder.self))
	folder.unlock()
	if names := s.leftovers(); len(names) != 1 || filepath.Dir(names[0]) != s.root {
		t.Errorf("names: %q", names)
	}
	s.again().sweeper.running.Wait()
	if len(s.leftovers()) != 1 {
		t.Error("it was swept while it was in use")
	}
	must(t, temp.discard())
	if names := s.leftovers(); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}
