package instance

// siblings makes the variants of a file that was found: the file, and those
// beside it that hold the same in a content coding and are not older. names are
// the variants' files, and behind them those that were passed over; absent is
// what must not be there for this to be all. The files are open, and the fields
// not rendered.
func (i *Instance) siblings(root *folder, f found) (v variants, names []namedFile, absent []string) {
	name := relative(f.path)
	v.path, v.plain = f.path, newResource(f.path, f.file, f.info, "")
	names = []namedFile{{name, identityOf(f.info)}}
	var passed []namedFile
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
			v.codings, v.coded = append(v.codings, coding), append(v.coded, newResource(f.path, file, info, coding))
			names = append(names, namedFile{sibling, identityOf(info)})
		}
	}
	return v, append(names, passed...), absent
}
