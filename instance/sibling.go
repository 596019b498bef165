package instance

import (
	"io/fs"
	"os"
)

// siblings makes the variants of a file that was found: the file, and those
// beside it that hold the same in a content coding and are not older. names are
// the variants' files, and behind them those that were passed over; absent is
// what must not be there for this to be all. The files are open, and the fields
// not rendered.
func (i *Instance) siblings(root *folder, f found) (v variants, names []namedFile, absent []string) {
	v.path = f.path
	type open struct {
		coding string
		file   *os.File
		info   fs.FileInfo
	}
	files := []open{{"", f.file, f.info}}
	var passed []namedFile
	name := relative(f.path)
	for _, coding := range i.spec.Precompressed {
		sibling := name + Codings[coding]
		same, there := lookAt(root.fd, sibling)
		if !there {
			absent = append(absent, sibling)
			continue
		}
		file, info, err := openFile(root.Root, sibling)
		switch {
		case err != nil: // out of the root, perhaps
			passed = append(passed, namedFile{sibling, same})
		case !info.Mode().IsRegular() || info.ModTime().Before(f.info.ModTime()):
			file.Close()
			passed = append(passed, namedFile{sibling, same})
		default:
			files = append(files, open{coding, file, info})
		}
	}
	for n, o := range files {
		r := newResource(f.path, o.file, o.info, o.coding)
		if n == 0 {
			v.plain = r
		} else {
			v.codings, v.coded = append(v.codings, o.coding), append(v.coded, r)
		}
		names = append(names, namedFile{name + Codings[o.coding], identityOf(o.info)})
	}
	return v, append(names, passed...), absent
}
