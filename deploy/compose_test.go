package deploy_test

import (
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const composeConfig = "compose/sited/sites.hcl"

// compose is what the test looks at of a Compose file.
type compose struct {
	Services map[string]*service
	Volumes  map[string]any
}

type service struct {
	Image string
	Build *struct {
		Context, Dockerfile, Target string
		Args                        map[string]string
	}
	Command         []string
	Environment     map[string]string
	Ports           []string
	Volumes         []string
	Tmpfs           []string
	ReadOnly        bool     `yaml:"read_only"`
	CapDrop         []string `yaml:"cap_drop"`
	CapAdd          []string `yaml:"cap_add"`
	SecurityOpt     []string `yaml:"security_opt"`
	StopGracePeriod string   `yaml:"stop_grace_period"`
	Healthcheck     *struct{ Test []string }
	DependsOn       []string `yaml:"depends_on"`
}

// unmarshal decodes the one YAML document of a file.
func unmarshal(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(textOf(t, name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func composeFile(t *testing.T) *compose {
	t.Helper()
	c := new(compose)
	unmarshal(t, "compose.yaml", c)
	for _, name := range []string{"sited", "prometheus", "grafana"} {
		if c.Services[name] == nil {
			t.Fatalf("compose.yaml has no service %s", name)
		}
	}
	return c
}

// mount is one entry of a service's volumes.
type mount struct {
	source, target string
	readOnly       bool
}

func (s *service) mounts() (all []mount) {
	for _, v := range s.Volumes {
		parts := strings.Split(v, ":")
		all = append(all, mount{parts[0], parts[1], slices.Contains(parts[2:], "ro")})
	}
	return all
}

// onHost is where a path of the container comes from, "" when that is not a folder
// of the repository.
func (s *service) onHost(name string) string {
	for _, m := range s.mounts() {
		if below, ok := strings.CutPrefix(name, m.target); ok && strings.HasPrefix(m.source, ".") && (below == "" || below[0] == '/') {
			return path.Join(m.source, below)
		}
	}
	return ""
}

func TestComposeServices(t *testing.T) {
	c := composeFile(t)
	for name, s := range c.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: it may do more than it needs: %+v", name, s)
		}
		if s.Image == "" || s.Build == nil && !strings.Contains(s.Image, "/") || strings.HasSuffix(s.Image, ":latest") || !strings.Contains(path.Base(s.Image), ":") {
			t.Errorf("%s: the image %q has no registry, or no tag that says which", name, s.Image)
		}
		for _, other := range s.DependsOn {
			if c.Services[other] == nil {
				t.Errorf("%s: it depends on %q, which is none", name, other)
			}
		}
		for _, m := range s.mounts() {
			if !strings.HasPrefix(m.source, ".") {
				if _, declared := c.Volumes[m.source]; !declared {
					t.Errorf("%s: the volume %s is not declared", name, m.source)
				}
				continue
			}
			if info, err := os.Stat(m.source); err != nil || !info.IsDir() || !m.readOnly {
				t.Errorf("%s: %+v: want a folder of the repository, read-only: %v", name, m, err)
			}
		}
	}
	build := c.Services["sited"].Build
	if build == nil || filepath.Clean(build.Context) != ".." || build.Dockerfile != "deploy/"+dockerfileName || images(t)[build.Target] == nil {
		t.Errorf("sited: build %+v", build)
	}
	image := c.Services["sited"].Image
	if name, _, _ := strings.Cut(image, ":"); build != nil && name != build.Target {
		t.Errorf("sited: the image is called %s, its target %s", image, build.Target)
	}
	_, stages := dockerfile(t)
	for arg := range build.Args {
		if !slices.ContainsFunc(stages[0].all("ARG"), func(a string) bool { return strings.HasPrefix(a, arg) }) {
			t.Errorf("sited: the build has no argument %s", arg)
		}
	}
	for _, name := range []string{"prometheus", "grafana"} {
		if h := c.Services[name].Healthcheck; h == nil || len(h.Test) < 2 || h.Test[0] != "CMD" {
			t.Errorf("%s: healthcheck %+v", name, h)
		}
	}
}

// TestComposeSites wants every site's port published, the admin address to nobody
// but this machine, and every path of the configuration mounted.
func TestComposeSites(t *testing.T) {
	s := composeFile(t).Services["sited"]
	run := words(t, images(t)[s.Build.Target].one(t, "CMD"))
	where := s.onHost(run[len(run)-1])
	if where == "" || filepath.Clean(where) != path.Dir(composeConfig) || len(s.Command) > 0 {
		t.Fatalf("sited runs %v, and its configuration is in %q", run, where)
	}
	cfg := loadConfig(t, where)
	published := map[uint16]string{} // port in the container -> address on the host
	for _, p := range s.Ports {
		at := strings.LastIndexByte(p, ':')
		n, err := strconv.ParseUint(p[at+1:], 10, 16)
		if err != nil {
			t.Fatalf("ports: %s: %v", p, err)
		}
		published[uint16(n)] = p[:at]
	}
	if at := published[cfg.Admin.Addr.Port()]; !strings.HasPrefix(at, "127.0.0.1:") {
		t.Errorf("the admin address is published at %q", at)
	}
	if !cfg.Admin.Addr.Addr().IsUnspecified() {
		t.Errorf("the admin endpoint listens on %s, which Prometheus does not reach", cfg.Admin.Addr)
	}
	grace, err := time.ParseDuration(s.StopGracePeriod)
	if err != nil {
		t.Error(err)
	}
	for _, spec := range cfg.Sites {
		if !spec.Addr.Addr().IsUnspecified() || published[spec.Addr.Port()] == "" {
			t.Errorf("site %s: %s is not published", spec.Name, spec.Addr)
		}
		root := s.onHost(spec.Root)
		if info, err := os.Stat(root); err != nil || !info.IsDir() {
			t.Errorf("site %s: its root %s is %q on the host: %v", spec.Name, spec.Root, root, err)
		}
		if grace < spec.Timeouts.Drain+5*time.Second {
			t.Errorf("site %s: it may drain for %s, and is killed after %s", spec.Name, spec.Timeouts.Drain, grace)
		}
		for _, file := range []string{spec.Logs.Passed, spec.Logs.Failed} {
			if !slices.ContainsFunc(s.mounts(), func(m mount) bool { return !m.readOnly && strings.HasPrefix(file, m.target+"/") }) {
				t.Errorf("site %s: %s can't be written", spec.Name, file)
			}
		}
	}
	if len(published) != len(cfg.Sites)+1 {
		t.Errorf("%v is published, more than %d sites and the admin address", published, len(cfg.Sites))
	}
	out, err := exec.Command(builtSited(t), "validate", where).CombinedOutput()
	if err != nil {
		t.Errorf("sited validate: %v\n%s", err, out)
	}
}

// TestComposeMonitoring follows the way of a number: from the admin address to
// Prometheus, its rules, and Grafana with its data source and dashboards.
func TestComposeMonitoring(t *testing.T) {
	c := composeFile(t)
	prometheus, grafana := c.Services["prometheus"], c.Services["grafana"]
	var file string
	for _, argument := range prometheus.Command {
		if name, ok := strings.CutPrefix(argument, "--config.file="); ok {
			file = prometheus.onHost(name)
		}
	}
	var scrape struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
		Global struct {
			ScrapeInterval string `yaml:"scrape_interval"`
		}
	}
	unmarshal(t, file, &scrape)
	if len(scrape.RuleFiles) == 0 {
		t.Error("Prometheus has no rules")
	}
	for _, pattern := range scrape.RuleFiles {
		if files, err := filepath.Glob(prometheus.onHost(pattern)); err != nil || len(files) == 0 {
			t.Errorf("rules %s: %q, %v", pattern, files, err)
		}
	}
	if len(scrape.ScrapeConfigs) != 1 || scrape.ScrapeConfigs[0].JobName != "sited" || len(scrape.ScrapeConfigs[0].StaticConfigs) != 1 {
		t.Fatalf("%s: %+v", file, scrape.ScrapeConfigs)
	}
	admin := loadConfig(t, path.Dir(composeConfig)).Admin
	for _, target := range scrape.ScrapeConfigs[0].StaticConfigs[0].Targets {
		host, port, err := net.SplitHostPort(target)
		if err != nil || c.Services[host] == nil || !slices.Contains(admin.Hosts, host) || port != strconv.Itoa(int(admin.Addr.Port())) {
			t.Errorf("Prometheus scrapes %s; sited answers to %v at port %d (%v)", target, admin.Hosts, admin.Addr.Port(), err)
		}
	}

	var source struct {
		Datasources []struct {
			Type, URL string
			JSONData  struct {
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	unmarshal(t, filepath.Join(grafana.onHost("/etc/grafana/provisioning"), "datasources/prometheus.yaml"), &source)
	if len(source.Datasources) != 1 || source.Datasources[0].Type != "prometheus" {
		t.Fatalf("data sources: %+v", source)
	}
	d := source.Datasources[0]
	host, port, err := net.SplitHostPort(strings.TrimPrefix(d.URL, "http://"))
	if err != nil || host != "prometheus" || !slices.ContainsFunc(prometheus.Ports, func(p string) bool { return strings.HasSuffix(p, ":"+port) }) {
		t.Errorf("the data source is %s, Prometheus has %v", d.URL, prometheus.Ports)
	}
	if d.JSONData.TimeInterval != scrape.Global.ScrapeInterval {
		t.Errorf("Grafana takes the scrape interval for %q, and it is %q", d.JSONData.TimeInterval, scrape.Global.ScrapeInterval)
	}
	var provider struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	unmarshal(t, filepath.Join(grafana.onHost("/etc/grafana/provisioning"), "dashboards/sited.yaml"), &provider)
	if len(provider.Providers) != 1 || provider.Providers[0].Type != "file" || filepath.Clean(grafana.onHost(provider.Providers[0].Options.Path)) != dashboardFolder {
		t.Errorf("dashboards: %+v", provider)
	}
	if home := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]; dashboards(t)[strings.TrimSuffix(path.Base(grafana.onHost(home)), ".json")] == nil {
		t.Errorf("the first dashboard is %q", home)
	}
}
