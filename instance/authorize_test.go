package instance

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// Every spelling, every method, there or not: 401 with a challenge, and with the
// right password whatever it would be without protection.
func TestProtectedWhateverIsAsked(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**"})(spec)
	})
	s.file("private/a.txt", "PRIVATE")
	s.file("private/index.html", "PRIVATE")
	s.file("private/x.sh", "echo Content-Type: text/plain; echo; echo PRIVATE")
	s.file("private/x.php", "PRIVATE")
	s.file("public/a.txt", "public")
	alice := "Authorization: " + basic("alice", "a")
	failures := 0.0
	for _, target := range []string{
		"/private/a.txt", "/private", "/private/", "/private/nothing", "/private/no/thing", "/private/x.sh", "/private/x.sh/info", "/private/x.php",
		"/private/.hidden", "/private/a.txt/", "/private/a.txt/b",
		"//private/a.txt", "/private//a.txt", "/./private/a.txt", "/private/./a.txt", "/public/../private/a.txt", "/private/x/../a.txt",
		"/%70rivate/a.txt", "/private%2fa.txt", "/private%2Fa.txt", "/%2fprivate/a.txt", "/%2e/private/a.txt", "/%2E/private/a.txt",
		"/public/%2e%2e/private/a.txt", "/public/.%2e/private/a.txt", "/public/..%2fprivate/a.txt", "/public/..;/../../private/a.txt",
		"/private/%61.txt", "/private/a%2Etxt", "/private/a.txt?x", "/private/a.txt?/../../public/a.txt", "http://other/private/a.txt", "/private/%ff%0a",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"} {
			a := s.do(method, target, "")
			if a.status != 401 || strings.Contains(a.body, "PRIVATE") {
				t.Errorf("%s %s: %d %q", method, target, a.status, a.body)
			}
			a.wantField(t, method+" "+target, "WWW-Authenticate", `Basic realm="test", charset="UTF-8"`)
		}
		for _, credentials := range []string{basic("alice", "b"), basic("nobody", "a"), basic("", "")} {
			if a := s.get(target, "Authorization: "+credentials); a.status != 401 {
				t.Errorf("GET %s with wrong credentials: %d", target, a.status)
			}
			failures++
		}
		if a := s.get(target, alice); a.status == 401 {
			t.Errorf("GET %s with the right ones: %d", target, a.status)
		}
	}
	s.wantMetric(failures, "auth_failures_total", "site", "test") // requests without any are not counted
	s.get("/private/a.txt", alice).want(t, "with the password", 200, "PRIVATE")
	s.get("/private%2fa.txt", alice).want(t, "with the password", 200, "PRIVATE")
	s.get("/public/a.txt").want(t, "what is not protected", 200, "public")
	s.get("/private/../public/a.txt").want(t, "what is not protected", 200, "public")
	s.get("/public/a.txt", "Authorization: "+basic("alice", "wrong")).want(t, "not asked for", 200, "public")
	s.wantStored("in the end", "private/a.txt", "PRIVATE")

	if a := s.get("/private/../../private/a.txt"); a.status != 400 {
		t.Errorf("a path that leaves the root: %d", a.status)
	}
}

func TestProtectedForSomeMethodsAndUsers(t *testing.T) {
	s := open(t, protecting(t,
		Protect{Glob: "/shared/**", Methods: []string{"PUT"}},
		Protect{Glob: "/**", Methods: []string{"PUT", "DELETE"}, Users: []string{"alice"}},
	))
	s.file("a.txt", "a")
	s.file("shared/x", "x")
	alice, bob := "Authorization: "+basic("alice", "a"), "Authorization: "+basic("bob", "b")
	s.get("/a.txt").want(t, "GET", 200, "a")
	s.do("PUT", "/a.txt", "new").want(t, "PUT by nobody", 401, "")
	s.do("PUT", "/a.txt", "new", bob).want(t, "PUT by bob", 401, "")
	s.wantMetric(1, "auth_failures_total", "site", "test")
	s.do("PUT", "/a.txt", "new", alice).want(t, "PUT by alice", 204, "")
	s.do("PUT", "/shared/y", "new", bob).want(t, "PUT where bob may", 201, "")
	s.do("DELETE", "/shared/y", "", bob).want(t, "DELETE by bob", 401, "")
	s.do("DELETE", "/shared/y", "", alice).want(t, "DELETE by alice", 204, "")
	s.wantStored("in the end", "a.txt", "new")
}

// What a path leads to may be protected by a name of its own.
func TestProtectedByAnotherName(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/dir/index.html", Users: []string{"alice"}}, Protect{Glob: "/x.sh"}, Protect{Glob: "/a/**", Users: []string{"alice"}},
			Protect{Glob: "/b/**", Users: []string{"alice"}}, Protect{Glob: "/b.sh", Users: []string{"bob"}})(spec)
	})
	s.file("dir/index.html", "dir")
	s.file("x.sh", `echo Content-Type: text/plain; echo; echo "$AUTH_TYPE $REMOTE_USER $HTTP_AUTHORIZATION $PATH_INFO"`)
	alice, bob := "Authorization: "+basic("alice", "a"), "Authorization: "+basic("bob", "b")
	for _, target := range []string{"/dir/", "/dir/index.html", "/x.sh", "/x.sh/", "/x.sh/info", "/x.sh/a/../b", "/%78.sh/info"} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			s.do(method, target, "").want(t, method+" "+target, 401, "")
		}
	}
	s.get("/dir/", alice).want(t, "index file", 200, "dir")
	s.get("/dir/", bob).want(t, "index file for another", 401, "")
	s.get("/dir").want(t, "the folder itself is not protected", 301, "")
	s.get("/x.sh/info", bob).want(t, "script", 200, "Basic bob  /info\n")
}

func TestChallengeIsAQuotedString(t *testing.T) {
	if got, want := challenge(`a"b\c`), `Basic realm="a\"b\\c", charset="UTF-8"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What only looks like credentials is none, and nothing of them is ever logged.
func TestCredentialsAreNeverLogged(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**"})(spec)
		spec.Logs.Body = 1000
		spec.Connect = []string{"*.invalid:1"}
	})
	s.file("private/a.txt", "a")
	s.file("x.sh", "echo broken")
	secret := basic("alice", "hunter2")
	right := basic("alice", "a")
	for _, target := range []string{"/private/a.txt", "/x.sh", "/nothing"} {
		for _, field := range []string{"Authorization: " + secret, "Authorization: " + right, "Proxy-Authorization: " + secret, "Cookie: session=hunter2", "Authorization : " + secret, "Authorization: \x01" + secret} {
			s.get(target, field)
			s.do("PUT", target, "x", field)
		}
	}
	s.do("CONNECT", "x.invalid:2", "", "Proxy-Authorization: "+secret)
	passed, failed := s.logged()
	for _, text := range []string{passed, failed, s.log.String()} {
		for _, leak := range []string{"hunter2", strings.TrimPrefix(secret, "Basic "), strings.TrimPrefix(right, "Basic "), "session="} {
			if strings.Contains(text, leak) {
				t.Errorf("%q is in a log:\n%s", leak, text)
			}
		}
	}
	if !strings.Contains(passed, `"user":"alice"`) || strings.Contains(failed, `"user":"alice","method":"GET","target":"/private`) {
		t.Errorf("the user is not told as it should:\n%s%s", passed, failed)
	}
}

func TestNewNeedsThePasswordFile(t *testing.T) {
	spec, _ := testSpec(t)
	spec.Protect = []Protect{{Glob: "/**"}}
	if _, err := New(spec, Shared{Metrics: newRegistry(), Files: NewBudget(DefaultBudget), Log: discard()}); err == nil || !strings.Contains(err.Error(), "without a password file") {
		t.Errorf("no password file: %v", err)
	}
	spec.Passwords = spec.Root + "/nothing"
	if _, err := New(spec, Shared{Metrics: newRegistry(), Files: NewBudget(DefaultBudget), Log: discard()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("password file is not there: %v", err)
	}
	writeFile(t, spec.Passwords, "alice:plain\n")
	if i, err := New(spec, Shared{Metrics: newRegistry(), Files: NewBudget(DefaultBudget), Log: discard()}); err != nil {
		t.Errorf("a line of the password file can't be used: %v", err)
	} else if err := i.Close(t.Context()); err != nil {
		t.Error(err)
	}
	spec.Protect[0].Glob = "x"
	if _, err := New(spec, Shared{Metrics: newRegistry(), Files: NewBudget(DefaultBudget), Log: discard()}); err == nil || !strings.Contains(err.Error(), "begins with a slash") {
		t.Errorf("pattern is wrong: %v", err)
	}
}

// A password file that is mended or changed is in force at once.
func TestPasswordFileChanges(t *testing.T) {
	s := open(t, protecting(t, Protect{Glob: "/**"}))
	s.file("a", "a")
	carol := "Authorization: " + basic("carol", "a")
	s.get("/a", carol).want(t, "before", 401, "")
	replaceFile(t, s.spec.Passwords, strings.Replace(users, "alice", "carol", 1))
	s.get("/a", carol).want(t, "after", 200, "a")
	s.get("/a", "Authorization: "+basic("alice", "a")).want(t, "who was taken off", 401, "")
}
