package instance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"sited/protocol"
)

// headerRule is a HeaderRule made ready.
type headerRule struct {
	glob   string
	every  bool // the glob matches every path
	set    []protocol.Field
	vary   []string // members to be added to Vary
	remove []string
	always bool
}

func newHeaderRule(r HeaderRule) (headerRule, error) {
	if err := checkGlob(r.Glob); err != nil {
		return headerRule{}, fmt.Errorf("header %q: %w", r.Glob, err)
	}
	made := headerRule{glob: r.Glob, every: r.Glob == "/**", remove: r.Remove, always: r.Always}
	for _, name := range r.Remove {
		if !IsFieldName(name) {
			return headerRule{}, fmt.Errorf("header %q: %q is not the name of a field", r.Glob, name)
		}
	}
	for _, f := range r.Set {
		switch {
		case !IsFieldName(f.Name):
			return headerRule{}, fmt.Errorf("header %q: %q is not the name of a field", r.Glob, f.Name)
		case !canBeSent(f):
			return headerRule{}, fmt.Errorf("header %q: the value of %s has a control character", r.Glob, f.Name)
		case strings.EqualFold(f.Name, "Vary"):
			made.vary = slices.AppendSeq(made.vary, members(f.Value))
		default:
			made.set = append(made.set, f)
		}
	}
	return made, nil
}

func (r *headerRule) matches(path string) bool {
	return r.every || doublestar.MatchUnvalidated(r.glob, path)
}

// setFields changes the fields of an answer with that status, to a request for
// that canonical path, as the site's header rules say, in their order. Without
// rules that apply it neither changes nor allocates anything.
func (p *policy) setFields(h *protocol.Header, path string, status int) {
	for i := range p.headers {
		r := &p.headers[i]
		if status >= 400 && !r.always || !r.matches(path) {
			continue
		}
		for _, name := range r.remove {
			h.Del(name)
		}
		for _, f := range r.set {
			h.Set(f.Name, f.Value)
		}
		for _, member := range r.vary {
			addVary(h, member)
		}
	}
}

// addVary adds a member to Vary (RFC 9110, section 12.5.5) unless it is there, or
// "*" is: replacing the field would hide on what the answer depends already.
func addVary(h *protocol.Header, member string) {
	for value := range h.Values("Vary") {
		for have := range members(value) {
			if have == "*" || strings.EqualFold(have, member) {
				return
			}
		}
	}
	h.Add("Vary", member)
}

// members yields the members of a comma-separated list (RFC 9110, section 5.6.1).
func members(list string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for list != "" {
			var member string
			member, list, _ = strings.Cut(list, ",")
			if member = strings.Trim(member, " \t"); member != "" && !yield(member) {
				return
			}
		}
	}
}

// IsFieldName reports whether s may be the name of a field (RFC 9110, section 5.1).
func IsFieldName(s string) bool { return canBeSent(protocol.Field{Name: s}) }

// canBeSent reports whether the engine takes a field line: a token, and no byte
// that breaks the line (RFC 9110, sections 5.5 and 5.6.2).
func canBeSent(f protocol.Field) bool {
	_, err := protocol.Render(protocol.Header{f})
	return err == nil
}

// applyHeaders applies the header rules to an answer that the handler has given.
// The head of a tunnel is no message, and is left alone; for fields that are
// rendered it was done before.
func (p *policy) applyHeaders(x *protocol.Exchange) {
	if len(p.headers) > 0 && x.Req.Method != protocol.MethodConnect && x.Res.Rendered == (protocol.Rendered{}) {
		p.setFields(&x.Res.Header, x.Req.Path, x.Res.Status)
	}
}

// sayFields tells which header rules apply to an answer with that status; 0 is a
// script's.
func (p *policy) sayFields(path string, status int, t *trace) {
	for i := range p.headers {
		r := &p.headers[i]
		if status >= 400 && !r.always || !r.matches(path) {
			continue
		}
		var does []string
		for _, name := range r.remove {
			does = append(does, "removes "+name)
		}
		for _, f := range r.set {
			does = append(does, "sets "+f.Name+": "+f.Value)
		}
		if len(r.vary) > 0 {
			does = append(does, "adds to Vary: "+strings.Join(r.vary, ", "))
		}
		if status == 0 && !r.always {
			does = append(does, "if the script's status is below 400")
		}
		t.say("header %q: %s", r.glob, strings.Join(does, "; "))
	}
}
