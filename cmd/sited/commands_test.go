package main_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"sited/rig"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	all := f.sited("")
	if all.status != 0 || all.stderr != "" {
		t.Errorf("sited alone: %+v", all)
	}
	for _, command := range []string{"run", "validate", "plan", "fmt", "reload", "status", "logs", "explain", "passwd", "version"} {
		if !strings.Contains(all.stdout, "\n  "+command+" ") {
			t.Errorf("the list of commands has no %s", command)
		}
		for _, args := range [][]string{{command, "--help"}, {command, "-help"}, {command, "-h"}, {"help", command}} {
			r := f.sited("", args...)
			if r.status != 0 || r.stderr != "" || !strings.Contains(r.stdout, "Usage:\n  sited "+command) || !strings.HasSuffix(strings.SplitAfterN(r.stdout, "\n", 2)[0], "\n") {
				t.Errorf("%q: %+v", args, r)
			}
		}
	}
	for _, args := range [][]string{{"nonsense"}, {"run", "--nonsense"}, {"run", "a", "b"}, {"passwd", "a"}, {"explain", "GET"}, {"version", "x"}, {"status", "--timeout", "soon"}} {
		if r := f.sited("", args...); r.status != 1 || r.stdout != "" || !strings.HasPrefix(r.stderr, "sited: ") || strings.Count(r.stderr, "\n") > 3 {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	if r := f.sited("", "relaod"); r.status != 1 || !strings.Contains(r.stderr, `did you mean "reload"?`) {
		t.Errorf("%+v", r)
	}
	if r := f.sited("", "nonsense"); r.status != 1 || strings.Contains(r.stderr, "did you mean") || !strings.Contains(r.stderr, "sited help") {
		t.Errorf("%+v", r)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	if r := f.sited("", "version"); r.status != 0 || !strings.HasPrefix(r.stdout, "sited ") || !strings.Contains(r.stdout, "go1.") {
		t.Errorf("%+v", r)
	}
	var v struct{ Version, Go, OS, Arch string }
	decode(t, f.sited("", "version", "-json"), 0, &v)
	if v.Version == "" || v.Go == "" || v.OS == "" || v.Arch == "" {
		t.Errorf("%+v", v)
	}
}

// decode takes the JSON that a command has printed.
func decode(t testing.TB, r result, status int, into any) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d: %s", r.status, status, r.stderr)
	}
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestValidateAndRunRefuse(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	if r := f.sited("", "validate"); r.status != 0 || r.stdout != f.Path("sites.hcl")+": valid, 3 sites, 0 warnings\n" || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if r := f.sited("", "validate", "nothing.hcl"); r.status != 1 || !strings.Contains(r.stderr, "nothing.hcl") {
		t.Errorf("%+v", r)
	}
	f.Config(strings.Replace(threeSites, "root = \"static\"", "rot = \"static\"", 1))
	if r := f.sited("", "validate"); r.status != 1 || !strings.Contains(r.stderr, `Did you mean "root"?`) || !strings.HasSuffix(r.stdout, ": not valid: 1 error, 0 warnings\n") {
		t.Errorf("%+v", r)
	}
	var v struct {
		FormatVersion  int `json:"format_version"`
		Valid          bool
		Sites, Refused []string
		Diagnostics    []struct {
			Severity, Site, Summary, Detail, File string
			Line, Column                          int
		}
	}
	decode(t, f.sited("", "validate", "-json", f.Path("sites.hcl")), 1, &v)
	if v.FormatVersion != 1 || v.Valid || len(v.Sites) != 2 || len(v.Refused) != 1 || v.Refused[0] != "static" || len(v.Diagnostics) != 1 {
		t.Errorf("%+v", v)
	}
	if d := v.Diagnostics[len(v.Diagnostics)-1]; d.Severity != "error" || d.Site != "static" || d.File != f.Path("sites.hcl") || d.Line == 0 || d.Column == 0 {
		t.Errorf("%+v", d)
	}
	f.Config("site {{{")
	if r := f.sited("", "run"); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "nothing was started") || !strings.Contains(r.stderr, "sites.hcl line 1") {
		t.Errorf("run of a file that can't be parsed: %+v", r)
	}
}

func TestFmt(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	const ugly, pretty = "locals   {\na=1\n   bcd   = 2\n}\n", "locals {\n  a   = 1\n  bcd = 2\n}\n"
	f.Write("sites.hcl", ugly)
	f.Write("folder/one.hcl", ugly)
	f.Write("folder/two.hcl", pretty)
	f.Write("folder/other.txt", ugly)
	if r := f.sited("", "fmt", "-check"); r.status != 3 || r.stdout != "sites.hcl\n" || f.Read("sites.hcl") != ugly {
		t.Errorf("-check: %+v", r)
	}
	if r := f.sited("", "fmt"); r.status != 0 || r.stdout != "sites.hcl\n" || f.Read("sites.hcl") != pretty {
		t.Errorf("%+v", r)
	}
	if r := f.sited("", "fmt", "--check"); r.status != 0 || r.stdout != "" {
		t.Errorf("-check of what is formatted: %+v", r)
	}
	if r := f.sited("", "fmt", "folder"); r.status != 0 || r.stdout != "folder/one.hcl\n" || f.Read("folder/one.hcl") != pretty || f.Read("folder/other.txt") != ugly {
		t.Errorf("a folder: %+v", r)
	}
	if r := f.sited(ugly, "fmt", "-"); r.status != 0 || r.stdout != pretty {
		t.Errorf("standard input: %+v", r)
	}
	f.Write("broken.hcl", "site {{{")
	if r := f.sited("", "fmt", "broken.hcl"); r.status != 1 || !strings.Contains(r.stderr, "broken.hcl line 1") || f.Read("broken.hcl") != "site {{{" {
		t.Errorf("broken: %+v", r)
	}
	if r := f.sited("", "fmt", "nothing.hcl"); r.status != 1 || !strings.Contains(r.stderr, "nothing.hcl") {
		t.Errorf("missing: %+v", r)
	}
}

func TestPlanReloadStatus(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	for _, command := range []string{"plan", "reload", "status"} {
		if r := f.sited("", command); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "is it running?") {
			t.Errorf("%s with nobody there: %+v", command, r)
		}
	}
	p := f.run("-watch=false")
	if r := f.sited("", "plan"); r.status != 0 || r.stdout != "No changes: 3 unchanged.\n" {
		t.Errorf("plan: %+v", r)
	}
	if r := f.sited("", "status"); r.status != 0 || !strings.Contains(r.stdout, "serving") || !strings.Contains(r.stdout, f.Path("sites.hcl")) {
		t.Errorf("status: %+v", r)
	}
	var s status
	decode(t, f.sited("", "status", "-json"), 0, &s)
	if len(s.Sites) != 3 || s.FormatVersion != 1 {
		t.Errorf("%+v", s)
	}

	f.Config(strings.Replace(threeSites, `"static"`+"\n}", `"upload"`+"\n}", 1))
	want := "~ swap    static  " + f.Addr("static") + "\n      root: \"" + f.Path("static") + "\" -> \"" + f.Path("upload") + "\"\n"
	r := f.sited("", "plan", "sites.hcl")
	if r.status != 2 || r.stdout != want+"Plan: 1 to swap, 2 unchanged.\n" {
		t.Errorf("plan: %+v", r)
	}
	if p.site("static").Generation != 1 {
		t.Error("plan has changed something")
	}
	var planned report
	decode(t, f.sited("", "plan", "-json"), 2, &planned)
	if planned.op("static") != "swap pending" || planned.op("app") != "keep kept" {
		t.Errorf("%+v", planned)
	}
	if r := f.sited("", "reload", "-admin", f.Addr("admin")); r.status != 0 || !strings.HasSuffix(r.stdout, "Applied: 1 swapped, 2 unchanged.\n") {
		t.Errorf("reload: %+v", r)
	}
	if r := f.sited("", "reload"); r.status != 0 || r.stdout != "No changes: 3 unchanged.\n" {
		t.Errorf("reload again: %+v", r)
	}

	f.Config(strings.Replace(threeSites, "root = \"static\"", "rot = \"static\"", 1))
	for _, command := range []string{"plan", "reload"} {
		if r := f.sited("", command); r.status != 1 || !strings.Contains(r.stdout, `Did you mean "root"?`) || !strings.Contains(r.stdout, "! refused static") {
			t.Errorf("%s of a wrong block: %+v", command, r)
		}
	}
	f.Config(strings.Replace(threeSites, `"static"`+"\n}", `"app"`+"\n}\nsite \"bad\" {}", 1))
	var held report
	decode(t, f.sited("", "reload", "-all-or-nothing", "-json"), 1, &held)
	if held.Result != "refused" || held.Error == "" || p.site("static").Generation != 2 {
		t.Errorf("all or nothing: %+v", held)
	}
	f.Write("other.hcl", f.Fill(threeSites))
	if r := f.sited("", "status", "other.hcl"); r.status != 1 || !strings.Contains(r.stderr, "other.hcl") {
		t.Errorf("another file than the one that is served: %+v", r)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"GET", "http://" + f.Addr("static") + "/hello.txt"}, []string{"site static", "13 bytes", "-> 200"}},
		{[]string{"GET", "http://static/sub"}, []string{"-> 301"}},
		{[]string{"GET", "http://static/../x"}, []string{"-> 400"}},
		{[]string{"GET", "http://upload//private/./secret.txt"}, []string{"path /private/secret.txt", `protect "/private/**"`}},
		{[]string{"PUT", "http://upload/new.txt", "sites.hcl"}, []string{"alice", "-> 201"}},
		{[]string{"GET", "http://app/info.php/more"}, []string{`script ".php"`, "/more"}},
		{[]string{"--site", "static", "CONNECT", "a.example:443"}, []string{"-> 405"}},
		{[]string{"BREW", "http://static/"}, []string{"-> 501"}},
	} {
		r := f.sited("", append([]string{"explain"}, tt.args...)...)
		if r.status != 0 || r.stderr != "" {
			t.Errorf("%q: %+v", tt.args, r)
		}
		for _, want := range tt.want {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%q does not say %q:\n%s", tt.args, want, r.stdout)
			}
		}
	}
	var x struct {
		Site, Path string
		Status     int
		Steps      []string
	}
	decode(t, f.sited("", "explain", "-json", "GET", "http://static/nothing"), 0, &x)
	if x.Site != "static" || x.Path != "/nothing" || x.Status != 404 || len(x.Steps) == 0 {
		t.Errorf("%+v", x)
	}
	if r := f.sited("", "explain", "GET", "http://127.0.0.1:1/"); r.status != 1 || !strings.Contains(r.stderr, "static (http://") {
		t.Errorf("no such site: %+v", r)
	}
}

func TestPasswd(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	const before = "# who may in\nbob:$2y$05$abcdefghijklmnopqrstuv\n\nold:{SHA}x\n"
	f.Write("users", before)
	rig.Must(t, os.Chmod(f.Path("users"), 0o600))
	hash := func(user string) []byte {
		t.Helper()
		for line := range strings.Lines(f.Read("users")) {
			if h, ok := strings.CutPrefix(strings.TrimSpace(line), user+":"); ok {
				return []byte(h)
			}
		}
		t.Fatalf("no user %s", user)
		return nil
	}
	if r := f.sited("s3cret: with colon\r\nsecond line\n", "passwd", "users", "alice"); r.status != 0 || strings.Contains(r.stdout+r.stderr, "s3cret") {
		t.Errorf("%+v", r)
	}
	if err := bcrypt.CompareHashAndPassword(hash("alice"), []byte("s3cret: with colon")); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(f.Read("users"), before) {
		t.Errorf("other lines are not as they were:\n%s", f.Read("users"))
	}
	if r := f.sited("new\n", "passwd", "users", "bob"); r.status != 0 || string(hash("bob")) == "$2y$05$abcdefghijklmnopqrstuv" {
		t.Errorf("replace: %+v", r)
	}
	if r := f.sited("", "passwd", "-delete", "users", "alice"); r.status != 0 || strings.Contains(f.Read("users"), "alice") {
		t.Errorf("delete: %+v", r)
	}
	if got := f.Read("users"); !strings.HasPrefix(got, "# who may in\nbob:$2a$11$") || !strings.HasSuffix(got, "\n\nold:{SHA}x\n") {
		t.Errorf("other lines are not as they were:\n%s", got)
	}
	if info, err := os.Stat(f.Path("users")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions are not as they were: %v, %v", info.Mode(), err)
	}
	kept := f.Read("users")
	for _, tt := range []struct {
		stdin string
		args  []string
	}{
		{"", []string{"users", "carol"}},
		{"\n", []string{"users", "carol"}},
		{strings.Repeat("x", 73) + "\n", []string{"users", "carol"}},
		{"x\n", []string{"users", "a:b"}},
		{"x\n", []string{"users", ""}},
		{"", []string{"-delete", "users", "nobody"}},
		{"", []string{"-delete", "nothing", "bob"}},
		{"x\n", []string{"no/folder/users", "bob"}},
	} {
		if r := f.sited(tt.stdin, append([]string{"passwd"}, tt.args...)...); r.status != 1 || !strings.HasPrefix(r.stderr, "sited: ") {
			t.Errorf("%q: %+v", tt.args, r)
		}
	}
	if f.Read("users") != kept || len(f.names(".")) != 1 {
		t.Errorf("something was changed: %q", f.names("."))
	}
}

// What asks a running sited finds it also while its file can't be parsed, and does
// not ask another one when the file is not there.
func TestAskWithBrokenFile(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "one")
	const config = "admin {\n  @admin\n}\nsite \"one\" {\n  @one\n  root = \"one\"\n}\n"
	f.Write("one/index.html", "one")
	f.Config(config)
	p := f.run("--watch=false")
	f.Config(config + "site \"two\" {")
	if r := f.sited("", "status"); r.status != 0 || !strings.Contains(r.stdout, "one") {
		t.Errorf("status: %+v", r)
	}
	if r := f.sited("", "reload"); r.status != 1 || !strings.Contains(r.stdout, "Unclosed configuration block") {
		t.Errorf("reload: %+v", r)
	}
	rig.Must(t, os.Remove(f.Path("sites.hcl")))
	if r := f.sited("", "status"); r.status != 1 || !strings.Contains(r.stderr, "--admin") || !strings.Contains(r.stderr, "no such file") {
		t.Errorf("status without a file: %+v", r)
	}
	if r := f.sited("", "status", "--admin", f.Addr("admin")); r.status != 0 {
		t.Errorf("status by address: %+v", r)
	}
	f.Config(config)
	if r := f.sited("", "status"); r.status != 0 {
		t.Errorf("status of the mended file: %+v", r)
	}
	p.Stop()
}
