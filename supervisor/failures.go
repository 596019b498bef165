package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"sited/instance"
	"sited/supervisor/config"
)

// SiteFailures is what the flight recorder of one site holds: of the site as it
// runs now, of its generations before, and of the time when it was up, should it
// not be now.
type SiteFailures struct {
	FormatVersion int       `json:"format_version"`
	Site          string    `json:"site"`
	State         State     `json:"state"`
	Generation    int       `json:"generation"` // the current one; 0: none has served yet
	Time          time.Time `json:"time"`       // of the answer
	instance.Flights
}

// UnknownSite says that there is no site of that name, and which there are.
type UnknownSite struct {
	Name  string
	In    string // the file it is not in; "" for what runs
	Known []string
}

func (e *UnknownSite) Error() string {
	text := fmt.Sprintf("there is no site %q", e.Name)
	if e.In != "" {
		text += " in " + e.In
	}
	if near := config.Nearest(e.Name, e.Known); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	if len(e.Known) == 0 {
		return text
	}
	const most = 20
	names := strings.Join(e.Known[:min(most, len(e.Known))], ", ")
	if more := len(e.Known) - most; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return text + " (there are: " + names + ")"
}

// Failures tells what the flight recorder of a site holds. The error is
// *UnknownSite, ErrStopped or ctx's.
func (s *Supervisor) Failures(ctx context.Context, site string) (*SiteFailures, error) {
	var out *SiteFailures
	var recorder *instance.Recorder
	var known []string
	if err := s.do(ctx, func() {
		st := s.sites[site]
		if st == nil {
			known = slices.Sorted(maps.Keys(s.sites))
			return
		}
		out = &SiteFailures{FormatVersion: FormatVersion, Site: site, State: st.state, Generation: st.count, Time: time.Now()}
		recorder = st.recorder
	}); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, &UnknownSite{Name: site, Known: known}
	}
	out.Flights = recorder.Flights()
	return out, nil
}

func (s *Supervisor) serveFailures(w http.ResponseWriter, r *http.Request) {
	failures, err := s.Failures(r.Context(), r.PathValue("site"))
	if unknown, ok := errors.AsType[*UnknownSite](err); ok {
		text(w, http.StatusNotFound, unknown.Error()+"\n")
		return
	}
	if err != nil {
		unavailable(w, err)
		return
	}
	s.writeJSON(w, http.StatusOK, failures)
}
