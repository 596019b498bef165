package sited_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"sited/rig"
	"sited/supervisor/config"
)

func TestDemoConfiguration(t *testing.T) {
	c := config.Load("sites.hcl", unset)
	for _, d := range c.Diagnostics() {
		if d.Severity == "warning" && d.Summary == "Interpreter not found" && strings.Contains(d.Detail, "php-cgi") {
			continue // PHP is an extra
		}
		t.Errorf("%s", d.Text)
	}
	var names []string
	for _, s := range c.Sites {
		names = append(names, s.Name)
		if !s.Addr.Addr().IsLoopback() {
			t.Errorf("the demo site %s listens on %s; a demo with a known password stays on loopback", s.Name, s.Addr)
		}
	}
	if want := []string{"welcome", "app", "upload"}; !slices.Equal(names, want) {
		t.Errorf("sites %q, want %q", names, want)
	}
	src := read(t, "sites.hcl")
	if formatted, diags := config.Format(src, "sites.hcl"); diags.HasErrors() || !bytes.Equal(formatted, src) {
		t.Error("sites.hcl is not as `sited fmt` writes it")
	}
}

func TestDemoPassword(t *testing.T) {
	for line := range strings.Lines(string(read(t, "sites/users.htpasswd"))) {
		user, hash, ok := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(line, "#") || !ok {
			continue
		}
		if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte("demo")); user != "demo" || err != nil {
			t.Errorf("user %q with a password other than demo: %v. This file is public: no other belongs into it.", user, err)
		}
		return
	}
	t.Error("there is no user")
}

// TestDemoPages: the sites need nothing from elsewhere, and look alike.
func TestDemoPages(t *testing.T) {
	for _, name := range walk(t, "sites") {
		if strings.HasPrefix(name, "sites/upload/files/") {
			continue // anybody's
		}
		for _, m := range []string{`src="http`, `src="//`, `<link rel="stylesheet" href="http`, "@import", "url(http"} {
			if strings.Contains(string(read(t, name)), m) {
				t.Errorf("%s has %s: the demo works without a network", name, m)
			}
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if executable := info.Mode()&0o111 != 0; executable != strings.HasSuffix(name, ".cgi") {
			t.Errorf("%s: x bit %t; .cgi files have it, and no others", name, executable)
		}
	}
	for _, shared := range []string{"style.css", "icon.svg"} {
		want := read(t, filepath.Join("sites/welcome", shared))
		for _, site := range []string{"app", "upload"} {
			if !bytes.Equal(read(t, filepath.Join("sites", site, shared)), want) {
				t.Errorf("sites/%s/%s differs from that of sites/welcome", site, shared)
			}
		}
	}
}

// TestDemoScriptsEscape runs the scripts with markup in all that a client can
// choose: it must never come back as markup.
func TestDemoScriptsEscape(t *testing.T) {
	const attack = `"'><script>alert(1)</script>&amp;`
	encoded := strings.NewReplacer(`"`, "%22", "'", "%27", "<", "%3C", ">", "%3E", "&", "%26", ";", "%3B").Replace(attack)
	tests := []struct {
		name    string
		command []string
		env     []string
		body    string
		shown   bool // the page shows what was sent
	}{
		{"index.cgi", []string{"sites/app/index.cgi"}, []string{"QUERY_STRING=" + attack, "PATH_INFO=/" + attack}, "", false},
		{"env.cgi", []string{"sites/app/env.cgi"}, []string{"QUERY_STRING=" + attack, "HTTP_X_ANY=" + attack, "HTTP_COOKIE=secret", "HTTP_AUTHORIZATION=secret"}, "", true},
		{"form.pl, value", []string{"perl", "sites/app/form.pl"}, []string{"REQUEST_METHOD=POST"}, "name=" + encoded, true},
		{"form.pl, name", []string{"perl", "sites/app/form.pl"}, []string{"REQUEST_METHOD=POST"}, "a=b&" + encoded + "=1&&=&x", true},
		{"form.pl, empty", []string{"perl", "sites/app/form.pl"}, []string{"REQUEST_METHOD=GET", "QUERY_STRING=" + attack}, "", false},
		{"hello.php", []string{"php-cgi"}, []string{"REQUEST_METHOD=GET", "QUERY_STRING=name=" + encoded, "SCRIPT_FILENAME=" + absolute(t, "sites/app/hello.php"), "REDIRECT_STATUS=200"}, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rig.Need(t, tt.command[0])
			cmd := exec.Command(tt.command[0], tt.command[1:]...)
			cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, tt.env...)
			if tt.body != "" {
				cmd.Env = append(cmd.Env, "CONTENT_LENGTH="+strconv.Itoa(len(tt.body)))
			}
			cmd.Stdin = strings.NewReader(tt.body)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || stderr.Len() > 0 {
				t.Fatalf("%v, standard error %q, output:\n%s", err, &stderr, out)
			}
			page := string(out)
			if strings.Contains(page, "<script>") || strings.Contains(page, "'>") {
				t.Errorf("the page has markup that was sent:\n%s", page)
			}
			if shown := strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;"); shown != tt.shown {
				t.Errorf("what was sent is shown: %t, want %t:\n%s", shown, tt.shown, page)
			}
			if strings.Contains(page, "secret") {
				t.Errorf("the page shows a cookie or credentials:\n%s", page)
			}
			if !strings.Contains(page, "Content-Security-Policy: default-src 'self'") {
				t.Errorf("no Content-Security-Policy:\n%s", page)
			}
		})
	}
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	abs, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
