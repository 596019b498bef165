package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A file that was rotated has the time of that in its name, in UTC, before the
// extension: passed-2026-11-23T08-15-04.123.log. Names sort by it. Compressed it
// has a further extension, and while it is compressed one more, partial.

const stampLayout = "2006-01-02T15-04-05.000"

const partial = ".tmp"

var stampPattern = regexp.MustCompile(`-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})`)

// compressions are the extensions by what Logs.Compress may be.
var compressions = map[string]string{"gzip": ".gz", "zstd": ".zst"}

// rotatedName is what the log at path is called when it was rotated at that time.
func rotatedName(path string, at time.Time) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-" + at.UTC().Format(stampLayout) + ext
}

// rotatedFile is what the name of a rotated file tells.
type rotatedFile struct {
	log     string // the name of the log
	stamp   string
	coding  string // the extension of a compressed file, or ""
	partial bool
}

// parseRotated takes a file name apart: possible are all logs that it may have
// been, one of which it is if it was rotated at all.
func parseRotated(name string) (possible []rotatedFile) {
	places := stampPattern.FindAllStringSubmatchIndex(name, -1)
	if len(places) == 0 {
		return nil
	}
	at := places[len(places)-1]
	before, stamp, rest := name[:at[0]], name[at[2]:at[3]], name[at[1]:]
	possible = append(possible, rotatedFile{log: before + rest, stamp: stamp})
	rest, part := strings.CutSuffix(rest, partial)
	for _, coding := range compressions {
		if ext, ok := strings.CutSuffix(rest, coding); ok {
			possible = append(possible, rotatedFile{before + ext, stamp, coding, part})
		}
	}
	return possible
}

// moveAside renames a log to a name that no file has.
func moveAside(path string, now time.Time) (string, error) {
	const attempts = 10_000
	for i := range attempts {
		name := rotatedName(path, now.Add(time.Duration(i)*time.Millisecond))
		taken := false
		for _, coding := range compressions {
			_, err := os.Lstat(name + coding)
			taken = taken || err == nil
		}
		if taken {
			continue
		}
		if err := renameNew(path, name); !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
	return "", fmt.Errorf("no free name for what is rotated from %s", path)
}

// renameNew renames a file unless there is one of the new name (fs.ErrExist).
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS): // file systems that don't know the flag
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: unix.EEXIST}
	}
	return os.Rename(from, to)
}
