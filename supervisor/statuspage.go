package supervisor

import (
	"bytes"
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sited/instance"
	"sited/metrics"
	"sited/supervisor/page"
)

// serveRoot answers with the status page whom names text/html in Accept, as every
// browser does, and any other, curl for one, with what there is to ask for.
func (s *Supervisor) serveRoot(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if !wantsHTML(r.Header.Values("Accept")) {
		text(w, http.StatusOK, adminHint)
		return
	}
	view, err := s.view(r.Context())
	if err != nil {
		unavailable(w, err)
		return
	}
	query := r.URL.Query()
	if query.Get("reload") != "" && len(view.Reloads) > 0 {
		view.Reloads[0].Open = true
	}
	if query.Get("plan") != "" {
		report, err := s.Preview(r.Context())
		if err != nil {
			unavailable(w, err)
			return
		}
		view.Plan = &page.Plan{Tone: toneOf(report.Result), Text: shorten(report.Text())}
	}
	var b bytes.Buffer
	if err := page.Render(&b, view); err != nil {
		s.log.Error("status page not rendered", "error", err)
		text(w, http.StatusInternalServerError, "the page could not be made: see the log\n")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", page.Policy)
	// Not no-referrer: with that, browsers send Origin: null with the page's own
	// form, and where the address is no loopback nothing else says where it is from.
	h.Set("Referrer-Policy", "same-origin")
	_, _ = b.WriteTo(w) // a client that went away misses nothing
}

func wantsHTML(accept []string) bool {
	for _, value := range accept {
		for item := range strings.SplitSeq(value, ",") {
			kind, parameters, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/html") && !isRefused(parameters) {
				return true
			}
		}
	}
	return false
}

// isRefused reports whether the parameters of a media range have the weight 0,
// which is "not acceptable" (RFC 9110 section 12.4.2).
func isRefused(parameters string) bool {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && weight == 0
		}
	}
	return false
}

// serveReloadForm is the page's button. Its token is for browsers that don't say
// where a form is from.
func (s *Supervisor) serveReloadForm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("token")), []byte(s.token)) != 1 {
		text(w, http.StatusForbidden, "this form is not of a page that this process has sent: open the status page anew, and try again\n")
		return
	}
	report, err := s.Reload(r.Context(), Request{Trigger: triggerPage, AllOrNothing: r.PostFormValue("all_or_nothing") != ""})
	if err != nil {
		unavailable(w, err)
		return
	}
	if m := report.Admin; m != nil && m.Outcome == Applied && m.Old != m.New {
		text(w, http.StatusOK, report.Text()+"\nThe status page is at http://"+m.New+"/ from now on.\n")
		return
	}
	http.Redirect(w, r, "/?reload=1#reload", http.StatusSeeOther)
}

func (s *Supervisor) serveReloads(w http.ResponseWriter, r *http.Request) {
	reloads, err := s.Reloads(r.Context())
	if err != nil {
		unavailable(w, err)
		return
	}
	s.writeJSON(w, http.StatusOK, reloads)
}

// view is what the page shows.
func (s *Supervisor) view(ctx context.Context) (*page.View, error) {
	var status *Status
	var reloads []Reload
	recorders := map[string]*instance.Recorder{}
	if err := s.do(ctx, func() {
		status, reloads = s.status(), slices.Clone(s.recall.reloads)
		for _, st := range s.sites {
			recorders[st.name] = st.recorder
		}
	}); err != nil {
		return nil, err
	}
	s.addRecent(status)
	v := &page.View{
		Version: status.Version, PID: status.PID, Started: status.Started, Now: time.Now(),
		Phase: string(status.Phase), Running: status.Phase == Running,
		Config: status.Config.Path, Admin: status.Admin.Reason, Step: metrics.SampleEvery, Token: s.token,
		Sites: make([]page.Site, len(status.Sites)),
	}
	v.Failures, v.Slowest = requestsOf(recorders)
	for i := range status.Sites {
		v.Sites[i] = status.Sites[i].row()
	}
	for i, r := range reloads {
		tone := toneOf(r.Result)
		v.Reloads = append(v.Reloads, page.Reload{
			Number: r.Number, Time: r.Time, Took: inSeconds(r.Took), Trigger: r.Trigger, Result: r.Result, Tone: tone,
			Summary: r.Summary, Text: r.Text, Open: i == 0 && tone != page.Good,
		})
	}
	return v, nil
}

// toneOf is how much attention the result of a reload asks for.
func toneOf(result string) page.Tone {
	switch result {
	case metrics.ReloadPartial:
		return page.Warn
	case metrics.ReloadRefused:
		return page.Bad
	default:
		return page.Good
	}
}

func (s *SiteStatus) row() page.Site {
	out := page.Site{
		Name: s.Name, Addr: s.Addr, Link: s.link, State: page.State{Word: s.stateText(), Tone: s.tone()},
		Generation: s.Generation, Since: s.GenerationSince, Connections: s.Connections, InFlight: s.InFlight,
		Failures: "/api/sites/" + url.PathEscape(s.Name) + "/failures",
		Rate:     s.Recent.Rate, ErrorRatio: s.Recent.ErrorRatio, P50: inSeconds(s.Recent.P50), P99: inSeconds(s.Recent.P99),
	}
	for _, why := range []string{s.Reason, s.Problem} {
		if why != "" {
			out.Reasons = append(out.Reasons, why)
		}
	}
	for _, p := range s.Recent.Points {
		out.Points = append(out.Points, page.Point(p))
	}
	return out
}

func (s *SiteStatus) tone() page.Tone {
	switch s.State {
	case Backoff, Failed:
		return page.Bad
	case Serving:
		switch {
		case s.Problem != "":
			return page.Bad
		case !s.ConfigCurrent:
			return page.Warn
		}
		return page.Good
	case Preparing, Draining, Stopped:
	}
	return page.Quiet
}

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
