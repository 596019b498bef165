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

// parsePasswords reads an htpasswd file: a line "user:hash" for each user, lines
// beginning with "#" and blank lines left out. Hashes are bcrypt's ($2a$, $2b$
// or $2y$) with a cost of at most maxBcryptCost. The error names the line, the
// user and the remedy; it never holds a hash.
func parsePasswords(b []byte) (map[string][]byte, error) {
	users := make(map[string][]byte)
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
			return nil, fmt.Errorf(`line %d: no colon; a line is "user:hash", and "sited passwd FILE USER" writes it`, number)
		}
		user := string(name)
		if err := checkUser(user); err != nil {
			return nil, fmt.Errorf(`line %d: %w; "sited passwd FILE USER" writes a right line`, number, err)
		}
		if first, twice := lines[user]; twice {
			return nil, fmt.Errorf("line %d: user %q is on line %d already; leave one of the two out", number, user, first)
		}
		if err := checkHash(hash); err != nil {
			return nil, fmt.Errorf(`line %d: user %q: %w; set the password anew with "sited passwd FILE USER"`, number, user, err)
		}
		users[user], lines[user] = bytes.Clone(hash), number
	}
	return users, nil
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
		return fmt.Errorf("user %q has a control character", user)
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
