package supervisor

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sited/metrics"
)

const adminHint = `sited admin

GET  /              the status page, for a browser
GET  /metrics       Prometheus metrics
GET  /healthz       200 while the process runs
GET  /readyz        200 when every site serves, else 503 and the reasons
GET  /api/sites     what every site is doing (JSON)
GET  /api/sites/{site}/failures
                    its last failed and slowest requests (JSON)
GET  /api/plan      what a reload would do (JSON)
GET  /api/reloads   what the last reloads came to (JSON)
POST /api/reload    take the configuration in; ?all_or_nothing=1 (JSON)
POST /api/upgrade   have the binary as it is now take over (JSON)
`

// adminHandler answers the admin endpoint's requests. A request must name the
// endpoint by an IP address, as localhost, or by a name that the configuration
// gives it, so that no page of another origin reaches it through a name that
// resolves here (DNS rebinding); one that changes something must not come from a
// page of another origin.
func (s *Supervisor) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.serveRoot)
	mux.HandleFunc("POST /reload", s.serveReloadForm)
	mux.Handle("GET /metrics", s.reg.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("GET /api/sites", s.serveSites)
	mux.HandleFunc("GET /api/sites/{site}/failures", s.serveFailures)
	mux.HandleFunc("GET /api/plan", s.servePlan)
	mux.HandleFunc("GET /api/reloads", s.serveReloads)
	mux.HandleFunc("POST /api/reload", s.serveReload)
	mux.HandleFunc("POST /api/upgrade", s.serveUpgrade)
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if !s.admin.answersTo(r.Host) {
			text(w, http.StatusMisdirectedRequest, "call this endpoint by its IP address, as localhost, or by a name that hosts in the admin block has\n")
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// answersTo reports whether a Host field names an IP address, localhost, or one
// of the names that the configuration gives the endpoint. It may be called
// concurrently.
func (a *admin) answersTo(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost") || slices.Contains(a.names(), strings.ToLower(host))
}

func (s *Supervisor) serveReady(w http.ResponseWriter, r *http.Request) {
	var lines []string
	if err := s.do(r.Context(), func() { lines = s.status().NotReady() }); err != nil {
		unavailable(w, err)
		return
	}
	if len(lines) > 0 {
		text(w, http.StatusServiceUnavailable, strings.Join(lines, "\n")+"\n")
		return
	}
	text(w, http.StatusOK, "ready\n")
}

func (s *Supervisor) serveSites(w http.ResponseWriter, r *http.Request) {
	status, err := s.Status(r.Context())
	if err != nil {
		unavailable(w, err)
		return
	}
	s.writeJSON(w, http.StatusOK, status)
}

func (s *Supervisor) servePlan(w http.ResponseWriter, r *http.Request) {
	report, err := s.Preview(r.Context())
	if err != nil {
		unavailable(w, err)
		return
	}
	s.writeJSON(w, http.StatusOK, report)
}

func (s *Supervisor) serveReload(w http.ResponseWriter, r *http.Request) {
	req := Request{Trigger: triggerAPI}
	if v := r.URL.Query().Get("all_or_nothing"); v != "" {
		var err error
		if req.AllOrNothing, err = strconv.ParseBool(v); err != nil {
			text(w, http.StatusBadRequest, fmt.Sprintf("all_or_nothing is 0 or 1, not %q\n", v))
			return
		}
	}
	report, err := s.Reload(r.Context(), req)
	if err != nil {
		unavailable(w, err)
		return
	}
	status := http.StatusOK
	switch report.Result {
	case metrics.ReloadPartial:
		status = http.StatusConflict
	case metrics.ReloadRefused:
		status = http.StatusUnprocessableEntity
	}
	s.writeJSON(w, status, report)
}

func (s *Supervisor) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	upgrade, err := s.Upgrade(r.Context())
	if err != nil {
		unavailable(w, err)
		return
	}
	status := http.StatusOK
	if upgrade.Result != Upgraded {
		status = http.StatusInternalServerError
	}
	s.writeJSON(w, status, upgrade)
}

func (s *Supervisor) writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		s.log.Debug("admin answer not sent", "error", err)
	}
}

func unavailable(w http.ResponseWriter, err error) {
	text(w, http.StatusServiceUnavailable, err.Error()+"\n")
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // a client that went away misses nothing
}
