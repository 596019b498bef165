package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sited/rig"
	"sited/supervisor/config"
)

// buildFolder is where the binary is that the tests run.
var buildFolder string

func TestMain(m *testing.M) { os.Exit(withBuildFolder(m)) }

func withBuildFolder(m *testing.M) int {
	var err error
	if buildFolder, err = os.MkdirTemp("", "sited-deploy-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildFolder)
	status := m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, "goroutines of the tests are left:", err)
		return 1
	}
	return status
}

// stage is one stage of a Dockerfile.
type stage struct {
	from, name string
	steps      []step
}

type step struct{ word, rest string }

const dockerfileName = "Dockerfile"

// dockerfile reads the subset of the language that ours uses. args are those
// before the first stage.
func dockerfile(t *testing.T) (args map[string]string, stages []*stage) {
	t.Helper()
	args = map[string]string{}
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(textOf(t, dockerfileName), "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "FROM":
			words := slices.DeleteFunc(strings.Fields(rest), func(s string) bool { return strings.HasPrefix(s, "--") })
			if len(words) != 3 || words[1] != "AS" {
				t.Fatalf("%s: %s: want an image and a name", dockerfileName, line)
			}
			stages = append(stages, &stage{from: words[0], name: words[2]})
		case len(stages) == 0 && word == "ARG":
			name, value, _ := strings.Cut(rest, "=")
			args[name] = value
		case len(stages) == 0:
			t.Fatalf("%s: %s before the first stage", dockerfileName, line)
		default:
			last := stages[len(stages)-1]
			last.steps = append(last.steps, step{word, strings.TrimSpace(rest)})
		}
	}
	if len(stages) < 2 {
		t.Fatalf("%s: only %d stages", dockerfileName, len(stages))
	}
	return args, stages
}

// all are the arguments of every step of that word.
func (s *stage) all(word string) (rest []string) {
	for _, step := range s.steps {
		if step.word == word {
			rest = append(rest, step.rest)
		}
	}
	return rest
}

func (s *stage) one(t *testing.T, word string) string {
	t.Helper()
	found := s.all(word)
	if len(found) != 1 {
		t.Fatalf("stage %s: %d times %s, want once", s.name, len(found), word)
	}
	return found[0]
}

// words is a JSON list, the exec form of a command.
func words(t *testing.T, list string) []string {
	t.Helper()
	var words []string
	if err := json.Unmarshal([]byte(list), &words); err != nil {
		t.Fatalf("%s: want the exec form, as there may be no shell: %v", list, err)
	}
	return words
}

// images are the stages that are images of sited, by name.
func images(t *testing.T) map[string]*stage {
	t.Helper()
	_, stages := dockerfile(t)
	found := map[string]*stage{}
	for _, s := range stages {
		if s.name != "build" {
			found[s.name] = s
		}
	}
	return found
}

// healthcheck is the command of HEALTHCHECK.
func healthcheck(t *testing.T, s *stage) []string {
	t.Helper()
	_, command, ok := strings.Cut(s.one(t, "HEALTHCHECK"), "CMD ")
	if !ok {
		t.Fatalf("stage %s: HEALTHCHECK has no command", s.name)
	}
	return words(t, command)
}

const imageConfig = "image/sites.hcl"

func TestDockerfileStages(t *testing.T) {
	args, stages := dockerfile(t)
	if stages[0].name != "build" || !strings.Contains(stages[0].from, "/golang:${GO_VERSION}") {
		t.Errorf("the first stage is %+v", stages[0])
	}
	if release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(textOf(t, "../go.mod")); args["GO_VERSION"] != release[1] {
		t.Errorf("GO_VERSION is %q, and go.mod wants %q", args["GO_VERSION"], release[1])
	}
	if last := stages[len(stages)-1].name; last != "sited" {
		t.Errorf("without --target %q would be built", last)
	}
	cfg := loadConfig(t, imageConfig)
	var ports []string
	for _, spec := range cfg.Sites {
		ports = append(ports, strconv.Itoa(int(spec.Addr.Port())))
	}
	ports = append(ports, strconv.Itoa(int(cfg.Admin.Addr.Port())))

	built := strings.Join(stages[0].all("RUN"), "\n")
	var tail []step
	for name, s := range images(t) {
		if user := s.one(t, "USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
			t.Errorf("%s: user %q; runAsNonRoot wants a number that is not 0", name, user)
		}
		if signal := s.one(t, "STOPSIGNAL"); signal != "SIGTERM" {
			t.Errorf("%s: STOPSIGNAL %s", name, signal)
		}
		if got := strings.Fields(s.one(t, "EXPOSE")); !slices.Equal(got, ports) {
			t.Errorf("%s: EXPOSE %v, and %s has %v", name, got, imageConfig, ports)
		}
		if program := words(t, s.one(t, "ENTRYPOINT")); len(program) != 1 || healthcheck(t, s)[0] != program[0] {
			t.Errorf("%s: ENTRYPOINT %v, HEALTHCHECK %v", name, program, healthcheck(t, s))
		}
		copied := map[string]string{}
		for _, c := range s.all("COPY") {
			fields := slices.DeleteFunc(strings.Fields(c), func(f string) bool { return strings.HasPrefix(f, "--chown") })
			if len(fields) != 3 || fields[0] != "--from=build" || !strings.Contains(built, fields[1]) {
				t.Errorf("%s: COPY %s: the build stage makes no such thing", name, c)
				continue
			}
			copied[fields[2]] = c
		}
		for _, volume := range words(t, s.one(t, "VOLUME")) {
			// A script that runs as the same user must not change what is served, nor the configuration.
			if own := strings.Contains(copied[volume], "--chown="+s.one(t, "USER")+" "); copied[volume] == "" || own != strings.HasPrefix(volume, "/var/log/") {
				t.Errorf("%s: the volume %s belongs to the user: %t: COPY %s", name, volume, own, copied[volume])
			}
		}
		if copied[words(t, s.one(t, "ENTRYPOINT"))[0]] == "" {
			t.Errorf("%s: the program is not copied", name)
		}
		// What follows the packages is the same in all images.
		rest := slices.DeleteFunc(slices.Clone(s.steps), func(s step) bool { return s.word == "RUN" })
		if tail == nil {
			tail = rest
		} else if !slices.Equal(tail, rest) {
			t.Errorf("the images differ in more than packages:\n%v\n%v", tail, rest)
		}
	}
	if tail == nil {
		t.Error("there is no image")
	}
}

// TestDockerfileContext wants what the build stage names in the repository, and
// not left out by .dockerignore.
func TestDockerfileContext(t *testing.T) {
	var ignored []string
	for line := range strings.Lines(textOf(t, "../.dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			ignored = append(ignored, line)
		}
	}
	_, stages := dockerfile(t)
	needed := []string{"go.mod", "go.sum", "cmd/sited/main.go", "supervisor/supervisor.go", "supervisor/page/page.html", "instance/listing.html", "protocol/server.go", "metrics/registry.go", "cgi/cgi.go"}
	for _, run := range stages[0].all("RUN") {
		for _, word := range strings.Fields(run) {
			if strings.HasPrefix(word, "deploy/") || strings.HasPrefix(word, "sites/") {
				needed = append(needed, word)
			}
		}
	}
	for _, name := range needed {
		if _, err := os.Stat(filepath.Join("..", name)); err != nil {
			t.Errorf("the build needs %s: %v", name, err)
		}
		for _, pattern := range ignored {
			for part := name; part != "."; part = path.Dir(part) { // a folder is left out with all that is in it
				if match, err := path.Match(strings.TrimPrefix(pattern, "**/"), part); err != nil || match {
					t.Errorf("the build needs %s, which .dockerignore leaves out by %q (%v)", name, pattern, err)
				}
			}
		}
	}
	if !slices.Contains(ignored, ".*") {
		t.Error(".dockerignore lets .git into the context")
	}
}

// imageBinary builds sited as the Dockerfile does, once, with the version 1.2.3.
var imageBinary = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile(dockerfileName)
	if err != nil {
		return "", err
	}
	flags := regexp.MustCompile(`-ldflags "([^"]*)"`).FindSubmatch(text)
	if flags == nil || !bytes.Contains(text, []byte("CGO_ENABLED=0 ")) || !bytes.Contains(text, []byte(" -trimpath ")) {
		return "", fmt.Errorf("%s: no -ldflags, or no static build", dockerfileName)
	}
	binary := filepath.Join(buildFolder, "sited")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", strings.ReplaceAll(string(flags[1]), "$VERSION", "1.2.3"), "-o", binary, "./cmd/sited")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

func builtSited(t *testing.T) string {
	t.Helper()
	if err := rig.ReadSources(".."); err != nil {
		t.Fatal(err)
	}
	binary, err := imageBinary()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// loadConfig reads a configuration as sited does, and wants it without errors.
func loadConfig(t *testing.T, name string) *config.Config {
	t.Helper()
	cfg := config.Load(name, func(string) (string, bool) { return "", false })
	if cfg.HasErrors() || len(cfg.Sites) == 0 {
		var b strings.Builder
		if err := cfg.WriteDiagnostics(&b, false); err != nil {
			t.Error(err)
		}
		t.Fatalf("%s: %d sites, and:\n%s", name, len(cfg.Sites), b.String())
	}
	return cfg
}

// TestConfigurationsAreFormatted wants all that is shipped as `sited fmt` has it.
func TestConfigurationsAreFormatted(t *testing.T) {
	for _, name := range []string{imageConfig, composeConfig} {
		text := textOf(t, name)
		formatted, diags := config.Format([]byte(text), name)
		if diags.HasErrors() || string(formatted) != text {
			t.Errorf("%s: %v; run sited fmt", name, diags)
		}
	}
}

// TestImage runs what the image runs, on the configuration of the image with
// other ports and folders: the binary as it is built there, HEALTHCHECK, and
// STOPSIGNAL.
func TestImage(t *testing.T) {
	binary := builtSited(t)
	if out, err := exec.Command(binary, "version").Output(); err != nil || !strings.HasPrefix(string(out), "sited 1.2.3,") {
		t.Errorf("%v: %s", err, out)
	}
	dir := t.TempDir()
	ports := rig.Ports(t, 2)
	site, admin := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	text := textOf(t, imageConfig)
	for old, now := range map[string]string{
		`"0.0.0.0"`: `"127.0.0.1"`, "= 8080": fmt.Sprint("= ", ports[0]), "= 9180": fmt.Sprint("= ", ports[1]),
		"/srv/www": dir + "/www", "/var/log/sited": dir + "/log",
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("%s: no %q", imageConfig, old)
		}
		text = strings.ReplaceAll(text, old, now)
	}
	writeFile(t, dir+"/etc/sites.hcl", text)
	writeFile(t, dir+"/www/index.html", "from the image")

	s := images(t)["sited"]
	run := words(t, s.one(t, "CMD"))
	p := start(t, binary, append(run[:len(run)-1:len(run)-1], dir+"/etc")...)
	check := healthcheck(t, s)
	for i := range check {
		check[i] = strings.ReplaceAll(check[i], "127.0.0.1:9180", admin)
	}
	rig.Eventually(t, "HEALTHCHECK says healthy", func() bool { return exec.Command(binary, check[1:]...).Run() == nil })
	if status, body := get(t, "http://"+site+"/", ""); status != 200 || body != "from the image" {
		t.Errorf("the site: %d %q", status, body)
	}
	if status, body := get(t, "http://"+admin+"/metrics", "sited:9180"); status != 200 || !strings.Contains(body, `sited_site_up{site="www"} 1`) {
		t.Errorf("metrics by the name of the service: %d", status)
	}
	if status, _ := get(t, "http://"+admin+"/metrics", "evil.example:9180"); status != 421 {
		t.Errorf("metrics by another name: %d", status)
	}
	if err := os.Rename(dir+"/www", dir+"/away"); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "HEALTHCHECK says unhealthy", func() bool { return exec.Command(binary, check[1:]...).Run() != nil })
	p.stop(t)
}

// running is a sited that a test has started.
type running struct {
	command *exec.Cmd
	said    rig.Buffer
	ended   chan error // gets how it ended
	stopped bool
}

// start starts sited, which ends with the test at the latest.
func start(t *testing.T, binary string, args ...string) *running {
	t.Helper()
	p := &running{command: exec.Command(binary, args...), ended: make(chan error, 1)}
	p.command.Stdout, p.command.Stderr = &p.said, &p.said
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.command.Wait() }()
	t.Cleanup(func() {
		if !p.stopped {
			_ = p.command.Process.Kill() // it may have ended
			<-p.ended
		}
		if t.Failed() {
			t.Logf("sited said:\n%s", p.said.String())
		}
	})
	return p
}

// stop sends STOPSIGNAL and wants a good end.
func (p *running) stop(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		if p.stopped = true; err != nil {
			t.Errorf("after STOPSIGNAL: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("STOPSIGNAL did not end it")
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// get asks with that Host field, or the usual one.
func get(t *testing.T, url, host string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
