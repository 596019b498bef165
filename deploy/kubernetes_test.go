package deploy_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sited/instance"
	"sited/rig"
	"sited/supervisor/config"
)

// manifest is what the test looks at of a Kubernetes object, of whatever kind.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name   string
		Labels map[string]string
	}
	Data map[string]string
	Spec manifestSpec
}

type manifestSpec struct {
	Selector    map[string]any
	PodSelector map[string]any `yaml:"podSelector"`
	Template    struct {
		Metadata struct{ Labels map[string]string }
		Spec     podSpec
	}
	Ports []struct {
		Name       string
		TargetPort string `yaml:"targetPort"`
	}
	Ingress []struct {
		From  []any
		Ports []struct{ Port string }
	}
	JobLabel            string                        `yaml:"jobLabel"`
	PodMetricsEndpoints []struct{ Port, Path string } `yaml:"podMetricsEndpoints"`
	AccessModes         []string                      `yaml:"accessModes"`
}

type podSpec struct {
	TerminationGracePeriodSeconds int            `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               map[string]any `yaml:"securityContext"`
	Containers                    []container
	Volumes                       []volume
}

type volume struct {
	Name                  string
	ConfigMap             *struct{ Name string } `yaml:"configMap"`
	PersistentVolumeClaim *struct {
		ClaimName string `yaml:"claimName"`
	} `yaml:"persistentVolumeClaim"`
	EmptyDir *struct{} `yaml:"emptyDir"`
}

type container struct {
	Name, Image string
	Args        []string
	Ports       []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Lifecycle struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	StartupProbe    probe `yaml:"startupProbe"`
	LivenessProbe   probe `yaml:"livenessProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		SubPath   string `yaml:"subPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

const manifestFolder = "kubernetes"

// manifests are the objects that kustomization.yaml names, by kind.
func manifests(t *testing.T) map[string]*manifest {
	t.Helper()
	var kustomization struct {
		Resources []string
		Images    []struct{ Name string }
	}
	unmarshal(t, manifestFolder+"/kustomization.yaml", &kustomization)
	all := map[string]*manifest{}
	for _, name := range kustomization.Resources {
		m := new(manifest)
		unmarshal(t, filepath.Join(manifestFolder, name), m)
		if m.APIVersion == "" || m.Kind == "" || m.Metadata.Name == "" || all[m.Kind] != nil {
			t.Errorf("%s: %s %s %q", name, m.APIVersion, m.Kind, m.Metadata.Name)
		}
		all[m.Kind] = m
	}
	files, err := filepath.Glob(manifestFolder + "/*.yaml")
	if err != nil || len(files) != len(kustomization.Resources)+1 {
		t.Errorf("kustomization.yaml names %d of %q (%v)", len(kustomization.Resources), files, err)
	}
	for _, kind := range []string{"ConfigMap", "Deployment", "Service", "PodMonitor", "NetworkPolicy", "PersistentVolumeClaim"} {
		if all[kind] == nil {
			t.Fatalf("there is no %s", kind)
		}
	}
	image, _, _ := strings.Cut(all["Deployment"].Spec.Template.Spec.Containers[0].Image, ":")
	if images(t)[image] == nil || len(kustomization.Images) != 1 || kustomization.Images[0].Name != image {
		t.Errorf("the image %q is no target of %s, or kustomization.yaml names another: %+v", image, dockerfileName, kustomization.Images)
	}
	return all
}

// podConfig is the configuration that the pod of the Deployment reads.
func podConfig(t *testing.T, all map[string]*manifest) (*config.Config, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range all["ConfigMap"].Data {
		writeFile(t, filepath.Join(dir, name), text)
		if formatted, diags := config.Format([]byte(text), name); diags.HasErrors() || string(formatted) != text {
			t.Errorf("%s: %v: not as sited fmt has it:\n%s", name, diags, formatted)
		}
	}
	return loadConfig(t, dir), dir
}

func TestKubernetesConfiguration(t *testing.T) {
	all := manifests(t)
	cfg, dir := podConfig(t, all)
	if out, err := exec.Command(builtSited(t), "validate", dir).CombinedOutput(); err != nil {
		t.Errorf("sited validate: %v\n%s", err, out)
	}
	pod := all["Deployment"].Spec.Template.Spec
	c := pod.Containers[0]
	ports := map[string]int{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	want := map[string]int{"admin": int(cfg.Admin.Addr.Port())}
	for _, spec := range cfg.Sites {
		want[spec.Name] = int(spec.Addr.Port())
		if !spec.Addr.Addr().IsUnspecified() || spec.Addr.Port() < 1024 {
			t.Errorf("site %s: %s: nobody outside the pod reaches it, or it needs a capability", spec.Name, spec.Addr)
		}
	}
	if !maps.Equal(ports, want) || !cfg.Admin.Addr.Addr().IsUnspecified() {
		t.Errorf("the container has the ports %v, the configuration %v with the admin endpoint at %s", ports, want, cfg.Admin.Addr)
	}
	longest := slices.MaxFunc(cfg.Sites, func(a, b instance.Spec) int { return int(a.Timeouts.Drain - b.Timeouts.Drain) }).Timeouts.Drain
	sleep := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if grace := time.Duration(pod.TerminationGracePeriodSeconds) * time.Second; sleep < 5*time.Second || grace < sleep+longest+5*time.Second {
		t.Errorf("the pod is killed after %s: %s of preStop and %s of draining are more", grace, sleep, longest)
	}
}

// TestKubernetesMounts wants every path that the pod uses to be there, and to be
// writable where it is written.
func TestKubernetesMounts(t *testing.T) {
	all := manifests(t)
	cfg, _ := podConfig(t, all)
	pod := all["Deployment"].Spec.Template.Spec
	c := pod.Containers[0]
	mounted := map[string]bool{} // path -> writable
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v volume) bool { return v.Name == m.Name })
		if i < 0 || m.SubPath != "" {
			t.Errorf("mount %+v: there is no such volume, or it never changes", m)
			continue
		}
		v := pod.Volumes[i]
		switch {
		case v.ConfigMap == nil && v.PersistentVolumeClaim == nil && v.EmptyDir == nil,
			v.ConfigMap != nil && v.ConfigMap.Name != all["ConfigMap"].Metadata.Name,
			v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName != all["PersistentVolumeClaim"].Metadata.Name:
			t.Errorf("volume %+v: there is no such object", v)
		}
		mounted[m.MountPath] = !m.ReadOnly && v.EmptyDir != nil
	}
	entry := images(t)["sited-php"].one(t, "CMD")
	if file := c.Args[len(c.Args)-1]; c.Args[0] != words(t, entry)[0] || mounted[file] || !slices.Contains(slices.Collect(maps.Keys(mounted)), file) {
		t.Errorf("sited %v: the configuration is mounted at %v", c.Args, mounted)
	}
	for _, spec := range cfg.Sites {
		if _, there := mounted[path.Dir(spec.Root)]; !there {
			t.Errorf("site %s: its root %s is not mounted", spec.Name, spec.Root)
		}
		for _, file := range []string{spec.Logs.Passed, spec.Logs.Failed} {
			if file != "/dev/stdout" && !mounted[path.Dir(file)] {
				t.Errorf("site %s: %s can't be written", spec.Name, file)
			}
		}
	}
	if !mounted["/tmp"] || !c.SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("/tmp can't be written, or everything else can: %v", mounted)
	}
	if modes := all["PersistentVolumeClaim"].Spec.AccessModes; !slices.Equal(modes, []string{"ReadWriteMany"}) {
		t.Errorf("several pods can't share the content: %v", modes)
	}
	user := strings.Split(images(t)["sited-php"].one(t, "USER"), ":")[0]
	if got, ok := pod.SecurityContext["runAsUser"].(int); !ok || user != strconv.Itoa(got) || pod.SecurityContext["runAsNonRoot"] != true {
		t.Errorf("the pod runs as %v, the image as %s", pod.SecurityContext, user)
	}
	if s := c.SecurityContext; s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("the container may do more than it needs: %+v", s)
	}
}

// TestPod runs what the pod runs, on a folder as the kubelet makes one of the
// ConfigMap: what sites log is in the output of the container, and a change of the
// ConfigMap is taken in.
func TestPod(t *testing.T) {
	binary := builtSited(t)
	all := manifests(t)
	cfg, _ := podConfig(t, all)
	dir := t.TempDir()
	writeFile(t, dir+"/www/docs/index.html", "docs")
	ports := map[string]string{}
	var pairs []string
	free := rig.Ports(t, len(cfg.Sites)+1)
	for i, spec := range cfg.Sites {
		ports[spec.Name] = strconv.Itoa(free[i])
		pairs = append(pairs, "= "+strconv.Itoa(int(spec.Addr.Port())), "= "+ports[spec.Name])
	}
	pairs = append(pairs, "= 9180", "= "+strconv.Itoa(free[len(cfg.Sites)]), `"0.0.0.0"`, `"127.0.0.1"`, "/srv/www", dir+"/www")
	here := strings.NewReplacer(pairs...)
	data := map[string]string{}
	for name, text := range all["ConfigMap"].Data {
		data[name] = here.Replace(text)
	}
	kubelet(t, dir+"/etc", "..1", data)

	c := all["Deployment"].Spec.Template.Spec.Containers[0]
	p := start(t, binary, append(c.Args[:len(c.Args)-1:len(c.Args)-1], dir+"/etc")...)
	docs := "http://127.0.0.1:" + ports["docs"] + "/"
	rig.Eventually(t, "it serves", func() bool { return strings.Contains(p.said.String(), "\"configuration read\"") })
	if status, body := get(t, docs, ""); status != 200 || body != "docs" {
		t.Errorf("%d %q", status, body)
	}
	rig.Eventually(t, "the request is in the output", func() bool {
		return regexp.MustCompile(`(?m)^\{.*"site":"docs",.*"status":200,.*\}$`).MatchString(p.said.String())
	})

	data["docs.hcl"] = strings.Replace(data["docs.hcl"], "root", "listing = true\n  root", 1)
	if err := os.Remove(dir + "/www/docs/index.html"); err != nil {
		t.Fatal(err)
	}
	kubelet(t, dir+"/etc", "..2", data)
	rig.Eventually(t, "the change is taken in", func() bool { status, body := get(t, docs, ""); return status == 200 && body != "docs" })
	p.stop(t)
}

// kubelet puts the files of a ConfigMap into a folder: into one inside, version, to
// which a link is switched that links of the files' names lead through.
func kubelet(t *testing.T, folder, version string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		writeFile(t, filepath.Join(folder, version, name), text)
		if err := os.Symlink("..data/"+name, filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(version, folder+"/..data_tmp"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(folder+"/..data_tmp", folder+"/..data"); err != nil {
		t.Fatal(err)
	}
}

// TestKubernetesNames compares the names by which the objects find each other.
func TestKubernetesNames(t *testing.T) {
	all := manifests(t)
	labels := all["Deployment"].Spec.Template.Metadata.Labels
	matches := func(what string, selector any) {
		t.Helper()
		chosen, ok := selector.(map[string]any)
		if !ok || len(chosen) == 0 {
			t.Errorf("%s chooses %v", what, selector)
		}
		for name, value := range chosen {
			if labels[name] != value {
				t.Errorf("%s chooses %s=%v, and pods have %v", what, name, value, labels)
			}
		}
	}
	matches("the Deployment", all["Deployment"].Spec.Selector["matchLabels"])
	matches("the PodMonitor", all["PodMonitor"].Spec.Selector["matchLabels"])
	matches("the NetworkPolicy", all["NetworkPolicy"].Spec.PodSelector["matchLabels"])
	matches("the Service", all["Service"].Spec.Selector)

	c := all["Deployment"].Spec.Template.Spec.Containers[0]
	var sites []string
	for _, p := range c.Ports {
		if p.Name != "admin" {
			sites = append(sites, p.Name)
		}
	}
	var offered []string
	for _, p := range all["Service"].Spec.Ports {
		offered = append(offered, p.TargetPort)
	}
	if !slices.Equal(offered, sites) {
		t.Errorf("the Service leads to the ports %v, sites are at %v", offered, sites)
	}
	for _, p := range []struct {
		what string
		probe
		path string
	}{{"startup", c.StartupProbe, "/healthz"}, {"liveness", c.LivenessProbe, "/healthz"}, {"readiness", c.ReadinessProbe, "/readyz"}} {
		if p.HTTPGet.Port != "admin" || p.HTTPGet.Path != p.path {
			t.Errorf("the %s probe asks %+v", p.what, p.HTTPGet)
		}
	}
	if e := all["PodMonitor"].Spec.PodMetricsEndpoints; len(e) != 1 || e[0].Port != "admin" || e[0].Path != "/metrics" {
		t.Errorf("the PodMonitor asks %+v", e)
	}
	if job := labels[all["PodMonitor"].Spec.JobLabel]; job != "sited" {
		t.Errorf("the job is %q; the rules want sited", job)
	}
	open := map[string]bool{} // port -> to everybody
	for _, rule := range all["NetworkPolicy"].Spec.Ingress {
		for _, p := range rule.Ports {
			open[p.Port] = open[p.Port] || len(rule.From) == 0
		}
	}
	for _, p := range c.Ports {
		toAll, named := open[p.Name]
		if !named || toAll != (p.Name != "admin") {
			t.Errorf("the NetworkPolicy lets %v in", open)
		}
	}
}
