package main_test

import (
	"strings"
	"testing"
)

func TestProtected(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.run()
	addr := f.Addr("upload")
	get := func(path string, fields ...string) *answer {
		t.Helper()
		return ask(t, addr, request("GET", path, fields...))
	}
	t.Run("every spelling", func(t *testing.T) {
		for _, path := range []string{
			"/private", "/private/", "/private/secret.txt", "//private/secret.txt", "/private//secret.txt",
			"/./private/secret.txt", "/private/./secret.txt", "/x/../private/secret.txt", "/private/../private/secret.txt",
			"/%70rivate/secret.txt", "/private%2fsecret.txt", "/%2e/private/secret.txt", "/x/%2e%2e/private/secret.txt",
			"/priv%61te/secret.tx%74", "http://other.example/private/secret.txt", "/private/secret.txt?public", "/private/nothing",
			"/private/.dotfile", "/private/secret.txt/", "/private/x.php",
		} {
			a := get(path)
			if a.status != 401 || strings.Contains(a.body, "for users") {
				t.Errorf("%s: %d %q", path, a.status, a.body)
			}
			if a.get("WWW-Authenticate") != `Basic realm="upload", charset="UTF-8"` {
				t.Errorf("%s: WWW-Authenticate %q", path, a.get("WWW-Authenticate"))
			}
		}
		for _, method := range []string{"HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "TRACE"} {
			if a := ask(t, addr, requestWith(method, "/private/secret.txt", "x")); a.status != 401 {
				t.Errorf("%s: %d", method, a.status)
			}
		}
		for _, path := range []string{"/public.txt", "/private.txt", "/privates/x", "/Private/secret.txt"} {
			if a := get(path); a.status == 401 {
				t.Errorf("%s is not protected, but asks", path)
			}
		}
	})
	t.Run("credentials", func(t *testing.T) {
		before := p.scrape()[`sited_auth_failures_total{site="upload"}`]
		for _, tt := range []struct {
			field  string
			status int
		}{
			{basic("alice", "wonder"), 200},
			{basic("bob", "builder"), 200},
			{strings.Replace(basic("bob", "builder"), "Basic", "bAsIc", 1), 200},
			{basic("alice", "wrong"), 401},
			{basic("alice", ""), 401},
			{basic("alice", "wonder "), 401},
			{basic("ALICE", "wonder"), 401},
			{basic("nobody", "wonder"), 401},
			{"Authorization: Basic", 401},
			{"Authorization: Basic !!!", 401},
			{"Authorization: Bearer wonder", 401},
			{"Authorization: Basic YWxpY2U=", 401}, // no colon
		} {
			a := get("/private/secret.txt", tt.field)
			if a.status != tt.status || (a.status == 200) != (a.body == "for users") {
				t.Errorf("%s: %d, want %d", tt.field, a.status, tt.status)
			}
		}
		if n := p.scrape()[`sited_auth_failures_total{site="upload"}`] - before; n != 5 {
			t.Errorf("%v failures counted; 5 had wrong credentials", n)
		}
	})
	t.Run("users", func(t *testing.T) {
		if a := ask(t, addr, requestWith("PUT", "/x.txt", "x", basic("bob", "builder"))); a.status != 401 || f.exists("upload/x.txt") {
			t.Errorf("a user who is not named: %d", a.status)
		}
		if a := ask(t, addr, requestWith("PUT", "/x.txt", "x", basic("alice", "wonder"))); a.status != 201 {
			t.Errorf("the user who is named: %d", a.status)
		}
	})
}

// The password file counts as it is at the next request, however it was changed.
func TestPasswordFileChanges(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.run()
	w := dial(t, f.Addr("upload"))
	as := func(user, password string) int {
		t.Helper()
		w.send(t, request("GET", "/private/secret.txt", basic(user, password)))
		return w.answer(t, "GET").status
	}
	if as("alice", "wonder") != 200 || as("alice", "other") != 401 || as("bob", "builder") != 200 {
		t.Fatal("the passwords are not those of the file")
	}
	f.Write("users.htpasswd", user(t, "alice", "other")+user(t, "bob", "builder"))
	if as("alice", "wonder") != 401 || as("alice", "other") != 200 || as("bob", "builder") != 200 {
		t.Error("a changed password does not count at the next request")
	}
	f.Write("users.htpasswd", "this is no password file\n")
	if as("alice", "other") != 200 || as("alice", "wonder") != 401 {
		t.Error("a broken file ought to leave the last good one in force")
	}
	p.logged(`"site":"upload"`, f.Path("users.htpasswd"))
	f.Write("users.htpasswd", user(t, "bob", "builder"))
	if as("alice", "other") != 401 || as("bob", "builder") != 200 {
		t.Error("a user who was taken out still counts")
	}
	if r := f.sited("set by command\n", "passwd", "users.htpasswd", "carol"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	if !strings.Contains(f.Read("users.htpasswd"), "\ncarol:$2a$11$") {
		t.Errorf("not bcrypt with a cost that is worth it: %q", f.Read("users.htpasswd"))
	}
	if as("carol", "set by command") != 200 || as("bob", "builder") != 200 {
		t.Error("a password that `sited passwd` has set does not count at the next request")
	}
}

// Index files and scripts are protected by the name they have, not only by the
// one that was asked for.
func TestProtectedByItsOwnName(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "site")
	f.Write("root/folder/index.html", "the index")
	f.Write("root/run.sh", "printf 'Content-Type: text/plain\\n\\n%s' \"$REMOTE_USER $AUTH_TYPE $HTTP_AUTHORIZATION\"")
	f.Write("root/jump.sh", "printf 'Location: /folder/\\n\\n'")
	f.Write("users", user(t, "alice", "wonder"))
	f.Config(`
admin {
  @admin
}
site "site" {
  @site
  root      = "root"
  passwords = "users"
  protect "/**/index.html" {}
  protect "/run.sh" {}
  script ".sh" { command = ["/bin/sh"] }
}`)
	f.run()
	for _, path := range []string{"/folder/", "/folder/index.html", "/run.sh", "/run.sh/more", "/jump.sh"} {
		if a := ask(t, f.Addr("site"), request("GET", path)); a.status != 401 || strings.Contains(a.body, "the index") {
			t.Errorf("%s: %d", path, a.status)
		}
		if a := ask(t, f.Addr("site"), request("GET", path, basic("alice", "wonder"))); a.status != 200 {
			t.Errorf("%s with credentials: %d", path, a.status)
		}
	}
	if a := ask(t, f.Addr("site"), request("GET", "/run.sh", basic("alice", "wonder"))); a.body != "alice Basic " {
		t.Errorf("the script sees %q; it is to see the user, and no password", a.body)
	}
}
