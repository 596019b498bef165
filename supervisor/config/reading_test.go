package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestReadingCurrent(t *testing.T) {
	dir := write(t, map[string]string{
		"a.hcl":     siteText("a", 8001, "  index = [chomp(file(\"index.txt\"))]\n  passwords = \"users\"\n  protect \"/**\" {}\n"),
		"index.txt": "home.html\n", "users": "alice:x\n", "README": "x", ".b.hcl": "x",
	})
	path := func(name string) string { return filepath.Join(dir, name) }
	text, err := os.ReadFile(path("a.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func() error
		want   bool
	}{
		{"nothing", func() error { return nil }, true},
		{"the same content", func() error { return errors.Join(os.Remove(path("a.hcl")), os.WriteFile(path("a.hcl"), text, 0o644)) }, true},
		{"a file that is no configuration", func() error { return os.WriteFile(path("README"), nil, 0o644) }, true},
		{"the passwords", func() error { return os.WriteFile(path("users"), []byte("bob:x\n"), 0o644) }, true},
		{"other content", func() error { return os.WriteFile(path("a.hcl"), append(text, '\n'), 0o644) }, false},
		{"a file that the file function reads", func() error { return os.WriteFile(path("index.txt"), []byte("x.html\n"), 0o644) }, false},
		{"one more file", func() error { return os.WriteFile(path("c.hcl"), nil, 0o644) }, false},
		{"one file less", func() error { return os.Remove(path("c.hcl")) }, false},
		{"no passwords", func() error { return os.Remove(path("users")) }, false},
		{"no folder", func() error { return os.RemoveAll(dir) }, false},
	} {
		read := Load(dir, noEnv).Reading()
		if err := tt.change(); err != nil {
			t.Fatal(err)
		}
		if got := read.Current(); got != tt.want {
			t.Errorf("%s: current is %v", tt.name, got)
		}
	}
	if Load(dir, noEnv).Reading().Current() {
		t.Error("what can't be read is taken for current")
	}
}
