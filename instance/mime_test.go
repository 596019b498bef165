package instance

import (
	"mime"
	"strings"
	"testing"
)

func TestContentType(t *testing.T) {
	for name, want := range map[string]string{
		"/index.html":    "text/html; charset=utf-8",
		"/INDEX.HTML":    "text/html; charset=utf-8",
		"/a/b.min.js":    "text/javascript; charset=utf-8",
		"/a.tar.gz":      "application/gzip",
		"/a.svg":         "image/svg+xml; charset=utf-8",
		"/a.json":        "application/json",
		"/README":        "application/octet-stream",
		"/a.d/b":         "application/octet-stream",
		"/a.":            "application/octet-stream",
		"/a.unheard-of":  "application/octet-stream",
		"/html":          "application/octet-stream",
		"/a.html\r\nX:y": "application/octet-stream",
	} {
		if got := contentType(name); got != want {
			t.Errorf("contentType(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestMediaTypesAreWellFormed(t *testing.T) {
	for ext, value := range mediaTypes {
		if ext != strings.ToLower(ext) || strings.HasPrefix(ext, ".") {
			t.Errorf("extension %q would never be found", ext)
		}
		media, params, err := mime.ParseMediaType(value)
		if err != nil || mime.FormatMediaType(media, params) != value {
			t.Errorf("%s: %q: %v", ext, value, err)
		}
		if scriptExtensions["."+ext] {
			t.Errorf("%s is a script's extension", ext)
		}
	}
}
