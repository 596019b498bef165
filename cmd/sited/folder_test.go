package main_test

import (
	"os"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"sited/rig"
)

// folder is a rig with what these tests do with one.
type folder struct{ *rig.Rig }

func newFolder(t *testing.T, sites ...string) *folder {
	t.Helper()
	return &folder{rig.New(t, binary, sites...)}
}

func (f *folder) exists(name string) bool {
	_, err := os.Lstat(f.Path(name))
	return err == nil
}

// logsOpen waits until the logs of those sites are open, which is a moment after
// the sites serve.
func (f *folder) logsOpen(sites ...string) {
	f.T.Helper()
	for _, site := range sites {
		for _, name := range []string{"passed.log", "failed.log"} {
			rig.Eventually(f.T, name+" of "+site+" is open", func() bool { return f.exists("logs/" + site + "/" + name) })
		}
	}
}

// names lists what is in a folder.
func (f *folder) names(folder string) []string {
	f.T.Helper()
	entries, err := os.ReadDir(f.Path(folder))
	rig.Must(f.T, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// user is a line of a password file, with a hash that is quick to check.
func user(t *testing.T, name, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	rig.Must(t, err)
	return name + ":" + string(hash) + "\n"
}
