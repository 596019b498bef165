package main

import (
	"slices"

	"sited/supervisor/config"
)

// loggedSites are the sites of a configuration and where they log, read again
// when it has changed.
type loggedSites struct {
	env     *env
	named   []string // the only ones that are asked for; none: all are
	all     []loggedSite
	reading config.Reading
}

// loggedSite is what is known of a site.
type loggedSite struct {
	label, origin string
	paths         []string
}

// load reads the configuration at path. A site that has errors now is as it was.
func (s *loggedSites) load(path string) *config.Config {
	cfg := config.Load(path, s.env.lookup)
	s.take(cfg)
	return cfg
}

// changed reads the configuration again if it is another.
func (s *loggedSites) changed() bool {
	if s.reading.Current() {
		return false
	}
	cfg := config.Load(s.reading.Path, s.env.lookup)
	if cfg.Reading().Hash() == s.reading.Hash() {
		return false // what can't be read still can't be
	}
	s.take(cfg)
	return true
}

func (s *loggedSites) take(cfg *config.Config) {
	if cfg.HasErrors() {
		writeDiagnostics(s.env.stderr, cfg)
	}
	var all []loggedSite
	for i := range cfg.Sites {
		spec := &cfg.Sites[i]
		site := loggedSite{label: spec.Name, origin: cfg.Origin(spec.Name)}
		for _, path := range []string{spec.Logs.Passed, spec.Logs.Failed} {
			if path != "" && !slices.Contains(site.paths, path) {
				site.paths = append(site.paths, path)
			}
		}
		all = append(all, site)
	}
	for _, site := range s.all {
		if cfg.Holds(site.label, site.origin) {
			all = append(all, site)
		}
	}
	s.all, s.reading = all, cfg.Reading()
}

// asked reports whether the site was asked for.
func (s *loggedSites) asked(label string) bool {
	return len(s.named) == 0 || slices.Contains(s.named, label)
}

// wants reports whether a line is of a site that was asked for, or may be.
func (s *loggedSites) wants(l *logLine) bool { return l.Site == "" || s.asked(l.Site) }

// paths are the logs of the sites that were asked for, and of each the label of
// the only site that logs there, asked for or not, or "".
func (s *loggedSites) paths() (paths []string, owner map[string]string) {
	owner = map[string]string{}
	wanted := map[string]bool{}
	for _, site := range s.all {
		for _, path := range site.paths {
			label := site.label
			if _, shared := owner[path]; shared {
				label = ""
			}
			owner[path] = label
			if s.asked(site.label) && !wanted[path] {
				wanted[path] = true
				paths = append(paths, path)
			}
		}
	}
	return paths, owner
}

// width is that of the longest label that was asked for.
func (s *loggedSites) width() int {
	width := 0
	for _, site := range s.all {
		if s.asked(site.label) {
			width = max(width, len(site.label))
		}
	}
	return width
}
