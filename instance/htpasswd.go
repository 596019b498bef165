package instance

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxBcryptCost bounds what one attempt to log in may cost: each step doubles
// it, and 16 is a few seconds already.
const (
	minBcryptCost = 4
	maxBcryptCost = 16
)

// maxProblems bounds how many problems of one file are kept: a file of eight
// million lines that is none of passwords is one mistake.
const maxProblems = 100

// passwordRemedy is what helps against any problem.
const passwordRemedy = `set the user's password with "sited passwd FILE USER", or remove the line`

// passwordProblem says why a line of an htpasswd file is not used.
type passwordProblem struct {
	line int
	user string // "" when the line names none, or none that can be shown
	what string // never holds a hash
}

func (p passwordProblem) String() string {
	if p.user == "" {
		return fmt.Sprintf("line %d: %s", p.line, p.what)
	}
	return fmt.Sprintf("line %d: user %q: %s", p.line, p.user, p.what)
}

// passwordList is what an htpasswd file says.
type passwordList struct {
	users    map[string][]byte // the hashes of those who can log in
	problems []passwordProblem // in the order of lines, at most maxProblems
	more     int               // problems that were left out
}

// parsePasswords reads an htpasswd file: a line "user:hash" for each user, lines
// beginning with "#" and blank lines left out. Hashes are bcrypt's ($2a$, $2b$
// or $2y$) with a cost of at most maxBcryptCost. Any other line is a problem, and
// counts for nothing. Of a user who is there twice no line counts: nobody knows
// which of them is meant, and one may be what should be there no more.
func parsePasswords(b []byte) passwordList {
	list := passwordList{users: make(map[string][]byte)}
	lines := make(map[string]int) // where a user was found first
	number := 0
	for line := range bytes.Lines(b) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, hash, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			list.problem(number, nil, errors.New(`no colon; a line is "user:hash"`))
			continue
		}
		user := string(name)
		if err := checkUser(user); err != nil {
			list.problem(number, name, err)
			continue
		}
		if first, twice := lines[user]; twice {
			delete(list.users, user)
			list.problem(number, name, fmt.Errorf("the user is on line %d already, so that neither of the two counts", first))
			continue
		}
		lines[user] = number
		if err := checkHash(hash); err != nil {
			list.problem(number, name, err)
			continue
		}
		list.users[user] = bytes.Clone(hash)
	}
	return list
}

func (l *passwordList) problem(line int, user []byte, what error) {
	if len(l.problems) == maxProblems {
		l.more++
		return
	}
	l.problems = append(l.problems, passwordProblem{line, shownUser(user), what.Error()})
}

// shownUser is user as a message may name it: cut, and "" when it may be a hash
// that stands where the user should.
func shownUser(user []byte) string {
	const most = 64
	switch {
	case bytes.HasPrefix(user, []byte("$")), bytes.HasPrefix(user, []byte("{")), !utf8.Valid(user):
		return ""
	case len(user) > most:
		return strings.ToValidUTF8(string(user[:most]), "") + "…"
	}
	return string(user)
}

// PasswordProblems says what is wrong with the lines of an htpasswd file that
// can't be used: "line 3: user "bob": …". At most 100 are listed; more is the
// number of the others. The users of these lines can't log in, and all others
// can. No hash is in what it returns.
func PasswordProblems(content []byte) (problems []string, more int) {
	list := parsePasswords(content)
	for _, p := range list.problems {
		problems = append(problems, p.String())
	}
	return problems, list.more
}

// checkUser says what keeps user from being a user-id of Basic authentication
// (RFC 7617, section 2). A colon can't be there.
func checkUser(user string) error {
	switch {
	case user == "":
		return errors.New("the user is missing")
	case !utf8.ValidString(user):
		return errors.New("the user is not UTF-8")
	case strings.ContainsFunc(user, unicode.IsControl):
		return errors.New("the user has a control character")
	}
	return nil
}

// checkHash says what keeps hash from being a bcrypt hash that may be used.
func checkHash(hash []byte) error {
	if len(hash) < 7 || hash[0] != '$' || hash[1] != '2' || strings.IndexByte("aby", hash[2]) < 0 || hash[3] != '$' {
		return fmt.Errorf("%s is not bcrypt, the one scheme that is taken", scheme(hash))
	}
	if !isDigit(hash[4]) || !isDigit(hash[5]) || hash[6] != '$' || len(hash) != 60 {
		return errors.New("the bcrypt hash is damaged")
	}
	for _, c := range hash[7:] {
		if c != '.' && c != '/' && !isDigit(c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c) {
			return errors.New("the bcrypt hash is damaged")
		}
	}
	cost := bcryptCost(hash)
	if cost < minBcryptCost || maxBcryptCost < cost {
		return fmt.Errorf("the bcrypt cost is %d, which is not from %d to %d: a higher one would let anybody keep the processor busy", cost, minBcryptCost, maxBcryptCost)
	}
	return nil
}

// bcryptCost is the cost that a checked hash says.
func bcryptCost(hash []byte) int { return int(hash[4]-'0')*10 + int(hash[5]-'0') }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// scheme names what hash is made with, as far as its beginning tells, without
// giving anything of it away.
func scheme(hash []byte) string {
	for _, s := range []struct{ prefix, name string }{
		{"$apr1$", "Apache's MD5"},
		{"{SHA}", "SHA-1"},
		{"{SSHA}", "salted SHA-1"},
		{"$1$", "MD5"},
		{"$5$", "SHA-256"},
		{"$6$", "SHA-512"},
		{"$argon2", "Argon2"},
		{"$y$", "yescrypt"},
		{"$2", "this variant of bcrypt"},
	} {
		if bytes.HasPrefix(hash, []byte(s.prefix)) {
			return s.name
		}
	}
	return "what follows the user"
}
