package main_test

import (
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sited/rig"
)

// unit is a systemd unit: section.name -> values, in order.
type unit map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	b, err := os.ReadFile("../../deploy/systemd/" + name)
	rig.Must(t, err)
	u, section := unit{}, ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case !ok || section == "":
			t.Errorf("%s: line %q", name, line)
		default:
			u[section+"."+key] = append(u[section+"."+key], value)
		}
	}
	return u
}

func (u unit) only(t *testing.T, key string) string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("%s is there %d times", key, len(u[key]))
	}
	return u[key][0]
}

// The commands of the unit, and those its README names, are commands that there
// are, with flags that there are, and all are about the same binary and file.
func TestServiceUnit(t *testing.T) {
	t.Parallel()
	u := readUnit(t, "sited.service")
	b, err := os.ReadFile("../../deploy/systemd/README.md")
	rig.Must(t, err)
	readme := string(b)
	if u.only(t, "Service.Type") != "notify" || u.only(t, "Service.WatchdogSec") == "" || u.only(t, "Service.KillMode") != "mixed" {
		t.Error("sited notifies, feeds a watchdog, and ends its scripts itself")
	}
	commands := []string{u.only(t, "Service.ExecStartPre"), u.only(t, "Service.ExecStart"), u.only(t, "Service.ExecReload")}
	named := regexp.MustCompile("`(sited [a-z]+ /etc[^`]*)`").FindAllStringSubmatch(readme, -1)
	if len(named) == 0 {
		t.Error("README.md names no command")
	}
	for _, m := range named {
		commands = append(commands, "/usr/local/bin/"+m[1])
	}
	const file = "/etc/sited/sites.hcl"
	for _, command := range commands {
		words := strings.Fields(command)
		if words[0] != "/usr/local/bin/sited" || words[len(words)-1] != file || !strings.Contains(readme, words[0]) || !strings.Contains(readme, file) {
			t.Errorf("%q: the binary is /usr/local/bin/sited and the file %s, here and in README.md", command, file)
		}
		help := execute(t, t.TempDir(), "", binary, words[1], "--help")
		if help.status != 0 || !strings.Contains(help.stdout, "sited "+words[1]+" ") {
			t.Errorf("%q: %+v", command, help)
		}
		for _, word := range words[2 : len(words)-1] {
			if flag, _, _ := strings.Cut(word, "="); !strings.Contains(help.stdout, flag+" ") {
				t.Errorf("%q: there is no %s", command, flag)
			}
		}
	}
	for key, folder := range map[string]string{"Service.StateDirectory": "/var/lib/", "Service.LogsDirectory": "/var/log/"} {
		if path := folder + u.only(t, key); !strings.Contains(readme, "`"+path+"`") {
			t.Errorf("README.md does not name %s", path)
		}
	}
	for _, key := range []string{"Service.CapabilityBoundingSet", "Service.AmbientCapabilities"} {
		if got := u.only(t, key); got != "CAP_NET_BIND_SERVICE" {
			t.Errorf("%s=%s", key, got)
		}
	}
	if !slices.Contains(u["Service.RestrictAddressFamilies"], "AF_INET AF_INET6 AF_UNIX") {
		t.Error("sited needs TCP, and AF_UNIX for sd_notify and for the process that takes over")
	}
}

// The sockets of the example are such as sited takes.
func TestSocketUnit(t *testing.T) {
	t.Parallel()
	u := readUnit(t, "sited.socket")
	if len(u["Socket.ListenStream"]) == 0 {
		t.Error("no socket")
	}
	for _, addr := range u["Socket.ListenStream"] {
		if _, err := netip.ParseAddrPort(addr); err != nil {
			t.Errorf("a site has an ip and a port: %v", err)
		}
	}
	if u.only(t, "Socket.BindIPv6Only") != "ipv6-only" || u["Socket.Accept"] != nil {
		t.Error("sited refuses sockets that take IPv4 as well, and connections")
	}
}

// Where there is a systemd, it agrees.
func TestServiceUnitIsTight(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip(err)
	}
	if r := execute(t, "../../deploy/systemd", "", "systemd-analyze", "security", "--offline=true", "--threshold=20", "./sited.service"); r.status != 0 {
		t.Errorf("%+v", r)
	}
}
