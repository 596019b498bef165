package instance

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// What "htpasswd -nbB -C 4" and other writers make of the password "secret".
const (
	hash2y = "$2y$04$aSm7.a.LK/vYnu.sY/Zf2u8uzcMVSD59.URKRefXTCwTwkHtYrk1S"
	hash2a = "$2a$04$aSm7.a.LK/vYnu.sY/Zf2u8uzcMVSD59.URKRefXTCwTwkHtYrk1S"
	hash2b = "$2b$04$aSm7.a.LK/vYnu.sY/Zf2u8uzcMVSD59.URKRefXTCwTwkHtYrk1S"
)

func TestParsePasswords(t *testing.T) {
	list := parsePasswords([]byte("# staff\n\nalice:" + hash2y + "\r\n \t\n  bob b:" + hash2a + "  \n#old:x\nzoë:" + hash2b))
	if len(list.problems) > 0 || list.more > 0 {
		t.Fatal(list.problems, list.more)
	}
	got := list.users
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{"alice", "bob b", "zoë"}) {
		t.Errorf("users %q", names)
	}
	for user, hash := range got {
		if err := bcrypt.CompareHashAndPassword(hash, []byte("secret")); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	if list := parsePasswords(nil); len(list.problems) != 0 || len(list.users) != 0 {
		t.Errorf("an empty file: %+v", list)
	}
}

// A line that can't be used keeps nobody out but its own user.
func TestParsePasswordsProblems(t *testing.T) {
	const tail = "aSm7.a.LK/vYnu.sY/Zf2u8uzcMVSD59.URKRefXTCwTwkHtYrk1S"
	for _, c := range []struct {
		name, in string
		says     []string
	}{
		{"no colon", "\n" + hash2y, []string{"line 2", "no colon"}},
		{"no user", ":" + hash2y, []string{"line 1", "the user is missing"}},
		{"control character", "al\x01ice:" + hash2y, []string{"line 1", "control character"}},
		{"NUL", "al\x00ice:" + hash2y, []string{"line 1", "control character"}},
		{"not UTF-8", "al\xffice:" + hash2y, []string{"line 1", "UTF-8"}},
		{"twice", "alice:" + hash2y + "\n\nalice:" + hash2a, []string{"line 3", `"alice"`, "line 1 already", "neither"}},
		{"hash and user swapped", hash2y + ":alice", []string{"line 1: what follows"}},
		{"long user", strings.Repeat("x", 5000) + ":hunter2", []string{"x…"}},
		{"MD5", "#\nbob:$apr1$m5dveaYk$5YbFmHZOQsPXRpIwxpCw30", []string{"line 2", `"bob"`, "Apache's MD5"}},
		{"SHA-1", "bob:{SHA}6dcfXufJLW3J6S/9rRe4vUlBj5g=", []string{"line 1", `"bob"`, "SHA-1"}},
		{"SHA-512", "bob:$6$salt$hash", []string{"SHA-512"}},
		{"crypt", "bob:AbUijSVoksYzA", []string{"line 1", `"bob"`, "not bcrypt"}},
		{"plain text", "bob:hunter2", []string{"line 1", `"bob"`, "not bcrypt"}},
		{"nothing", "bob:", []string{"line 1", `"bob"`, "not bcrypt"}},
		{"2x", "bob:$2x$04$" + tail, []string{"this variant of bcrypt"}},
		{"cost 17", "bob:$2y$17$" + tail, []string{"line 1", `"bob"`, "cost is 17", "from 4 to 16"}},
		{"cost 3", "bob:$2y$03$" + tail, []string{"cost is 3"}},
		{"cost not a number", "bob:$2y$1x$" + tail, []string{"damaged"}},
		{"cut off", "bob:$2y$04$" + tail[:40], []string{"damaged"}},
		{"too long", "bob:$2y$04$" + tail + "a", []string{"damaged"}},
		{"wrong alphabet", "bob:$2y$04$" + tail[:52] + "+", []string{"damaged"}},
		{"a further field", "bob:$2y$04$" + tail + ":Bob", []string{"damaged"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := parsePasswords([]byte(c.in + "\ngood:" + hash2y))
			if names := slices.Collect(maps.Keys(list.users)); !slices.Equal(names, []string{"good"}) || len(list.problems) != 1 {
				t.Fatalf("users %q, problems %v", names, list.problems)
			}
			said := list.problems[0].String()
			for _, s := range c.says {
				if !strings.Contains(said, s) {
					t.Errorf("%q does not say %q", said, s)
				}
			}
			for _, secret := range []string{tail[:20], "m5dveaYk", "6dcfXuf", "AbUij", "hunter2", "salt$"} {
				if strings.Contains(said, secret) {
					t.Errorf("%q gives a hash away", said)
				}
			}
			if len(said) > 300 {
				t.Errorf("%d bytes", len(said))
			}
		})
	}
}

// Of a user who is there more than once no line counts, whichever is the good
// one.
func TestParsePasswordsTwice(t *testing.T) {
	for in, problems := range map[string]int{
		"a:" + hash2y + "\na:" + hash2b:                   1,
		"a:" + hash2y + "\na:" + hash2b + "\na:" + hash2a: 2,
		"a:{SHA}x\na:" + hash2b:                           2,
		"a:" + hash2y + "\na:{SHA}x":                      1,
	} {
		if list := parsePasswords([]byte(in)); len(list.users) != 0 || len(list.problems) != problems {
			t.Errorf("%q: users %v, problems %v; want none and %d", in, list.users, list.problems, problems)
		}
	}
}

func TestPasswordProblems(t *testing.T) {
	problems, more := PasswordProblems([]byte("a:" + hash2y + "\n" + strings.Repeat("x\n", 250)))
	if len(problems) != 100 || more != 150 || problems[0] != `line 2: no colon; a line is "user:hash"` {
		t.Errorf("%d problems and %d more: %.200q", len(problems), more, problems)
	}
	if problems, more := PasswordProblems([]byte("a:" + hash2y)); len(problems) != 0 || more != 0 {
		t.Errorf("%q, %d", problems, more)
	}
}

// Whatever is in the file: what is taken can be compared with at a bounded
// cost.
func FuzzParsePasswords(f *testing.F) {
	f.Add([]byte("alice:" + hash2y + "\n#x\nbob:" + hash2a + "\r\n"))
	f.Add([]byte("bob:$apr1$m5dveaYk$5YbFmHZOQsPXRpIwxpCw30"))
	f.Add([]byte("a:$2y$16$" + hash2y[7:] + "\nb:$2b$99$" + hash2y[7:]))
	f.Add([]byte(":\n::\n\x00:\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list := parsePasswords(b)
		users := list.users
		if n := len(list.problems); n > maxProblems || n < maxProblems && list.more > 0 {
			t.Errorf("%d problems and %d more", n, list.more)
		}
		for user, hash := range users {
			if user == "" || strings.ContainsAny(user, ":\n\x00") {
				t.Errorf("user %q", user)
			}
			cost, err := bcrypt.Cost(hash)
			if err != nil || cost != bcryptCost(hash) || cost > maxBcryptCost {
				t.Errorf("user %q: cost %d, %v", user, cost, err)
			}
		}
		if cost, err := bcrypt.Cost(dummyHash(users)); err != nil || cost > maxBcryptCost {
			t.Errorf("dummy hash: cost %d, %v", cost, err)
		}
	})
}
