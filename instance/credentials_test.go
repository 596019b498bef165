package instance

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sited/protocol"
)

// syncBuffer is a buffer that several goroutines may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// replaceFile puts content in place the way `sited passwd` does.
func replaceFile(t *testing.T, path, content string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func bcryptHash(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// guarded is a password file under test.
type guarded struct {
	*credentials
	path     string
	log      *syncBuffer
	compared atomic.Int32
	costs    sync.Map // cost of the hash -> true, as compared
}

func guard(t *testing.T, content string) *guarded {
	t.Helper()
	g := &guarded{path: filepath.Join(t.TempDir(), "users.htpasswd"), log: &syncBuffer{}}
	replaceFile(t, g.path, content)
	c, err := newCredentials(g.path, slog.New(slog.NewTextHandler(g.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.compare = func(hash, password []byte) error {
		g.compared.Add(1)
		g.costs.Store(bcryptCost(hash), true)
		hash = bytes.Clone(hash)
		copy(hash[4:6], "04") // a test needs no expensive one
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	g.credentials = c
	return g
}

func (g *guarded) want(t *testing.T, authorization, user string, want error, comparisons int32) {
	t.Helper()
	before := g.compared.Load()
	got, err := g.verify(t.Context(), authorization)
	if got != user || !errors.Is(err, want) {
		t.Errorf("verify: %q, %v, want %q, %v", got, err, user, want)
	}
	if n := g.compared.Load() - before; n != comparisons {
		t.Errorf("%d comparisons, want %d", n, comparisons)
	}
}

func TestVerify(t *testing.T) {
	long := strings.Repeat("x", 72)
	g := guard(t, "alice:"+hash2y+"\nzoë:"+bcryptHash(t, "pässwörd: mit Doppelpunkt")+"\nlong:"+bcryptHash(t, long))
	for _, c := range []struct {
		name, authorization, user string
		err                       error
		comparisons               int32
	}{
		{"right", basic("alice", "secret"), "alice", nil, 1},
		{"right again", basic("alice", "secret"), "alice", nil, 0},
		{"right, other case of the scheme", "bASIC " + basic("alice", "secret")[6:], "alice", nil, 0},
		{"right, more spaces", "Basic   " + basic("alice", "secret")[6:], "alice", nil, 0},
		{"wrong", basic("alice", "Secret"), "", errWrongCredentials, 1},
		{"wrong again", basic("alice", "Secret"), "", errWrongCredentials, 1},
		{"empty password", basic("alice", ""), "", errWrongCredentials, 1},
		{"unknown user", basic("mallory", "secret"), "", errWrongCredentials, 1},
		{"empty user", basic("", "secret"), "", errWrongCredentials, 1},
		{"user in another case", basic("Alice", "secret"), "", errWrongCredentials, 1},
		{"Unicode and colons", basic("zoë", "pässwörd: mit Doppelpunkt"), "zoë", nil, 1},
		{"72 bytes", basic("long", long), "long", nil, 1},
		{"73 bytes", basic("long", long+"x"), "", errWrongCredentials, 1},
		{"73 bytes, unknown user", basic("mallory", long+"x"), "", errWrongCredentials, 1},
		{"nothing", "", "", errNoCredentials, 0},
		{"scheme alone", "Basic", "", errNoCredentials, 0},
		{"nothing after the scheme", "Basic ", "", errNoCredentials, 0},
		{"another scheme", "Bearer " + basic("alice", "secret")[6:], "", errNoCredentials, 0},
		{"no space", "Basic" + basic("alice", "secret")[6:], "", errNoCredentials, 0},
		{"tab", "Basic\t" + basic("alice", "secret")[6:], "", errNoCredentials, 0},
		{"not base64", "Basic alice:secret", "", errNoCredentials, 0},
		{"more after base64", basic("alice", "secret") + " x", "", errNoCredentials, 0},
		{"no colon", "Basic " + base64.StdEncoding.EncodeToString([]byte("alice")), "", errNoCredentials, 0},
		{"NUL", basic("alice", "secret\x00"), "", errNoCredentials, 0},
		{"NUL moved", basic("alice\x00secret", ""), "", errNoCredentials, 0},
	} {
		t.Run(c.name, func(t *testing.T) { g.want(t, c.authorization, c.user, c.err, c.comparisons) })
	}
	if s := g.log.String(); s != "" {
		t.Errorf("logged: %s", s)
	}
}

// With the real comparison, and a file that the real htpasswd wrote.
func TestVerifyForReal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.htpasswd")
	if htpasswd, err := exec.LookPath("htpasswd"); err == nil {
		if out, err := exec.Command(htpasswd, "-cbB", "-C", "4", path, "alice", "secret").CombinedOutput(); err != nil {
			t.Fatalf("htpasswd: %v: %s", err, out)
		}
	} else {
		replaceFile(t, path, "alice:"+hash2y+"\n")
	}
	c, err := newCredentials(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if user, err := c.verify(t.Context(), basic("alice", "secret")); user != "alice" || err != nil {
		t.Errorf("right password: %q, %v", user, err)
	}
	if user, err := c.verify(t.Context(), basic("alice", "secre")); user != "" || !errors.Is(err, errWrongCredentials) {
		t.Errorf("wrong password: %q, %v", user, err)
	}
	if user, err := c.verify(t.Context(), basic("bob", "secret")); user != "" || !errors.Is(err, errWrongCredentials) {
		t.Errorf("unknown user: %q, %v", user, err)
	}
}

func TestUnknownUserCostsAsMuchAsTheDearestHash(t *testing.T) {
	g := guard(t, "cheap:"+hash2y+"\ndear:$2y$12$"+hash2y[7:])
	g.want(t, basic("mallory", "secret"), "", errWrongCredentials, 1)
	if _, ok := g.costs.Load(12); !ok {
		t.Error("the unknown user was not compared at cost 12")
	}
	empty := guard(t, "# nobody yet\n")
	empty.want(t, basic("mallory", "secret"), "", errWrongCredentials, 1)
	if _, ok := empty.costs.Load(dummyCost); !ok {
		t.Errorf("without users the comparison was not at cost %d", dummyCost)
	}
}

func TestRememberedIsBounded(t *testing.T) {
	g := guard(t, "alice:"+hash2y)
	p := g.load()
	for i := range 3 * maxRemembered {
		p.remember(g.fingerprint(fmt.Sprint(i), "x"))
	}
	if n := len(p.remembered); n != maxRemembered {
		t.Errorf("%d answers remembered, want %d", n, maxRemembered)
	}
	if !p.remembers(g.fingerprint(fmt.Sprint(3*maxRemembered-1), "x")) {
		t.Error("the newest answer is forgotten")
	}
}

func TestFileIsReadAgain(t *testing.T) {
	g := guard(t, "alice:"+hash2y)
	g.want(t, basic("alice", "secret"), "alice", nil, 1)

	replaceFile(t, g.path, "alice:"+bcryptHash(t, "changed"))
	g.want(t, basic("alice", "secret"), "", errWrongCredentials, 1) // what was remembered is void
	g.want(t, basic("alice", "changed"), "alice", nil, 1)

	replaceFile(t, g.path, "bob:"+hash2y)
	g.want(t, basic("alice", "changed"), "", errWrongCredentials, 1)
	g.want(t, basic("bob", "secret"), "bob", nil, 1)

	if err := os.WriteFile(g.path, []byte("carol:"+hash2y+"\ndan:"+hash2y), 0o600); err != nil { // in place
		t.Fatal(err)
	}
	g.want(t, basic("dan", "secret"), "dan", nil, 1)
	if n := strings.Count(g.log.String(), "read again"); n != 3 {
		t.Errorf("logged %d times that the file was read, want 3:\n%s", n, g.log)
	}
}

func TestBrokenFileLeavesTheLastGoodOne(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		says  string
	}{
		{"too large", func(t *testing.T, path string) { replaceFile(t, path, strings.Repeat("#\n", 4<<20)+"#") }, "larger than 8 MiB"},
		{"gone", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		{"a folder", func(t *testing.T, path string) {
			os.Remove(path)
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := guard(t, "alice:"+hash2y)
			g.want(t, basic("alice", "secret"), "alice", nil, 1)
			c.spoil(t, g.path)
			for range 3 {
				g.want(t, basic("alice", "secret"), "alice", nil, 0) // and what is remembered stays too
			}
			logged := g.log.String()
			if strings.Count(logged, "level=ERROR") != 1 || !strings.Contains(logged, c.says) || !strings.Contains(logged, g.path) {
				t.Errorf("want one error that says %q and names the file:\n%s", c.says, logged)
			}
			os.Remove(g.path)
			replaceFile(t, g.path, "bob:"+hash2y)
			g.want(t, basic("bob", "secret"), "bob", nil, 1)
		})
	}
}

// A line that can't be used keeps its own user out, from the start and later;
// the file takes effect, and each of its contents is complained about once.
func TestUnusableLines(t *testing.T) {
	g := guard(t, "alice:"+hash2y+"\nbob:hunter2\n")
	g.want(t, basic("alice", "secret"), "alice", nil, 1)
	g.want(t, basic("bob", "hunter2"), "", errWrongCredentials, 1)
	warned := func(want int, says string) {
		t.Helper()
		logged := g.log.String()
		if n := strings.Count(logged, "level=WARN"); n != want || !strings.Contains(logged, says) || !strings.Contains(logged, "sited passwd FILE USER") {
			t.Errorf("%d warnings, want %d, and %s in\n%s", n, want, says, logged)
		}
		if strings.Contains(logged, "hunter2") || strings.Contains(logged, "level=ERROR") {
			t.Errorf("a password or an error is in the log:\n%s", logged)
		}
	}
	warned(1, "line 2: user")

	replaceFile(t, g.path, "bob:hunter2\ncarol:"+hash2y+"\nno colon\n")
	for range 3 {
		g.want(t, basic("alice", "secret"), "", errWrongCredentials, 1) // out, although remembered
	}
	g.want(t, basic("carol", "secret"), "carol", nil, 1)
	warned(3, "line 3: no colon")

	replaceFile(t, g.path, "bob:hunter2\ncarol:"+hash2y+"\nno colon\n") // a new file with the same content
	g.want(t, basic("carol", "secret"), "carol", nil, 1)
	warned(3, "line 3: no colon")

	replaceFile(t, g.path, strings.Repeat("x\n", 300)+"dave:"+hash2y+"\n")
	g.want(t, basic("carol", "secret"), "", errWrongCredentials, 1)
	warned(3+maxProblems+1, "lines=200")

	replaceFile(t, g.path, "this is no password file\n") // none of it can be used: the last good one stays
	g.want(t, basic("dave", "secret"), "dave", nil, 1)
	if logged := g.log.String(); strings.Count(logged, "level=ERROR") != 1 || !strings.Contains(logged, "no line of it can be used") {
		t.Errorf("want one error that says so:\n%s", logged)
	}
}

func TestNewCredentialsErrors(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	replaceFile(t, large, strings.Repeat("#", 8<<20+1))
	for path, says := range map[string]string{
		filepath.Join(dir, "missing"): "no such file",
		dir:                           "not a regular file",
		large:                         "larger than 8 MiB",
	} {
		_, err := newCredentials(path, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("newCredentials(%s): %v, want it to say %q", path, err, says)
		}
	}
}

// A request that begins after the rename sees the new file, also while many
// others are being checked.
func TestFileIsReadAgainUnderLoad(t *testing.T) {
	noLeaks(t)
	g := guard(t, "user0:"+hash2y)
	var round atomic.Int32
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := round.Load()
				user, err := g.verify(context.Background(), basic(fmt.Sprint("user", before), "secret"))
				if err != nil && round.Load() == before {
					t.Errorf("round %d: %q, %v", before, user, err)
					return
				}
			}
		})
	}
	for i := int32(1); i <= 50; i++ {
		// Both users are there while the round changes.
		replaceFile(t, g.path, fmt.Sprintf("user%d:%s\nuser%d:%s\n", i-1, hash2y, i, hash2y))
		round.Store(i)
	}
	close(stop)
	wg.Wait()
}

// Comparisons at once and requests waiting for one are bounded.
func TestVerifyIsBounded(t *testing.T) {
	noLeaks(t)
	g := guard(t, "alice:"+hash2y)
	release := make(chan struct{})
	var running, most atomic.Int32
	g.compare = func(_, _ []byte) error {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release
		running.Add(-1)
		return bcrypt.ErrMismatchedHashAndPassword
	}
	turns := cap(g.turns)
	results := make(chan error, turns+maxWaiting)
	for i := range turns + maxWaiting {
		go func() {
			_, err := g.verify(context.Background(), basic("alice", fmt.Sprint(i)))
			results <- err
		}()
	}
	for deadline := time.Now().Add(10 * time.Second); int(g.waiting.Load()) < maxWaiting || int(running.Load()) < turns; {
		if time.Now().After(deadline) {
			t.Fatalf("%d running, %d waiting", running.Load(), g.waiting.Load())
		}
		time.Sleep(time.Millisecond)
	}
	_, err := g.verify(t.Context(), basic("alice", "one too many"))
	var e *protocol.Error
	if !errors.As(err, &e) || e.Status != 503 || e.Header.Get("Retry-After") == "" {
		t.Errorf("the one too many got %v, want 503 with Retry-After", err)
	}
	close(release)
	for range turns + maxWaiting {
		if err := <-results; !errors.Is(err, errWrongCredentials) {
			t.Errorf("one of those waiting got %v", err)
		}
	}
	if n := int(most.Load()); n != turns {
		t.Errorf("%d comparisons at once, want %d", n, turns)
	}
}

func TestWaitingEndsWithContext(t *testing.T) {
	noLeaks(t)
	g := guard(t, "alice:"+hash2y)
	for range cap(g.turns) {
		g.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() {
		_, err := g.verify(ctx, basic("alice", "secret"))
		result <- err
	}()
	cause := errors.New("drained")
	cancel(cause)
	if err := <-result; protocol.StatusOf(err) != 503 || !errors.Is(err, cause) {
		t.Errorf("got %v, want 503 because drained", err)
	}
	if n := g.waiting.Load(); n != 0 {
		t.Errorf("%d still waiting", n)
	}
	<-g.turns
	g.want(t, basic("alice", "secret"), "alice", nil, 1) // its turn is free again
}

func FuzzParseBasic(f *testing.F) {
	for _, s := range []string{"", "Basic", basic("alice", "secret"), basic("a", ":"), "bAsIc   YTpi", "Basic YQ==", "Basic ====", "Bearer x", "Basic YTpi\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		user, password, ok := parseBasic(s)
		if !ok {
			if user != "" || password != "" {
				t.Errorf("parseBasic(%q) failed and returned %q, %q", s, user, password)
			}
			return
		}
		if strings.ContainsAny(user+password, "\x00\r\n") || strings.Contains(user, ":") {
			t.Errorf("parseBasic(%q) = %q, %q", s, user, password)
		}
		if u, p, ok := parseBasic(basic(user, password)); !ok || u != user || p != password {
			t.Errorf("%q, %q read back as %q, %q", user, password, u, p)
		}
	})
}
