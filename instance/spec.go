package instance

import (
	"net/netip"
	"time"

	"sited/protocol"
)

// Spec is what one site block says, with the defaults applied: plain data, no
// open files. All paths are absolute.
type Spec struct {
	Name  string // the block's label, and the site label of every metric
	Addr  netip.AddrPort
	Hosts []string // names this site answers to; none: all

	Root     string
	Index    []string // file names tried in a directory, in order
	Methods  []string // of protocol.Methods, as listed
	Versions []string // of "1.1" and "1.0"

	Passwords string    // htpasswd file; "" for none
	Protect   []Protect // in order: the first that matches decides
	Scripts   []Script  // by extension, each at most once
	Connect   []string  // allowed tunnel targets, see ParseTarget; none: CONNECT is refused

	Try           []string     // what to look for instead of what is not there, in order: paths; "{path}" stands for the request's
	Listing       bool         // a folder without an index file is listed
	Precompressed []string     // of Codings: siblings that may be sent instead of a file, most wanted first
	Redirects     []Redirect   // in order: the first that matches decides
	Headers       []HeaderRule // all that match apply, in order
	ErrorPages    []ErrorPage  // by status or class, each at most once
	RequestID     bool         // answers carry X-Request-Id

	Logs     Logs
	Limits   Limits
	Timeouts Timeouts
}

// Protect asks for credentials on the paths and methods it matches.
type Protect struct {
	Glob    string   // doublestar pattern, matched against the canonical path
	Methods []string // none: all methods
	Users   []string // none: any user in the password file
}

// Script runs the files with one extension.
type Script struct {
	Ext     string        // with the dot, in lower case
	Command []string      // the interpreter; none: the file itself is executed
	Workers int           // processes at once; 0: the default bound
	Timeout time.Duration // the longest wait for output
}

// Redirect sends the requests for the paths it matches elsewhere.
type Redirect struct {
	Glob   string // doublestar pattern, matched against the canonical path
	To     string // a URL reference; "{path}" stands for the request's path, "{rest}" for its part behind Glob's fixed beginning
	Status int    // 301, 302, 303, 307 or 308
}

// HeaderRule changes the header fields of the answers for the paths it matches.
type HeaderRule struct {
	Glob   string           // doublestar pattern, matched against the canonical path
	Set    []protocol.Field // each name at most once, sorted by name
	Remove []string         // names
	Always bool             // answers of 400 and above, too
}

// ErrorPage is a file of the site that takes the place of the engine's page.
type ErrorPage struct {
	Status string // "404", or a class: "4xx", "5xx"
	File   string // canonical path of a file below the root
}

// Codings are the content codings that Spec.Precompressed may name, with the
// extension of the sibling that holds them.
var Codings = map[string]string{"br": ".br", "zstd": ".zst", "gzip": ".gz"}

// Logs says where requests are logged. An empty path turns that log off.
type Logs struct {
	Passed string // answers below 400
	Failed string // the rest, malformed requests included
	Format string // "json" or "combined"
	Body   int64  // bytes of a failed request's body to keep in the log

	MaxSize  int64         // bytes of a file after which it is rotated; 0: no bound
	MaxAge   time.Duration // of a file's first line, after which it is rotated; 0: no bound
	Keep     int           // rotated files kept of each log; 0: all
	Compress string        // rotated files: "gzip", "zstd" or "none"
}

// Limits are the bounds of one site, all above zero but where zero has a meaning:
// a MaxBody of zero means that no request may have a body.
type Limits struct {
	MaxBody        int64 // bytes
	MaxHeader      int64 // bytes
	MaxURI         int64 // bytes
	MaxConnections int

	MaxClientConnections int   // of one client address; 0: no bound of its own
	MaxInFlight          int   // requests being answered at once; 0: no bound
	Cache                int64 // bytes of memory for small files; 0: none, SharedCache: a share of what the process has
}

// SharedCache as Limits.Cache has the site share DefaultBudget with the others.
const SharedCache = -1

// Timeouts are those of protocol.Timeouts.
type Timeouts = protocol.Timeouts

// Defaults is the Spec of a site that says nothing but its name, address and
// root. Its log files are named by the configuration, which knows the folder.
func Defaults() Spec {
	return Spec{
		Index:    []string{"index.html"},
		Methods:  []string{protocol.MethodGet, protocol.MethodHead, protocol.MethodOptions},
		Versions: []string{"1.1", "1.0"},

		Precompressed: []string{"br", "zstd", "gzip"},
		Logs:          Logs{Format: "json", MaxSize: 100 << 20, Keep: 10, Compress: "gzip"},
		Limits: Limits{
			MaxBody:        1 << 20,
			MaxHeader:      16 << 10,
			MaxURI:         8 << 10,
			MaxConnections: 10_000,
			Cache:          SharedCache,
		},
		Timeouts: Timeouts{
			Header: 10 * time.Second,
			Body:   30 * time.Second,
			Write:  30 * time.Second,
			Idle:   60 * time.Second,
			Drain:  30 * time.Second,
		},
	}
}

// DefaultScriptTimeout is a script's timeout where the block names none.
const DefaultScriptTimeout = 30 * time.Second
