package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kind says what a file was read for.
type Kind string

const (
	KindConfig    Kind = "config"    // blocks, or the directory they are in when it can't be read
	KindFunction  Kind = "function"  // the file function
	KindPasswords Kind = "passwords" // a passwords argument; a running site reads it again by itself
)

// File is a file the configuration depends on.
type File struct {
	Path string // absolute
	Kind Kind
	Hash string // SHA-256 of the content in hexadecimal; "" when it could not be read
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Reading says what a Config was made of.
type Reading struct {
	Path  string // Config.Path
	Files []File // Config.Files
}

// Hash identifies what was read: Path, and the content of all config files and
// of all files that the file function read. Of a password file it only counts
// whether it could be read. Two readings with the same Hash say the same, as long
// as the environment is the same.
func (r Reading) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", r.Path)
	for _, f := range r.Files {
		content := f.Hash
		if f.Kind == KindPasswords && content != "" {
			content = "readable"
		}
		fmt.Fprintf(h, "%s %q %s\n", f.Kind, f.Path, content)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Current reports whether Load would read the same again: it reads the files, but
// parses nothing. It is false when something could not be read then or can't be
// read now.
func (r Reading) Current() bool {
	paths, err := configPaths(r.Path)
	if err != nil {
		return false
	}
	var before []string
	for _, f := range r.Files {
		if f.Kind == KindConfig {
			before = append(before, f.Path)
		}
	}
	return slices.Equal(paths, before) && !slices.ContainsFunc(r.Files, File.changed)
}

func (f File) changed() bool {
	content, err := readFile(f.Path)
	return err != nil || f.Hash == "" || f.Kind != KindPasswords && hashOf(content) != f.Hash
}

// configPaths are the absolute paths of the config files that an absolute path
// stands for, sorted.
func configPaths(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, nil // what is wrong with it shows when it is read
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".hcl") && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(path, e.Name()))
		}
	}
	return paths, nil
}
