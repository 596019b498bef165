package instance

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unicode"

	"golang.org/x/crypto/bcrypt"

	"sited/protocol"
)

var (
	// errNoCredentials: the request has no Authorization field, one of another
	// scheme than Basic, or one that is not well-formed.
	errNoCredentials = errors.New("no credentials")
	// errWrongCredentials: there is no such user, or the password is another.
	errWrongCredentials = errors.New("wrong credentials")
)

const (
	maxPassword   = 72   // bytes; bcrypt ignores the rest
	maxRemembered = 1024 // correct answers remembered
	maxWaiting    = 64   // requests waiting for their turn at bcrypt
	dummyCost     = 10   // of the dummy hash when the file has no user

	maxPasswordFile = 8 << 20 // bytes
)

// credentials checks names and passwords against an htpasswd file, which it
// reads again whenever it changes. Its methods may be called concurrently. It
// holds nothing that needs closing.
type credentials struct {
	file    string
	log     *slog.Logger
	compare func(hash, password []byte) error // bcrypt's; nil means that they match
	key     [32]byte                          // for fingerprints; made anew for each instance
	turns   chan struct{}                     // holds one value for each comparison under way
	waiting atomic.Int32

	current atomic.Pointer[passwordFile]
	reading sync.Mutex // held while the file is read
}

// passwordFile is the file as it was looked at last.
type passwordFile struct {
	seen fileStamp  // the file that was looked at, readable or not; zero: it was not there
	good *passwords // from the last file that could be read
}

// fileStamp tells one state of a file from another.
type fileStamp struct {
	dev, inode        uint64
	size              int64
	modified, changed syscall.Timespec
}

// passwords is what one state of the file says.
type passwords struct {
	passwordList
	sum   [sha256.Size]byte // of the file's content
	dummy []byte            // a hash that no password has, with the highest cost there is in users

	mu         sync.Mutex
	remembered map[[sha256.Size]byte]struct{} // fingerprints of correct answers
}

// newCredentials reads file, and fails when that can't be done: it must be a
// regular file of at most maxPasswordFile bytes. Later on a file that can't be
// read, or without a single line that can be used, leaves the last good one in
// force, and is logged once. A line that can't
// be used keeps its user out and nobody else, and is logged once for each
// content that the file has.
func newCredentials(file string, log *slog.Logger) (*credentials, error) {
	c := &credentials{
		file:    file,
		log:     log,
		compare: bcrypt.CompareHashAndPassword,
		turns:   make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	rand.Read(c.key[:])
	good, seen, err := readPasswords(file)
	if err != nil {
		return nil, err
	}
	c.current.Store(&passwordFile{seen, good})
	c.logProblems(good)
	return c, nil
}

func (c *credentials) logProblems(p *passwords) {
	const message = "a line of the password file can't be used; " + passwordRemedy
	for _, problem := range p.problems {
		c.log.Warn(message, "file", c.file, "problem", problem.String())
	}
	if p.more > 0 {
		c.log.Warn("more lines of the password file can't be used", "file", c.file, "lines", p.more)
	}
}

// verify checks the value of an Authorization field ("" when there is none)
// against the file as it is now, and returns the user. It returns
// errNoCredentials, errWrongCredentials, or a *protocol.Error with status 503
// when too many others are waiting for their check or ctx ended first.
//
// A wrong password costs one comparison, whether there is such a user or not. A
// right one costs nothing when it was right before. All of it holds as far as
// the hashes in the file have one cost.
func (c *credentials) verify(ctx context.Context, authorization string) (user string, err error) {
	user, password, ok := parseBasic(authorization)
	if !ok {
		return "", errNoCredentials
	}
	p := c.load()
	fingerprint := c.fingerprint(user, password)
	if p.remembers(fingerprint) {
		return user, nil
	}
	if err := c.takeTurn(ctx); err != nil {
		return "", err
	}
	defer func() { <-c.turns }()
	if p.remembers(fingerprint) { // found right while this one waited
		return user, nil
	}
	hash, known := p.users[user]
	if !known || len(password) > maxPassword {
		hash, known = p.dummy, false
	}
	if c.compare(hash, []byte(password[:min(len(password), maxPassword)])) != nil || !known {
		return "", errWrongCredentials
	}
	p.remember(fingerprint)
	return user, nil
}

// parseBasic reads credentials of the Basic scheme (RFC 7617, section 2).
func parseBasic(authorization string) (user, password string, ok bool) {
	scheme, rest, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimLeft(rest, " "))
	if err != nil {
		return "", "", false
	}
	user, password, ok = strings.Cut(string(decoded), ":")
	if !ok || strings.ContainsFunc(user, unicode.IsControl) || strings.ContainsFunc(password, unicode.IsControl) {
		return "", "", false
	}
	return user, password, true
}

// takeTurn waits until few enough comparisons are under way. The caller gives
// its turn back by receiving from c.turns.
func (c *credentials) takeTurn(ctx context.Context) error {
	select {
	case c.turns <- struct{}{}:
		return nil
	default:
	}
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > maxWaiting {
		return tooBusy(errors.New("too many requests are waiting for their password to be checked"))
	}
	select {
	case c.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return tooBusy(fmt.Errorf("waiting for the password to be checked: %w", context.Cause(ctx)))
	}
}

func tooBusy(cause error) error {
	return &protocol.Error{Status: 503, Header: protocol.Header{{Name: "Retry-After", Value: "1"}}, Err: cause}
}

// fingerprint stands for user and password without giving them away. Neither
// holds a NUL.
func (c *credentials) fingerprint(user, password string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, c.key[:])
	io.WriteString(mac, user)
	mac.Write([]byte{0})
	io.WriteString(mac, password)
	mac.Sum(sum[:0])
	return sum
}

func (p *passwords) remembers(fingerprint [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.remembered[fingerprint]
	return ok
}

func (p *passwords) remember(fingerprint [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for old := range p.remembered {
		if len(p.remembered) < maxRemembered {
			break
		}
		delete(p.remembered, old)
	}
	p.remembered[fingerprint] = struct{}{}
}

// load returns the passwords of the file as it is at some moment after the
// call, or those of the last good one.
func (c *credentials) load() *passwords {
	current := c.current.Load()
	if stamp, _ := statFile(c.file); stamp == current.seen {
		return current.good
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	current = c.current.Load()
	stamp, err := statFile(c.file)
	if stamp == current.seen { // somebody else was faster
		return current.good
	}
	var good *passwords
	if err == nil {
		good, stamp, err = readPasswords(c.file)
	}
	if err == nil && len(good.users) == 0 && len(good.problems) > 0 { // some other file, or a broken one
		err = fmt.Errorf("password file %s: no line of it can be used: %v", c.file, good.problems[0])
	}
	if err != nil {
		c.log.Error("the changed password file can't be read; the last good one stays in force", "error", err)
		good = current.good
	} else {
		c.log.Info("password file read again", "file", c.file, "users", len(good.users))
		if good.sum != current.good.sum {
			c.logProblems(good)
		}
	}
	c.current.Store(&passwordFile{stamp, good})
	return good
}

// statFile returns the stamp of a file, which is zero if there is an error.
func statFile(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	return stampOf(info), nil
}

func stampOf(info os.FileInfo) fileStamp {
	s := info.Sys().(*syscall.Stat_t)
	return fileStamp{dev: uint64(s.Dev), inode: s.Ino, size: s.Size, modified: s.Mtim, changed: s.Ctim}
}

// readPasswords reads a password file. The stamp is that of what was read, also
// when there is an error, which names the file.
func readPasswords(path string) (*passwords, fileStamp, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // O_NONBLOCK: a FIFO must not hold us up
	if err != nil {
		stamp, _ := statFile(path)
		return nil, stamp, fmt.Errorf("password file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("password file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, stampOf(info), fmt.Errorf("password file %s is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPasswordFile+1))
	if err != nil {
		return nil, stampOf(info), fmt.Errorf("password file: %w", err)
	}
	if len(b) > maxPasswordFile {
		return nil, stampOf(info), fmt.Errorf("password file %s is larger than %d MiB", path, maxPasswordFile>>20)
	}
	list := parsePasswords(b)
	p := &passwords{
		passwordList: list,
		sum:          sha256.Sum256(b),
		dummy:        dummyHash(list.users),
		remembered:   map[[sha256.Size]byte]struct{}{},
	}
	return p, stampOf(info), nil
}

// dummyHash is what the password of somebody unknown is compared with: a
// well-formed hash of random bytes. Making it costs nothing, comparing with it
// as much as with the most expensive hash in users.
func dummyHash(users map[string][]byte) []byte {
	cost := 0
	for _, hash := range users {
		cost = max(cost, bcryptCost(hash))
	}
	if cost == 0 {
		cost = dummyCost
	}
	var random [40]byte
	rand.Read(random[:])
	tail := base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").EncodeToString(random[:])
	return fmt.Appendf(nil, "$2b$%02d$%s", cost, tail[:53])
}
