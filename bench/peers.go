package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

//go:embed floor.c.txt
var floorSource string

// peers are sited and what it is measured against, each with its access log on
// and set up for speed as its own documentation advises.
func peers(sited string) []peer {
	return []peer{
		{name: "floor", binary: "cc", install: "apt-get install gcc", command: floor},
		{name: "sited", binary: sited, command: sitedCommand},
		{name: "nginx", binary: "nginx", install: "apt-get install nginx-light", command: nginx(true)},
		{name: "nginx-plain", binary: "nginx", install: "apt-get install nginx-light", command: nginx(false)},
		{name: "lighttpd", binary: "lighttpd", install: "apt-get install lighttpd", command: lighttpd},
		{name: "h2o", binary: "h2o", install: "apt-get install h2o", command: h2o},
		{name: "apache", binary: "apache2", install: "apt-get install apache2", command: apache},
		{name: "caddy", binary: "caddy", install: "apt-get install caddy", command: caddy},
	}
}

func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

func floor(cc, dir, _ string, port int) ([]string, error) {
	source, err := write(dir, "floor.c", floorSource)
	if err != nil {
		return nil, err
	}
	out := filepath.Join(dir, "floor")
	if text, err := exec.Command(cc, "-O2", "-o", out, source).CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(text)))
	}
	return []string{out, strconv.Itoa(port), "1024"}, nil
}

func sitedCommand(binary, dir, site string, port int) ([]string, error) {
	admin, err := freePort()
	if err != nil {
		return nil, err
	}
	file, err := write(dir, "sites.hcl", fmt.Sprintf(`
admin {
  port = %d
}
site "bench" {
  ip   = "127.0.0.1"
  port = %d
  root = %q
  logs { format = "combined" } # as the others
}
`, admin, port, site))
	return []string{binary, "run", file}, err
}

func nginx(cache bool) func(binary, dir, site string, port int) ([]string, error) {
	return func(binary, dir, site string, port int) ([]string, error) {
		openFileCache := ""
		if cache {
			openFileCache = "open_file_cache max=20000 inactive=60s; open_file_cache_valid 1s; open_file_cache_errors on;"
		}
		file, err := write(dir, "nginx.conf", fmt.Sprintf(`
daemon off; user root; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 20000; }
http {
  include /etc/nginx/mime.types;
  access_log %[1]s/access.log combined buffer=64k flush=1s;
  sendfile on; tcp_nopush on; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 60s;
  %[2]s
  server { listen 127.0.0.1:%[3]d; root %[4]s; }
}
`, dir, openFileCache, port, site))
		return []string{binary, "-p", dir, "-c", file}, err
	}
}

func lighttpd(binary, dir, site string, port int) ([]string, error) {
	file, err := write(dir, "lighttpd.conf", fmt.Sprintf(`
server.modules = ( "mod_accesslog" )
server.document-root = %q
server.bind = "127.0.0.1"
server.port = %d
server.errorlog = "%[3]s/error.log"
accesslog.filename = "%[3]s/access.log"
server.max-keep-alive-requests = 1000000000
server.max-keep-alive-idle = 60
server.max-fds = 40000
server.max-connections = 20000
mimetype.assign = ( ".html" => "text/html", ".txt" => "text/plain", "" => "application/octet-stream" )
`, site, port, dir))
	return []string{binary, "-D", "-f", file}, err
}

func h2o(binary, dir, site string, port int) ([]string, error) {
	file, err := write(dir, "h2o.conf", fmt.Sprintf(`
listen: { host: 127.0.0.1, port: %d }
user: root
num-threads: 1
max-connections: 20000
access-log: %[2]s/access.log
error-log: %[2]s/error.log
pid-file: %[2]s/h2o.pid
http1-request-timeout: 60
hosts:
  default:
    paths:
      "/":
        file.dir: %[3]s
`, port, dir, site))
	return []string{binary, "-c", file}, err
}

func apache(binary, dir, site string, port int) ([]string, error) {
	file, err := write(dir, "apache.conf", fmt.Sprintf(`
ServerRoot %[1]q
ServerName bench
PidFile %[1]s/apache.pid
DefaultRuntimeDir %[1]s
ErrorLog %[1]s/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
TypesConfig /etc/mime.types
LogFormat "%%h %%l %%u %%t \"%%r\" %%>s %%O \"%%{Referer}i\" \"%%{User-Agent}i\"" combined
BufferedLogs On
CustomLog %[1]s/access.log combined
User www-data
Group www-data
Listen 127.0.0.1:%[2]d
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
StartServers 1
ServerLimit 1
ThreadsPerChild 128
MaxRequestWorkers 128
EnableSendfile On
DocumentRoot %[3]q
<Directory %[3]q>
  Require all granted
</Directory>
`, dir, port, site))
	if _, statErr := os.Stat("/usr/lib/apache2/modules/mod_log_config.so"); statErr == nil {
		err = errors.Join(err, prepend(file, "LoadModule log_config_module /usr/lib/apache2/modules/mod_log_config.so\n"))
	}
	return []string{binary, "-f", file, "-DFOREGROUND"}, err
}

func prepend(file, line string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(line), text...), 0o644)
}

func caddy(binary, dir, site string, port int) ([]string, error) {
	file, err := write(dir, "Caddyfile", fmt.Sprintf(`
{
	admin off
	auto_https off
	storage file_system %[1]s/data
}
http://127.0.0.1:%[2]d {
	root * %[3]s
	file_server
	log {
		output file %[1]s/access.log
	}
}
`, dir, port, site))
	return []string{binary, "run", "--adapter", "caddyfile", "--config", file}, err
}
